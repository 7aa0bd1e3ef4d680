"""CSVs with hundreds of columns and a few words among their numbers, read quickly: the columns asked for, no others."""

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from sertool.core.pretext.face_error import FaceError

OTHER_DELIMITERS = {";": "';'", "\t": "a tab", "|": "'|'", " ": "blanks"}

NO_NUMBERS = [sign + word for word in ("nan", "nan(ind)", "nan(snan)", "1.#QNAN", "1.#IND") for sign in ("", "-")]
"""How C libraries write what is no number."""

_NULLS = ["", " ", *NO_NUMBERS, *(f" {word}" for word in NO_NUMBERS)]
_NUMBER = r"^\s*-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_BLANK_OR_MARK = codecs.BOM_UTF8 + b" \t\r\n"
_HEADER_BYTES = 1_000_000


def read_header(path: Path) -> tuple[list[str], int]:
    """Return the column names, without blanks and byte order mark, and how many lines there are down to them.

    Raises:
        FaceError: the file is missing, no file, empty or not UTF-8.
    """
    if not path.exists():
        raise FaceError("no such file", f"{path}: no such face file; expected an OpenFace CSV: check where it is named")
    if not path.is_file():
        raise FaceError("no file", f"{path}: is a folder or a device; expected an OpenFace CSV: name the file")
    try:
        with path.open("rb") as file:
            line, lines = file.readline(_HEADER_BYTES), 1
            while line and not line.strip(_BLANK_OR_MARK):
                line, lines = file.readline(_HEADER_BYTES), lines + 1
        text = line.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("a NUL character, as in UTF-16")
        header = next(csv.reader(text.splitlines()), [])
    except OSError as error:
        raise FaceError(
            "cannot be opened",
            f"{path}: cannot be opened ({error.strerror}); expected an OpenFace CSV: make it readable",
        ) from error
    except (ValueError, csv.Error) as error:
        raise FaceError(
            "not UTF-8", f"{path}: is not UTF-8 text; expected an OpenFace CSV: save it as UTF-8"
        ) from error
    if not header:
        raise FaceError("an empty file", f"{path}: is empty; expected an OpenFace CSV: extract this face again")
    return [name.strip() for name in header], lines


def read_numbers(path: Path, places: Sequence[int], *, width: int, lines: int) -> tuple[np.ndarray, int]:
    """Read the columns at some places of the header.

    Args:
        path: the file.
        places: which columns, from 0.
        width: fields in the header.
        lines: lines to pass over, the header among them.

    Returns:
        The numbers, float64, (rows, columns), NaN for what is none; and how many rows do not fit the header.

    Raises:
        FaceError: there is no row, or none fits the header.
    """
    try:
        table, ragged = _read(path, places, pa.float64(), width=width, lines=lines)
    except pa.ArrowInvalid:
        # Words among the numbers: slower, cell by cell, since a frame with a word is not the fault of the others.
        try:
            table, ragged = _read(path, places, pa.binary(), width=width, lines=lines)
        except pa.ArrowInvalid as error:
            found = (str(error).splitlines() or [""])[0][:200]
            raise FaceError(
                "no table", f"{path}: is no table of rows ({found}); expected an OpenFace CSV: extract this face again"
            ) from error
    if not len(table):
        found = f"none of its {ragged} rows has the header's {width} fields" if ragged else "has no row of a frame"
        reason = "rows of another length" if ragged else "no frames"
        raise FaceError(reason, f"{path}: {found}; expected a row a frame below the header: extract this face again")
    return np.stack([numbers_or_nan(column) for column in table.columns], axis=1), ragged


def numbers_or_nan(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of text, bytes or numbers as float64, (N,), NaN where it holds no number (nor an infinite one).

    Raises:
        pyarrow.ArrowException: it holds neither.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.binary())
    if pa.types.is_binary(column.type):
        written = pc.fill_null(pc.match_substring_regex(column, _NUMBER), False)
        column = pc.if_else(written, column, pa.scalar(None, pa.binary())).cast(pa.string())
        column = pc.utf8_trim_whitespace(column)
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def delimiter_instead_of_comma(header: Sequence[str]) -> str | None:
    """Return what stands between the columns where no comma does, as a message says it; None where one does."""
    if len(header) != 1:
        return None
    return next((words for delimiter, words in OTHER_DELIMITERS.items() if delimiter in header[0]), None)


def _read(path: Path, places: Sequence[int], kind: pa.DataType, *, width: int, lines: int) -> tuple[pa.Table, int]:
    """Read columns as one type, in the order asked for; see `read_numbers`."""
    skipped: list[int] = []

    def leave_out(row: pa_csv.InvalidRow) -> str:
        skipped.append(row.actual_columns)
        return "skip"

    # In one thread: those who read many files read them in parallel.
    wanted = [str(place) for place in places]
    schema = {name: kind for name in wanted}
    try:
        table = pa_csv.read_csv(
            path,
            pa_csv.ReadOptions(use_threads=False, skip_rows=lines, column_names=[str(place) for place in range(width)]),
            pa_csv.ParseOptions(invalid_row_handler=leave_out),
            pa_csv.ConvertOptions(include_columns=wanted, column_types=schema, null_values=_NULLS, check_utf8=False),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        table = pa.schema(list(schema.items())).empty_table()
    return table, len(skipped)
