"""`sertool train`: the shared model on a corpus, into a run folder."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli import console

RECIPE_FILE = "sertool.yaml"

Output = Annotated[Path | None, typer.Option("--output", "-o", help="The run's folder.", show_default="runs/NAME")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", help="YAML file of settings.", show_default=f"{RECIPE_FILE}, if it is there")
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="compact|log-mel|RUN|NAME|DIR",
        help="New weights; none; a run's encoder; or WavLM, HuBERT, wav2vec 2.0, data2vec by hub name or folder.",
    ),
]
Adapt = Annotated[
    str | None,
    typer.Option(
        "--adapt",
        metavar="full|frozen|router|lora",
        help="What of a learned encoder changes: its weights, nothing, which connections exist, low-rank updates.",
        show_default="full",
    ),
]
Sparsities = Annotated[
    list[float] | None,
    typer.Option(
        "--sparsity",
        min=0.0,
        max=0.99,
        help="Share of connections the router drops; repeated, a run for each.",
        show_default="0.1",
    ),
]
Curriculum = Annotated[
    str | None,
    typer.Option(
        "--curriculum",
        metavar="SCORES|self-paced|none",
        help="Easy utterances first, by `score-curriculum` or the model's own loss; none draws as many at random.",
    ),
]
NoiseSource = Annotated[
    str | None, typer.Option("--noise", help="Noise to mix in: a folder with a subfolder a kind, or a manifest.")
]
Snr = Annotated[list[str] | None, typer.Option("--snr", help="Training SNR in dB, repeatable; or a range LOW:HIGH.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the training split.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Utterances an update learns from.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Of the heads; the encoder's is a share of it.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of weights, order, noise and dropout.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the recipe, such as emotion.dropout=0.3."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove the run in the folder and start anew.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a line of JSON an epoch, and one for the run.")]


def train(
    manifest: Annotated[
        list[Path] | None, typer.Argument(help="Manifests with splits.", show_default="the built-in sample corpus")
    ] = None,
    output: Output = None,
    recipe: RecipeFile = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="emotion, enhancement; repeatable. Both is the joint model.")
    ] = None,
    encoder: EncoderName = None,
    adapt: Adapt = None,
    sparsity: Sparsities = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="auto, at-once, heads-then-all, cascade, or a YAML file of stages.")
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", help="Estimate arousal, dominance or valence too; repeatable.")
    ] = None,
    curriculum: Curriculum = None,
    noise: NoiseSource = None,
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
    """Train the shared model: emotion and enhanced speech from one encoder, unfrozen in stages.

    Interrupted and run again, it goes on. Prints the run's folder.
    """
    from sertool.core.errors import InputError
    from sertool.core.training.loop import train_run
    from sertool.core.training.recipe import read_curriculum, read_recipe, read_stages, with_settings

    flags = {
        "data.manifests": [str(path) for path in manifest or []] or None,
        "tasks": task or None,
        "encoder.name": encoder,
        "encoder.adapt": adapt,
        "encoder.router.sparsity": sparsity[0] if sparsity else None,
        "schedule": read_stages(schedule) if schedule else None,
        "emotion.attributes": attribute or None,
        **(read_curriculum(curriculum) if curriculum else {}),
        **common_flags(noise, snr, epochs, batch_size, learning_rate, seed, device),
    }
    resolved = read_recipe(find_recipe(recipe), merge(flags, setting))
    if not resolved.data.manifests:
        resolved = with_sample(resolved)
    if sparsity and resolved.encoder.adapt != "router":
        raise InputError(f"--sparsity is for the router, and --adapt is {resolved.encoder.adapt}; add --adapt router")
    folder = output or Path("runs") / run_name(resolved.data.manifests[0])
    if not sparsity or len(sparsity) == 1:
        run_training(resolved, folder, train_run, overwrite=overwrite, bar=TrainingBar(as_json))
        return
    for value in dict.fromkeys(sparsity):
        one = with_settings(resolved, {"encoder.router.sparsity": value})
        title = f"sparsity {value:g}"
        run_training(
            one, folder / f"sparsity-{value:g}", train_run, overwrite=overwrite, bar=TrainingBar(as_json, title)
        )


def common_flags(
    noise: str | None,
    snr: list[str] | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int | None,
    device: str | None,
) -> dict[str, Any]:
    """Return the recipe settings behind the flags `train` and `pretrain` share; None where a flag was not given."""
    return {
        "noise.source": noise,
        "noise.snr_db": snr or None,
        "optimisation.epochs": epochs,
        "optimisation.batch_size": batch_size,
        "optimisation.learning_rate": learning_rate,
        "seed": seed,
        "device": device,
    }


def merge(flags: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """Return flags that were given, and what `--set` says beside them; values are read as YAML."""
    import yaml

    from sertool.core.errors import InputError

    merged = {name: value for name, value in flags.items() if value is not None}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(
                f"--set {text}: has no '='; expected KEY=VALUE such as emotion.dropout=0.3: write it like that"
            )
        try:
            merged[name.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:  # a date in a 13th month is a ValueError
            raise InputError(
                f"--set {text}: '{value}' is not YAML; expected a number, word or [list]: quote it"
            ) from error
    return merged


def find_recipe(path: Path | None) -> Path | None:
    """Return the recipe file to read: the one named, or `sertool.yaml` where the command is run in its folder."""
    if path is None and Path(RECIPE_FILE).is_file():
        console.note(f"settings from {RECIPE_FILE}")
        return Path(RECIPE_FILE)
    return path


def with_sample(recipe: Any) -> Any:
    """Return the recipe with the built-in sample corpus, and its noise where none was named."""
    from sertool.core.corpus.sample import sample_manifest, sample_noise

    console.note("no manifest given: training on the built-in sample corpus (synthetic voices, not for claims)")
    source = recipe.noise.source or (None if recipe.noise.babble else str(sample_noise("seen")))
    noise = recipe.noise.model_copy(update={"source": source})
    data = recipe.data.model_copy(update={"manifests": (str(sample_manifest()),)})
    return recipe.model_copy(update={"data": data, "noise": noise})


def run_name(manifest: str) -> str:
    """Return what a run on a manifest is called: the file's name, or its folder's where that says nothing."""
    path = Path(manifest).resolve()
    return path.parent.name if path.stem == "metadata" else path.stem


def run_training(recipe: Any, folder: Path, start: Callable[..., Any], *, overwrite: bool, bar: "TrainingBar") -> None:
    """Train by `start`, then print where the run lies and how good it is; of several processes, the first one alone."""
    if overwrite:
        console.if_interrupted("run the same command again, without --overwrite, to go on")
    try:
        run = start(recipe, folder, overwrite=overwrite, reporter=bar)
    finally:
        bar.close()
    if os.environ.get("RANK", "0") != "0":
        return
    if not bar.was_needed:
        console.note(f"{folder}: this run is finished already; nothing to do (--overwrite starts anew)")
    summary = run.record["summary"]
    if bar.as_json:
        console.json_line({"run": str(run.folder), **summary})
        return
    scores = ", ".join(f"{name} {value:.3f}" for name, value in summary["dev"].items() if name != "score")
    console.note(f"best epoch {summary['best_epoch']}, on the dev split: {scores}")
    console.result(run.folder)


class TrainingBar:
    """Draws a training as a bar on stderr, and prints an epoch a line where JSON was asked for."""

    def __init__(self, as_json: bool = False, title: str = "training") -> None:
        self.as_json, self.title = as_json, title
        self._stack = contextlib.ExitStack()
        self._advance: Any = None
        self.was_needed = False

    def begin(self, total_updates: int, done_updates: int) -> None:
        """Show the bar, at the update the run goes on from."""
        self.was_needed = True
        self._stack.close()
        if done_updates:
            console.note(f"going on after update {done_updates} of {total_updates}")
        self._advance = self._stack.enter_context(console.progress(total_updates, self.title))
        self._advance(done_updates)

    def update(self, loss: float) -> None:
        """Advance the bar."""
        self._advance(1)

    def epoch(self, line: dict[str, Any]) -> None:
        """Show the epoch's dev scores beside the bar, or print them as JSON."""
        scores = " ".join(f"{name} {value:.3f}" for name, value in line["dev"].items() if name != "score")
        in_play = f"{line['bins']['in_play']} bins, " if "bins" in line else ""
        self._advance(0, note=f"{in_play}dev {scores}")
        if self.as_json:
            console.json_line(line)

    def phase(self, name: str, total: int) -> None:
        """Show the bar of what comes before training."""
        self._stack.close()
        self._advance = self._stack.enter_context(console.progress(total or None, name))

    def advance(self, steps: int) -> None:
        """Advance that bar."""
        self._advance(steps)

    def note(self, message: str) -> None:
        """Write a line to stderr."""
        console.note(message)

    def close(self) -> None:
        """Take the bar away, also where the training ended early."""
        self._stack.close()
