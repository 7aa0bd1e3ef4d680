"""What must be true of what a command leaves: files that are audio, finite numbers, scores of what was heard."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path


def is_audio(path: Path) -> bool:
    """Return whether a file decodes to finite samples, as libsndfile alone says, read block by block."""
    import numpy as np
    import soundfile

    count = 0
    try:
        with soundfile.SoundFile(path) as file:
            file.seekable = lambda: False  # read on and on: some files cannot be wound back, and soundfile would
            while len(block := file.read(65_536, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    return False
                count += len(block)
                if count > 10_000_000:
                    return True  # long enough to know
    except Exception:
        return False
    return count > 0


def strict(text: str) -> object:
    """Return what a line of JSON holds; NaN and infinity are not JSON."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} in JSON")

    return json.loads(text, parse_constant=refuse)


def check_predictions(text: str, folder: Path) -> str | None:
    """Every probability is one, together they are all, and the label is the most probable, or none in no speech."""
    for line in text.splitlines():
        record = strict(line)
        values = record["probabilities"]
        if not all(math.isfinite(value) and 0 <= value <= 1 for value in values.values()):
            return f"probabilities {values}"
        likeliest = max(values, key=values.get, default=None)
        expected = None if record["no_speech"] is not None else likeliest
        if values and (abs(sum(values.values()) - 1) > 1e-6 or record["label"] != expected):
            return f"probabilities {values}, label {record['label']}"
        if not all(math.isfinite(value) for value in (record.get("attributes") or {}).values()):
            return f"attributes {record['attributes']}"
    return None


def check_features(text: str, folder: Path) -> str | None:
    """Features are finite."""
    import numpy as np
    import pyarrow.parquet as pq

    for path in folder.glob("*features.parquet"):
        table = pq.read_table(path)
        for name in table.column_names:
            if name[0] == "f" and name[1:].isdigit() and not np.isfinite(table[name].to_numpy()).all():
                return f"feature {name} is not finite"
    return None


def check_enhanced(folder: Path) -> str | None:
    """What was written is audio of finite samples."""
    return next((f"{path.name} holds no finite samples" for path in folder.glob("*") if not is_audio(path)), None)


def check_report(text: str, folder: Path) -> str | None:
    """A report of a corpus holds finite numbers alone."""
    if text.strip():
        report = strict(text)
        if not 0 <= report["hours"] < 1e5:
            return f"hours {report['hours']}"
    return None


def check_manifest(folder: Path) -> str | None:
    """Every file a noisy manifest lists is there and is audio."""
    if not (folder / "metadata.csv").is_file():
        return None
    with open(folder / "metadata.csv", newline="", encoding="utf-8") as file:
        csv.field_size_limit(2**31 - 1)
        for row in csv.DictReader(file):
            for column in ("file_name", "clean_file"):
                if not is_audio(folder / row[column]):
                    return f"{row[column]!r} is listed and is not audio"
    return None


def check_run(folder: Path) -> str | None:
    """A finished run's scores and losses are finite."""
    record = folder / "run.json"
    if not record.is_file():
        return None
    try:
        finished = json.loads(record.read_bytes()).get("state") == "finished"
    except (ValueError, AttributeError):
        return None
    if finished:
        for name in ("metrics.jsonl",):
            for line in (folder / name).read_text(encoding="utf-8").splitlines():
                strict(line)
    return None


def check_evaluation(hostile: Path | None) -> Callable[[str, Path], str | None]:
    """Scores are finite or null; the utterance nobody can hear has none."""

    def check(text: str, folder: Path) -> str | None:
        for line in text.splitlines():
            record = strict(line)
            if record.get("record") == "condition" and hostile is not None and record["n"] > 1:
                return f"{record['n']} utterances were scored, one of which cannot be heard"
        rows = folder / "rows.csv"
        if (
            hostile is not None
            and rows.is_file()
            and re.search(rf"(^|[,/]){re.escape(hostile.name)},", rows.read_text(encoding="utf-8"), re.M)
        ):
            return f"{hostile.name} has a row among the predictions"
        return None

    return check
