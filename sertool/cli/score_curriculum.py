"""`sertool score-curriculum`: how easy each training utterance is, and so which is to be learned first."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console
from sertool.cli.options import Device, Overwrite
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.curriculum.request import ScoreRequest


class Metric(StrEnum):
    """By what an utterance is called easy."""

    DEEPMI = "deepmi"
    PMI = "pmi"
    DISAGREEMENT = "disagreement"
    TEACHER_LOSS = "teacher-loss"
    MC_DROPOUT = "mc-dropout"
    RANDOM = "random"


class Predictions(StrEnum):
    """Whose predictions are read."""

    OUT_OF_FOLD = "out-of-fold"
    IN_SAMPLE = "in-sample"


def score_curriculum(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The utterances to be learned from.")],
    metric: Annotated[
        Metric, typer.Option(metavar="METRIC", help="deepmi, pmi, disagreement, teacher-loss, mc-dropout or random.")
    ] = Metric.DEEPMI,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", show_default="emotion", help="What is to be learned: emotion, arousal, dominance, valence."
        ),
    ] = None,
    cluster_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", show_default=False, help="A run of sertool cluster: its clusters, its vectors."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", show_default="0.5 for valence, else 0", help="Of deepmi and pmi: the prediction's share."
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="RUN", show_default="small heads", help="Of teacher-loss: a run of sertool train."),
    ] = None,
    predictions: Annotated[
        Predictions,
        typer.Option(
            metavar="HOW", help="out-of-fold: by small heads that never heard the speaker; in-sample: as published."
        ),
    ] = Predictions.OUT_OF_FOLD,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", show_default="train", help="The split to score; no other is read.")
    ] = None,
    bins: Annotated[int, typer.Option(metavar="N", min=1, help="Bins told in the table; training has its own.")] = 10,
    seed: Annotated[int, typer.Option(metavar="N", help="Of ties, small heads, dropout and the random order.")] = 0,
    device: Device = "auto",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The table, a .csv; a page, .png, lies beside it.")
    ] = Path("scores.csv"),
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON instead of the table's path.")] = False,
) -> None:
    """Score how easy each training utterance is: a high score is easy and comes first. For train --curriculum.

    deepmi: what cluster, and prediction, say of the label (Lin, Sridhar & Busso 2024), as each cell's contribution to
    the mutual information; pmi: the same pointwise. disagreement: the share of annotators who agree. teacher-loss: what
    a trained model gets wrong. mc-dropout: how sure small heads are. random: an order without meaning, to compare with.

    Only the training split is scored. The table has each utterance's score, rank (0 is the easiest; the seed orders
    ties) and bin; the page shows the scores, what they follow, and the easiest and hardest twenty.

    Prints the table's path.
    """
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.curriculum.page import draw_page
    from sertool.core.curriculum.request import ScoreRequest, check_request
    from sertool.core.curriculum.scores import score_text
    from sertool.core.curriculum.scoring import score
    from sertool.core.writing import write_text

    console.if_interrupted("run the same command again")
    request = ScoreRequest(
        metric=metric.value,
        target=target,
        alpha=alpha,
        cluster_run=cluster_run,
        teacher=teacher,
        predictions=predictions.value,
        split=split,
        bins=bins,
        seed=seed,
        device=device,
    )
    check_request(request)
    read = Manifest.read(manifest)
    page = output.with_suffix(".png")
    _check_output(output, page, read, request, overwrite=overwrite)
    curriculum = score(read, request, progress=console.progress)
    for message in curriculum.notes:
        console.note(message)
    text = score_text(curriculum.scored, output.parent)
    if output.exists() and not overwrite:
        if output.read_bytes() != text.encode("utf-8"):
            raise _exists(output, "holds other scores")
        console.note(f"{output}: holds these very scores already")
    else:
        write_text(output, text)
    if overwrite or not page.exists():
        draw_page(page, curriculum)
    if as_json:
        console.json_line({"scores": str(output), "page": str(page), **curriculum.facts})
    else:
        console.result(output)


def _check_output(output: Path, page: Path, read: "Manifest", request: "ScoreRequest", *, overwrite: bool) -> None:
    """Refuse what would lose a file, or plainly is another curriculum, before anything is computed."""
    from sertool.core.corpus.manifest import Manifest

    if output.suffix.lower() != ".csv":
        raise InputError(f"{output}: is no name of a table of scores; expected one in .csv: choose another with -o")
    if output.is_dir() or page.is_dir():
        folder = output if output.is_dir() else page
        raise InputError(f"{folder}: is a folder; expected a file to write: choose another name with -o")
    if read.path is not None and output.resolve() == read.path.resolve():
        raise InputError(f"{output}: is the manifest itself; expected another place: choose another with -o")
    if overwrite:
        return
    if not output.exists():
        if page.exists():
            raise _exists(page, "exists already")
        return
    try:
        metrics = set(Manifest.read(output, require=["metric"]).table["metric"])
    except InputError as error:
        raise _exists(output, "holds something else") from error
    if metrics != {request.metric}:
        raise _exists(output, "holds other scores")


def _exists(path: Path, found: str) -> InputError:
    return InputError(f"{path}: {found}: move it, choose another place with -o, or say --overwrite")
