"""Tables as JSON lines, one object a row, read like a text table: every column holds strings."""

import json
from pathlib import Path

import pyarrow as pa

from sertool.core.corpus.tables import MOST_COLUMNS
from sertool.core.errors import InputError


def read_json_lines(path: Path) -> pa.Table:
    """Read a file of one JSON object a line, as Hugging Face's `metadata.jsonl`.

    A key is a column; a row without it is null there. Numbers become the text that JSON writes for them, and so do
    lists and objects: what a column means is decided later, as for a CSV file.

    Raises:
        InputError: the file is missing, is no UTF-8, or a line is no JSON object.
    """
    rows: list[dict[str, str | None]] = []
    names: dict[str, None] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_row(line, f"{path}: line {number}"))
                    names |= dict.fromkeys(rows[-1])
                    if len(names) > MOST_COLUMNS:
                        raise InputError(
                            f"{path}: line {number}: brings column {len(names)}; expected at most {MOST_COLUMNS}: "
                            "check that this is a table of utterances"
                        )
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as UTF-8 text ({reason}): check the file") from error
    if not rows:
        raise InputError(f"{path}: is empty; expected one JSON object a line: write it again")
    return pa.table({name: pa.array([row.get(name) for row in rows], type=pa.string()) for name in names})


def _row(line: str, where: str) -> dict[str, str | None]:
    try:
        row = json.loads(line)
        if isinstance(row, dict):
            cells = {name: _cell(value) for name, value in row.items()}
            json.dumps(cells, ensure_ascii=False).encode("utf-8")  # a lone surrogate is no text
            return cells
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is no JSON ({str(error)[:100]}); expected one object a line: correct it") from error
    raise InputError(
        f'{where}: is \'{line.strip()[:60]}\'; expected an object, as {{"file_name": "a.wav"}}: correct it'
    )


def _cell(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)
