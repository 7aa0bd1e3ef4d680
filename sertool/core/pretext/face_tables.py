"""Tables of faces, a row a clip: how strong each action unit is on average, and in which share of the frames it shows.

Such a table sums up what OpenFace 2 says frame by frame: `AU01_r` is the mean intensity (0–5) of unit 1 in a clip,
`AU01_c` the share of its
frames (0–1) in which the unit is present. A unit without one of the two is passed over. Blanks around
names and numbers, a byte order mark and the order of rows and columns do not matter.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sertool.core.audio.files import SUFFIXES
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import InputError
from sertool.core.pretext.action_units import NEEDED_UNITS
from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.openface import UNIT_COLUMN, UNIT_RANGES
from sertool.core.pretext.openface_csv import delimiter_instead_of_comma, numbers_or_nan

KEY_COLUMNS = ("clip", "file_name", "filename", "name")
"""Columns that say which clip a row is of; the first of these that is there is taken."""

FRAME_COLUMNS = ("frame", "timestamp")
"""Columns that only a table of frames has."""

VIDEO_SUFFIXES = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
FILE_SUFFIXES = SUFFIXES | VIDEO_SUFFIXES | {".csv"}
"""What is dropped at the end of a clip's name; another dot is part of the name."""


@dataclass(frozen=True)
class FaceTable:
    """Action units of N clips.

    Attributes:
        keys: the clips' names, without folders and suffix, each once.
        units: numbers of the U action units that have both columns, increasing.
        intensity: mean intensity, 0–5, float32, (N, U); NaN where the table has no number.
        presence: share of frames in which the unit is present, 0–1, float32, (N, U); NaN likewise.
        path: the file it was read from, if any.
    """

    keys: tuple[str, ...]
    units: tuple[int, ...]
    intensity: np.ndarray
    presence: np.ndarray
    path: Path | None = None

    def row_of(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the intensity (U,) and presence (U,) of one clip, float32.

        Raises:
            FaceError: a number is missing or out of its range; the message names clip and column.
        """
        intensity, presence = self.intensity[index], self.presence[index]
        for kind, numbers in (("r", intensity), ("c", presence)):
            low, high = UNIT_RANGES[kind]
            strange = np.flatnonzero(~((numbers >= low) & (numbers <= high)))  # NaN is no number's equal
            if len(strange):
                where = f"{self.path or 'table'}: clip '{self.keys[index]}': 'AU{self.units[strange[0]]:02d}_{kind}'"
                number = numbers[strange[0]]
                if np.isnan(number):
                    raise FaceError("a number is missing", f"{where} holds no number; expected one: fill it in")
                raise FaceError(
                    "out of range",
                    f"{where} is {number:g}; expected {low:g} to {high:g}: rescale or correct the column",
                )
        return intensity, presence


def read_face_table(path: Path | str) -> FaceTable:
    """Read a table of clips (CSV, TSV or Parquet) by column name.

    A cell that holds no number becomes NaN: it is the fault of its row alone, see `FaceTable.row_of`.

    Raises:
        InputError: the file is no table, has no column of keys or no unit with both columns, names a clip twice or not
            at all, has a column without any number, or is a table of frames.
    """
    path = Path(path)
    table = read_table(path)
    names = [name.strip() for name in table.column_names]
    _check_kind(path, names)
    key_column = next(name for name in KEY_COLUMNS if name in names)
    units = _units(path, names)
    wanted = [f"AU{unit:02d}_{kind}" for kind in "rc" for unit in units]
    counts = Counter(names)
    if double := next((name for name in (key_column, *wanted) if counts[name] > 1), None):
        raise InputError(f"{path}: has two columns '{double}'; expected each name once: leave out one of them")
    if not table.num_rows:
        raise InputError(f"{path}: holds no clip; expected at least one row below the header: add rows")
    keys = _keys(path, key_column, table.column(names.index(key_column)))
    numbers = [_numbers(path, name, table.column(names.index(name))) for name in wanted]
    intensity, presence = (
        np.stack(part, axis=1).astype(np.float32) for part in (numbers[: len(units)], numbers[len(units) :])
    )
    return FaceTable(keys, units, intensity, presence, path)


def clip_name(name: str) -> str:
    """Return what a clip is called, from its name or path: without folders, and without the suffix of a known kind."""
    name = name.strip().replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in FILE_SUFFIXES else name


def _check_kind(path: Path, names: Sequence[str]) -> None:
    """Check that this is a table of clips, rather than one of frames or one of other delimiters."""
    other = delimiter_instead_of_comma(names)
    if other and path.suffix.lower() == ".csv":
        raise InputError(f"{path}: its columns are separated by {other}; expected ',' and decimal points: export it so")
    if frames := next((name for name in FRAME_COLUMNS if name in names), None):
        raise InputError(
            f"{path}: has a column '{frames}': it is an OpenFace file of frames; expected a table of clips, one a row: "
            "name the folder that the OpenFace files lie in"
        )
    if not set(KEY_COLUMNS) & set(names):
        raise InputError(
            f"{path}: has no column that names the clips, but {columns_found(names)}; expected 'clip' or 'file_name': "
            "rename the column that holds them"
        )


def _units(path: Path, names: Sequence[str]) -> tuple[int, ...]:
    """Return the units with intensity and presence: of those that make up expressions, where there are any."""
    found = [match for name in names if (match := UNIT_COLUMN.fullmatch(name))]
    of_kind = {kind: {int(match[1]) for match in found if match[2] == kind} for kind in "rc"}
    both = of_kind["r"] & of_kind["c"]
    units = tuple(sorted(both & set(NEEDED_UNITS) or both))
    if not units:
        raise InputError(
            f"{path}: has no action unit with both columns, but {columns_found(names)}; expected pairs such as AU12_r "
            "(mean intensity) and AU12_c (share of frames): sum up OpenFace's frames so"
        )
    return units


def _keys(path: Path, name: str, column: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the clips' names, none of them missing or double."""
    try:
        texts = pc.fill_null(column.cast(pa.string()), "").to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"{path}: column '{name}' holds {column.type} values; expected text: convert it") from error
    keys = tuple(clip_name(text) for text in texts)
    rows: dict[str, int] = {}
    for row, key in enumerate(keys, start=1):
        if not key:
            raise InputError(
                f"{path}: row {row} has no '{name}'; expected a clip's name: fill it in or leave out the row"
            )
        if rows.setdefault(key, row) != row:
            raise InputError(
                f"{path}: rows {rows[key]} and {row} are both of the clip '{key}'; expected one row a clip: "
                "leave out one of them"
            )
    return keys


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    try:
        numbers = numbers_or_nan(column)
    except pa.ArrowException as error:
        raise InputError(f"{path}: column '{name}' holds {column.type} values; expected numbers: convert it") from error
    if np.isnan(numbers).all():
        raise InputError(f"{path}: column '{name}' holds no number; expected one a clip: fill it in, or leave it out")
    return numbers
