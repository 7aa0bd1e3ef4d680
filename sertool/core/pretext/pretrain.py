"""Pre-training: an encoder learns, without labels, what emotion will ask of it.

A frozen encoder with random weights means nothing, so cascade unfreezing needs an encoder that has learned something:
to tell speech from noise, through the enhancement head it will later share with emotion; or to tell energy variation,
facial activation, the expression of a face (Goncalves & Busso, Interspeech 2022); or the clusters of hidden frames
(HuBERT, Hsu et al., TASLP 2021).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.pretext.preparation import PretextPreparation
from sertool.core.training.loop import train_run
from sertool.core.training.pretext_settings import PRETEXT_TASKS
from sertool.core.training.recipe import Recipe
from sertool.core.training.reporter import Reporter
from sertool.core.training.run import Run

DENOISE = "denoise"
TASKS = (DENOISE, *PRETEXT_TASKS)
"""Words for what may be learned, alone or together; denoising is the recipe's `enhancement`."""


def base_settings(tasks: Sequence[str]) -> dict[str, Any]:
    """Return what the recipe of a pre-training sets where neither file nor flag does.

    Args:
        tasks: of `TASKS`, one or more.

    Raises:
        InputError: a task is unknown.
    """
    for name in tasks:
        if name not in TASKS:
            raise InputError(f"--task {name}: no such pre-training; expected one of {', '.join(TASKS)}: choose one")
    wanted = {"tasks": ["enhancement" if name == DENOISE else name for name in TASKS if name in tasks]}
    if set(tasks) == {DENOISE}:
        # Denoising knows no utterances: three seconds of each, all of which the head hears.
        crops = {"data": {"max_s": 3.0}, "enhancement": {"crop_s": None}}
        return {**wanted, **crops, "noise": {"clean_share": 0.05}}
    return {**wanted, "enhancement": {"crop_s": 3.0}}


def pretrain_run(
    recipe: Recipe, folder: Path | str, *, overwrite: bool = False, reporter: Reporter | None = None
) -> Run:
    """Pre-train an encoder as a recipe says, into a run folder; go on where an interrupted run stopped.

    Args:
        recipe: all settings; its tasks are other than emotion.
        folder: the run's folder, new, empty, or holding a run of the same inputs.
        overwrite: remove the run in the folder first.
        reporter: told how it goes.

    Raises:
        InputError: the recipe asks for what pre-training is not; otherwise as `train_run`, as for all other errors.
    """
    if "emotion" in recipe.tasks:
        raise InputError(
            "the recipe asks for the task emotion, which needs labels; expected tasks that need none: leave it out, "
            "and train with --encoder RUN afterwards"
        )
    if "enhancement" in recipe.tasks and recipe.noise.source is None and recipe.noise.babble is None:
        raise InputError("denoising needs noise, and none was named; expected a folder or manifest: add --noise DIR")
    preparation = PretextPreparation(recipe) if recipe.pretext_tasks else None
    return train_run(recipe, folder, overwrite=overwrite, reporter=reporter, preparation=preparation)
