"""`sertool predict`: which emotion is heard in each file."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.inputs import Input, gather

if TYPE_CHECKING:
    from sertool.core.models.inference import Recognizer


def predict(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="IN", help="Audio files, folders, or - for audio on stdin.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a file instead of a table.")] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="RUN", show_default=False, help="A run. Default: the newest finished run at hand."),
    ] = None,
    list_file: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE", show_default=False, help="Also the files listed here, one a line; - is stdin."
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Say which emotion is heard in speech, and how surely."""
    with gather(inputs or [], list_file) as sources:
        from sertool.core.models.inference import load

        recognizer = load(model, device)
        records, failures = _predict_all(sources, recognizer, as_json=json)
    if records and not json:
        _print_table(records)
    if failures:
        console.list_failures(failures, total=len(sources))
        raise typer.Exit(console.SOME_FAILED)


def _predict_all(
    sources: list[Input], recognizer: "Recognizer", *, as_json: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is heard in each file that can be read, and why the others cannot; JSON is written as it comes."""
    from sertool.core.engine import map_tasks

    records, failures = [], []
    with console.progress(len(sources), "listening") as advance:
        for outcome in map_tasks(predict_file, sources, setup=lambda: recognizer):
            advance()
            if outcome.error is not None and len(sources) == 1:
                raise outcome.error
            if outcome.error is not None:
                failures.append(str(outcome.error))
            elif as_json:
                console.json_line(outcome.value)
            else:
                records.append(outcome.value)
    return records, failures


def predict_file(source: Input, recognizer: "Recognizer") -> dict[str, Any]:
    """Return what is heard in one file, as one line of JSON tells it.

    Raises:
        AudioError: the file cannot be used as audio; the message calls it what the user does.
    """
    from sertool.core.audio.files import read_audio
    from sertool.core.errors import AudioError

    try:
        samples = read_audio(source.path)
    except AudioError as error:
        raise AudioError(source.rename(str(error))) from error
    heard = recognizer.predict(samples)
    record = {"file": source.name, "label": heard.label, "probabilities": heard.probabilities}
    if heard.attributes is not None:
        record["attributes"] = heard.attributes
    return {**record, "model": heard.model_id}


def _print_table(records: list[dict[str, Any]]) -> None:
    attributes = list(records[0].get("attributes", {}))
    columns = ["file", *(["label", "probability"] if records[0]["label"] else []), *attributes]
    rows = []
    for record in records:
        label = record["label"]
        heard = [label, f"{record['probabilities'][label]:.2f}"] if label else []
        rows.append([record["file"], *heard, *(f"{record['attributes'][name]:.2f}" for name in attributes)])
    console.table(columns, rows)
