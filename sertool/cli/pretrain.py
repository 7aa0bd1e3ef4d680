"""`sertool pretrain`: an encoder that has learned from speech without labels."""

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli.train import (
    Adapt,
    AsJson,
    BatchSize,
    Device,
    EncoderName,
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

TASKS = "denoise, energy, activation, activation-without-mouth, action-units, masked"


def pretrain(
    manifest: Annotated[list[Path], typer.Argument(help="Manifests of clean speech; labels are not needed.")],
    noise: NoiseSource = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run's folder.", show_default="runs/TASKS")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="TASK", help=f"{TASKS}; repeatable.", show_default="denoise"),
    ] = None,
    faces: Annotated[
        list[str] | None,
        typer.Option("--faces", metavar="DIR|TABLE", help="OpenFace 2 CSVs, or a table of action units by clip."),
    ] = None,
    encoder: EncoderName = None,
    adapt: Adapt = None,
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
    """Pre-train an encoder without labels, by one task or several: it learns to take noise off clean speech; whether
    its energy varies much or little; how much the speaker's face moves, and its expression; which cluster a hidden
    frame belongs to.

    Utterances without a face serve the other tasks. Rows of the split `test` are never used. Interrupted and run again,
    it goes on. Prints the run's folder, which [bold]sertool train --encoder RUN[/bold] takes; targets.json in it tells
    how balanced each task's classes are, and whether loudness, duration, the sentence or the corpus gives them away.

    Example: [bold]sertool pretrain ravdess.csv speech.csv --task energy --task action-units --faces openface/[/bold]
    """
    from sertool.core.pretext.pretrain import base_settings, pretrain_run
    from sertool.core.training.recipe import read_recipe

    flags = {
        "data.manifests": [str(path) for path in manifest],
        "pretext.faces.sources": faces or None,
        "encoder.name": encoder,
        "encoder.adapt": adapt,
        **common_flags(noise, snr, epochs, batch_size, learning_rate, seed, device),
    }
    if task:
        flags["tasks"] = base_settings(task)["tasks"]
    file, overrides = find_recipe(recipe), merge(flags, setting)
    resolved = read_recipe(file, overrides, base=base_settings(task or ["denoise"]))
    words = ["denoise" if name == "enhancement" else name for name in resolved.tasks]
    if not task and "emotion" not in words:  # they stand in the recipe, and have defaults of their own
        resolved = read_recipe(file, overrides, base=base_settings(words))
    folder = output or Path("runs") / "-".join(words)
    run_training(resolved, folder, pretrain_run, overwrite=overwrite, bar=TrainingBar(as_json, "pre-training"))
