"""`sertool pretrain`: an encoder that has learned from speech without labels."""

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli.train import (
    AsJson,
    BatchSize,
    Device,
    Epochs,
    NoiseSource,
    Overwrite,
    Rate,
    RecipeFile,
    Seed,
    Settings,
    Snr,
    TrainingBar,
    common_flags,
    find_recipe,
    merge,
    run_training,
)

TASKS = ("denoise",)


def pretrain(
    manifest: Annotated[list[Path], typer.Argument(help="Manifests of clean speech; labels are not needed.")],
    noise: NoiseSource = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder.")] = Path("runs/denoise"),
    task: Annotated[list[str] | None, typer.Option("--task", help="What to learn.", show_default="denoise")] = None,
    recipe: RecipeFile = None,
    snr: Snr = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: Rate = None,
    seed: Seed = None,
    device: Device = None,
    setting: Settings = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Pre-train the compact encoder without labels: it learns to take noise off clean speech.

    Rows of the split `test` are never used. Interrupted and run again, it goes on. Prints the run's folder, which
    [bold]sertool train --encoder RUN[/bold] takes.

    Example: [bold]sertool pretrain speech.csv --task denoise --noise noise/ -o runs/denoise[/bold]
    """
    from sertool.core.errors import InputError
    from sertool.core.pretext.denoise import DENOISE
    from sertool.core.training.recipe import read_recipe

    for name in task or []:
        if name not in TASKS:
            raise InputError(
                f"--task {name}: no such pre-training; expected one of {', '.join(TASKS)}: choose one of these"
            )
    flags = {
        "data.manifests": [str(path) for path in manifest],
        **common_flags(noise, snr, epochs, batch_size, learning_rate, seed, device),
    }
    resolved = read_recipe(find_recipe(recipe), merge(flags, setting), base=DENOISE)
    if resolved.noise.source is None and resolved.noise.babble is None:
        raise InputError("denoising needs noise, and none was named; expected a folder or manifest: add --noise DIR")
    run_training(resolved, output, overwrite=overwrite, bar=TrainingBar(as_json, "pre-training"))
