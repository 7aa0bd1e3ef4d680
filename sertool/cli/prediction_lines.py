"""Predictions as lines of text: JSON, CSV, or a label track for Audacity; and as a table for people."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sertool.cli import console

if TYPE_CHECKING:
    from sertool.core.models.recognizer import TimedPrediction

NO_SPEECH = "no speech"
"""What is told to people in place of an emotion where nobody speaks."""

Record = dict[str, Any]
"""What is heard in a file or a window of it, as a line of JSON tells it."""


class Format(StrEnum):
    """How predictions are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    AUDACITY = "audacity"


def record_of(name: str, timed: "TimedPrediction", *, with_times: bool) -> Record:
    """Return a prediction as a record; `name` is what the user calls the file."""
    heard = timed.prediction
    times = {"start_s": round(timed.start_s, 6), "end_s": round(timed.end_s, 6)} if with_times else {}
    attributes = {} if heard.attributes is None else {"attributes": heard.attributes}
    return {
        "file": name,
        **times,
        "label": None if heard.no_speech else heard.label,
        "no_speech": heard.no_speech,
        "probabilities": heard.probabilities,
        **attributes,
        "model": heard.model_id,
    }


def header_lines(form: Format, categories: list[str], attributes: tuple[str, ...], *, with_times: bool) -> list[str]:
    """Return the lines a file of predictions begins with."""
    if form is not Format.CSV:
        return []
    times = ["start_s", "end_s"] if with_times else []
    shares = [f"probability_{name}" for name in categories]
    return [_csv_line(["file", *times, "label", "no_speech", *shares, *attributes, "model"])]


def prediction_lines(
    form: Format, name: str, timeline: Iterable["TimedPrediction"], *, with_times: bool
) -> Iterator[str]:
    """Yield what is heard in a file line by line, as it is heard."""
    if form is Format.AUDACITY:
        from sertool.core.models.timeline import label_runs

        for run in label_runs(timeline):
            label = f"{run.label} {run.probability:.2f}" if run.label else NO_SPEECH
            yield f"{run.start_s:.6f}\t{run.end_s:.6f}\t{label}"
        return
    for timed in timeline:
        record = record_of(name, timed, with_times=with_times)
        as_json = form is Format.JSON
        yield json.dumps(record, ensure_ascii=False, allow_nan=False) if as_json else _csv_line(_row(record))


def print_table(records: list[Record]) -> None:
    """Print records for people: the label with its probability, and the attributes; or that nobody speaks."""
    first = records[0]
    times = [name for name in ("start_s", "end_s") if name in first]
    attributes = list(first.get("attributes", {}))
    columns = ["file", *times, *(["label", "probability"] if first["probabilities"] else []), *attributes]
    rows = []
    for record in records:
        heard = [record["file"], *(f"{record[name]:.2f}" for name in times)]
        if record["no_speech"] is not None:
            # In the first column of what would be told: a model may have no label.
            rows.append([*heard, NO_SPEECH, *[""] * (len(columns) - len(heard) - 1)])
            continue
        label = record["label"]
        said = [label, f"{record['probabilities'][label]:.2f}"] if label else []
        rows.append([*heard, *said, *(f"{record['attributes'][name]:.2f}" for name in attributes)])
    console.table(columns, rows)


def _row(record: Record) -> list[object]:
    """Return a record's values in the order of the header."""
    times = [record[name] for name in ("start_s", "end_s") if name in record]
    heard = [*record["probabilities"].values(), *record.get("attributes", {}).values()]
    return [record["file"], *times, record["label"] or "", record["no_speech"] or "", *heard, record["model"]]


def _csv_line(values: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
