"""The command `sertool`: which commands there are, what they share, and an example of each."""

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from sertool.cli import console, corpus
from sertool.cli.cluster import cluster
from sertool.cli.demo import demo
from sertool.cli.doctor import doctor
from sertool.cli.enhance import enhance
from sertool.cli.evaluate import evaluate
from sertool.cli.export import export
from sertool.cli.extract import extract
from sertool.cli.masks import masks
from sertool.cli.mix_noise import mix_noise
from sertool.cli.predict import predict
from sertool.cli.pretrain import pretrain
from sertool.cli.rooms import rooms
from sertool.cli.score_curriculum import score_curriculum
from sertool.cli.train import train

app = typer.Typer(
    name="sertool",
    cls=console.Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 finished, some inputs failed; 2 the call or its inputs are wrong; "
    "3 finished, a limit was missed.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from sertool import __version__

        console.result(f"sertool {__version__}")
        raise typer.Exit


@app.callback()
def sertool(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may also stand after the command.")
    ] = False,
) -> None:
    """Speech emotion recognition that holds up in noise, with the enhanced speech from the same model.

    Start with [bold]sertool demo[/bold]: in five minutes it shows all of it on speech that comes along.
    """


def _examples(*lines: str) -> str | None:
    """Return the end of a command's help: its examples, one a line."""
    title = "[bold]Examples[/bold]" if len(lines) > 1 else "[bold]Example[/bold]"
    return "\n\n".join([title, *lines]) if lines else None


def _add(name: str, function: Callable[..., None], panel: str, *examples: str) -> None:
    # Typer keeps the line breaks of a docstring from its second paragraph on, whatever the terminal's width.
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text, rich_help_panel=panel, epilog=_examples(*examples))(function)


_add("demo", demo, "Start here", "sertool demo")
_add("doctor", doctor, "Start here", "sertool doctor")
app.add_typer(
    corpus.app,
    name="corpus",
    rich_help_panel="Data",
    epilog=_examples(
        "sertool corpus ravdess RAVDESS/ -o ravdess.csv",
        "sertool corpus folder recordings/ --column emotion=label --folds 5 --fold 0 -o metadata.csv",
        "sertool corpus crema-d CREMA-D/ --labels perceived --channel voice -o crema-d.csv",
        "sertool corpus merge crema-d.csv iemocap.csv -o merged.csv",
        "sertool corpus check metadata.csv",
    ),
)
_add(
    "mix-noise",
    mix_noise,
    "Data",
    "sertool mix-noise metadata.csv --noise noise/ --snr 0 --snr 5 -o noisy/",
    "sertool mix-noise metadata.csv --noise noise/ --snr=-5:15 --part train -o noisy-train/",
    "sertool mix-noise metadata.csv --babble talkers.csv --rir rooms/ --snr 0 --speech-level active -o noisy/",
)
_add("rooms", rooms, "Data", "sertool rooms --count 100 --rt60 0.2:0.8 -o rooms/")
_add("pretrain", pretrain, "Models")
_add(
    "train",
    train,
    "Models",
    "sertool train metadata.csv --noise noise/ --encoder runs/denoise -o runs/joint",
    "sertool train metadata.csv --noise noise/ --encoder facebook/wav2vec2-base-960h --adapt lora -o lora",
    "sertool train metadata.csv --encoder wavlm/ --adapt router --sparsity 0.06 --sparsity 0.1 -o runs/sweep",
)
_add(
    "cluster",
    cluster,
    "Models",
    "sertool cluster labelled.csv --unlabelled speech.csv --attribute arousal --clusters 10 -o runs/clusters",
    "sertool cluster labelled.csv --clusters 30 --temporal transformer --encoder runs/denoise -o runs/clusters",
)
_add(
    "score-curriculum",
    score_curriculum,
    "Models",
    "sertool score-curriculum metadata.csv --metric deepmi --cluster-run runs/clusters -o scores.csv",
    "sertool score-curriculum emodb.csv --metric disagreement -o scores.csv",
)
_add(
    "evaluate",
    evaluate,
    "Models",
    "sertool evaluate metadata.csv --model runs/first --noise test-noise/ --snr clean --snr 0",
)
_add(
    "masks",
    masks,
    "Models",
    "sertool masks runs/emotion runs/enhancement",
    "sertool masks runs/a runs/b runs/c --by all -o overlap.png",
)
_add(
    "enhance",
    enhance,
    "Use",
    "sertool enhance noisy.wav",
    "sertool enhance recordings/ -o enhanced/ --workers 4",
    "sertool enhance --watch incoming/ -o enhanced/",
    "sertool enhance --microphone",
    "cat noisy.wav | sertool enhance - | sertool predict - --json",
)
_add(
    "predict",
    predict,
    "Use",
    "sertool predict call.wav",
    "sertool predict recordings/ --json > emotions.jsonl",
    "sertool predict call.wav --window 3 --hop 1 -o call.csv",
    "sertool predict call.wav --window 3 --format audacity -o call.txt",
    "find . -name '*.flac' | sertool predict --list - --json",
)
_add(
    "extract",
    extract,
    "Use",
    "sertool extract recordings/ -o features.parquet",
    "sertool extract metadata.csv --layer -1 --pool frames -o frames/",
)
_add(
    "export",
    export,
    "Use",
    "sertool export runs/first -o model.onnx",
    "sertool export runs/first --quantise --check-on noisy/metadata.csv -o model.onnx",
    "sertool export runs/first --format hf -o my-model/",
)


def main() -> None:
    """Run the command line and exit."""
    console.run(app)
