"""Tables as strangers write them (CSV, TSV, Parquet), read into Arrow columns with the types of a manifest."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from sertool.core.errors import InputError

ATTRIBUTES = ("arousal", "dominance", "valence")
"""The attributes, on the scale 1–7."""

NAME_COLUMNS = ("speaker", "split", "emotion", "gender", "corpus", "kind")
"""Columns that identify: always strings, without the blanks around them."""

TEXT_COLUMNS = (
    *("file_name", "clean_file", "noise_file", "rir_file", "noise_rir_file", "face_file", "text"),
    *("babble_files", "babble_offsets_s", "clean_reference", "speech_level", "attributes_source"),
)
NUMBER_COLUMNS = ("snr_db", "noise_offset_s", "gain_db")
UNITS = ("_db", "_s", "_hz", "_percent", "_1_to_5", "agreement")
"""How the names of further columns of numbers end: with a unit, a scale, or `agreement`, a share of annotators."""

MOST_COLUMNS = 4096
"""Columns a table may have; more are no table of utterances, and every one costs time by itself."""

UNPACKED_BYTES, UNPACKED_RATIO = 64_000_000, 50
"""A Parquet file may unpack to so many bytes, or to so many times its own size if that is more: a few kilobytes can say
one value a billion times."""

NO_NUMBER = pa.array(["", "nan", "NaN", "NA", "N/A", "null", "None"])


def read_table(path: Path) -> pa.Table:
    """Read a CSV, TSV or Parquet file; the columns of a text file are strings, empty fields null.

    Raises:
        InputError: the file is missing, a folder, of another kind, empty, not a table, or one that unpacks without end.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a table: name the file, such as {path / 'metadata.csv'}")
    if not path.exists():
        raise InputError(f"{path}: no such file: check the spelling and the folder")
    if not path.is_file():
        raise InputError(f"{path}: is a pipe or a device; expected a file, which can be read twice: save it first")
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"{path}: is a '{suffix}' file; expected a table as .csv, .tsv or .parquet: convert it first")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; expected a table with a header row: write it again")
    try:
        table = _read_parquet(path) if suffix == ".parquet" else _read_text(path, "\t" if suffix == ".tsv" else ",")
    except (pa.ArrowException, UnicodeDecodeError, csv.Error, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        kind = "a Parquet file" if suffix == ".parquet" else "a UTF-8 text table"
        raise InputError(f"{path}: is not {kind} ({reason}): export it again") from error
    double = {name for name, count in Counter(table.column_names).items() if count > 1}
    if double:
        raise InputError(f"{path}: has two columns '{min(double)[:40]}'; expected each name once: rename one")
    return table


def _read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file piece by piece, and no further than a table of its size can go."""
    most = max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)
    with pq.ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        _check_columns(path, file.metadata.num_columns)
        unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        batches = []
        for batch in file.iter_batches() if unpacked <= most else ():
            # A dictionary is unpacked here, or it would be where nobody counts.
            columns = [
                column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for column in batch.columns
            ]
            batches.append(pa.record_batch(columns, names=batch.schema.names))
            unpacked = sum(batch.nbytes for batch in batches)
            if unpacked > most:
                break
        if unpacked > most:
            raise InputError(
                f"{path}: unpacks to more than {most / 1e6:.0f} MB, from {path.stat().st_size / 1e6:.1f}; expected a "
                f"table of utterances, at most {UNPACKED_RATIO} times its file's size: write it anew"
            )
        # Without what the file says of pandas and Arrow, which is a stranger's too.
        schema = batches[0].schema if batches else file.schema_arrow.remove_metadata()
    table = pa.Table.from_batches(batches, schema)
    table.validate(full=True)
    return table.combine_chunks()


def _check_columns(path: Path, count: int) -> None:
    if count > MOST_COLUMNS:
        raise InputError(f"{path}: has {count} columns; expected at most {MOST_COLUMNS}: leave out the others")


def _read_text(path: Path, delimiter: str) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        # Blank lines before the header are passed over here as Arrow passes over them.
        header = next((row for row in csv.reader(file, delimiter=delimiter) if row), [])
    if not header or any("\0" in name for name in header):
        raise csv.Error("no header row")
    _check_columns(path, len(header))
    if delimiter == "," and len(header) == 1 and ";" in header[0]:
        # Not read all the same: where spreadsheets write semicolons they write decimal commas too.
        raise InputError(f"{path}: its columns are separated by ';'; expected ',' and decimal points: export it so")
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in header},
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def typed(table: pa.Table, where: str) -> pa.Table:
    """Give the known columns their types: what identifies becomes text, what measures becomes float64.

    Other columns stay as they are, apart from text columns named for a unit (`UNITS`) all of whose values are
    numbers.

    Args:
        table: columns of any type.
        where: what messages call the table.

    Raises:
        InputError: a known column holds what its type cannot, or an attribute lies outside 1–7.
    """
    for index, name in enumerate(table.column_names):
        column = table[name]
        if name in NAME_COLUMNS or name in TEXT_COLUMNS:
            column = _as_text(column, name, where)
        elif name in ATTRIBUTES or name in NUMBER_COLUMNS or name.startswith("votes_"):
            column = _as_numbers(column, name, where)
        elif name.endswith(UNITS) and _is_text(column.type):
            column = _as_numbers_where_possible(column)
        table = table.set_column(index, name, column)
    for name in ATTRIBUTES:
        if name in table.column_names:
            _check_range(table[name], name, where, low=1.0, high=7.0)
    for name in table.column_names:
        if name.startswith("votes_"):
            _check_range(table[name], name, where, low=0.0, high=float("inf"))
    return table


def columns_found(names: Iterable[str]) -> str:
    """Return column names as a message lists them."""
    names = [str(name)[:40] for name in names]
    listed = ", ".join(f"'{name}'" for name in names[:20])
    return (listed or "no columns") + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _as_text(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    try:
        column = column.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(f"{where}: column '{name}' holds {column.type} values; expected text: convert it") from error
    if name in NAME_COLUMNS:
        # "03 " and "03" are one speaker, whom a leak must not hide behind a blank.
        column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _as_numbers(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    try:
        numbers = _parsed(column)
    except pa.ArrowException as error:
        row, value = _first_no_number(column)
        raise InputError(
            f"{where}: row {row}: '{name}' is '{value}'; expected a number: correct it, or leave it empty where unknown"
        ) from error
    row = pc.index(pc.fill_null(pc.is_inf(numbers), False), True).as_py()
    if row >= 0:
        raise InputError(
            f"{where}: row {row + 1}: '{name}' is infinite; expected a number: correct it, or leave it empty where "
            "unknown"
        )
    return numbers


def _as_numbers_where_possible(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return _parsed(column)
    except pa.ArrowException:
        # A stranger's column that only happens to end like a unit stays the text it is.
        return column


def _parsed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if _is_text(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(
            pc.is_in(column, value_set=NO_NUMBER.cast(column.type)), pa.scalar(None, column.type), column
        )
    numbers = pc.cast(column, pa.float64())
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def _first_no_number(column: pa.ChunkedArray) -> tuple[int, object]:
    """Return the row, counted from 1, and the value of the first that is no number, in a column that has one."""
    first, last = 0, len(column)
    while last - first > 1:
        middle = (first + last) // 2
        try:
            _parsed(column.slice(first, middle - first))
            first = middle
        except pa.ArrowException:
            last = middle
    return first + 1, column[first].as_py()


def _check_range(column: pa.ChunkedArray, name: str, where: str, *, low: float, high: float) -> None:
    outside = pc.or_kleene(pc.less(column, low), pc.greater(column, high))
    row = pc.index(pc.fill_null(outside, False), True).as_py()
    if row >= 0:
        expected = f"{low:g} to {high:g}" if high < float("inf") else f"at least {low:g}"
        raise InputError(
            f"{where}: row {row + 1}: '{name}' is {column[row].as_py():g}; expected {expected}: "
            "rescale or correct the column"
        )
