"""Features on disk: a Parquet table, one NumPy array with its list of names, or an array a file; written as they come.

In a table every dimension is a column of float32, `f0000` on, so that `table.filter(regex=r"^f\\d{4}$")` is the matrix
scikit-learn takes; beside them stand `file_name`, the columns carried over from a manifest, and for frames `frame` and
`time_s`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sertool.core.errors import InputError
from sertool.core.writing import whole_file

FRAME_S = 0.02
"""From one frame to the next, in seconds."""

HELD_BYTES = 32_000_000
"""Features held before they are written as row groups of this size."""

Add = Callable[[pa.Table, np.ndarray], None]
"""Adds an utterance: its one row (`file_name` and what is carried over), and its features."""

_OWN_COLUMN = re.compile(r"f\d{4,}|frame|time_s")


def check_carried(columns: list[str]) -> None:
    """Raise InputError where columns to carry over would be taken for features."""
    taken = [name for name in columns if _OWN_COLUMN.fullmatch(name)]
    if taken:
        raise InputError(f"column '{taken[0]}' is what a column of features is called: rename it in the manifest")


@contextmanager
def feature_table(path: Path, *, frames: bool) -> Iterator[Add]:
    """Write a Parquet file of features, whole or not at all, in row groups of a bounded size.

    Args:
        path: the file.
        frames: whether features are frames (T, D), with their number and time, or one row an utterance, (D,).

    Yields:
        What adds an utterance.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as partial:
        table = _Table(partial, frames=frames)
        try:
            yield table.add
            table.write_held()
        finally:
            table.close()


@contextmanager
def feature_array(path: Path) -> Iterator[Add]:
    """Write one array (N, D) of utterances as `.npy`, and beside it, in a CSV of the same name, their rows.

    Args:
        path: the `.npy`.

    Yields:
        What adds an utterance, its features of shape (D,).

    Raises:
        OutputError: one of them cannot be written.
    """
    shape = (0, 0)

    def write_header() -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(array, header)

    def add(row: pa.Table, features: np.ndarray) -> None:
        nonlocal shape
        is_first = shape[0] == 0
        shape = (shape[0] + 1, len(features))
        if is_first:
            write_header()
        array.write(np.ascontiguousarray(features, dtype=np.float32))
        row.to_pandas(types_mapper=pd.ArrowDtype).to_csv(names, index=False, header=is_first, lineterminator="\n")

    with (
        whole_file(path) as array_path,
        whole_file(path.with_suffix(".csv")) as names_path,
        open(array_path, "w+b") as array,
        open(names_path, "w", encoding="utf-8", newline="") as names,
    ):
        yield add
        # The header leaves room for the number of rows to grow.
        array.seek(0)
        write_header()


def write_array(path: Path, features: np.ndarray) -> None:
    """Write one utterance's features as `.npy`, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path, durable=False) as partial:
        np.save(partial, features)


class _Table:
    """Utterances held until they make a row group."""

    def __init__(self, path: Path, *, frames: bool) -> None:
        self._path, self._frames = path, frames
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[pa.Table] = []
        self._starts: list[int] = []
        self._features: list[np.ndarray] = []
        self._held_bytes = 0

    def add(self, row: pa.Table, features: np.ndarray) -> None:
        features = features.reshape(-1, features.shape[-1])
        at_once = _rows_at_once(features)
        for start in range(0, len(features), at_once):
            part = features[start : start + at_once]
            self._rows.append(row)
            self._starts.append(start)
            self._features.append(part)
            self._held_bytes += part.nbytes
            if self._held_bytes >= HELD_BYTES:
                self.write_held()

    def write_held(self) -> None:
        if not self._rows:
            return
        counts = [len(features) for features in self._features]
        features = np.concatenate(self._features)
        table = pa.concat_tables(self._rows).take(pa.array(np.repeat(np.arange(len(counts)), counts)))
        if self._frames:
            frame = np.concatenate([start + np.arange(n) for start, n in zip(self._starts, counts, strict=True)])
            table = table.append_column("frame", pa.array(frame, pa.int32()))
            table = table.append_column("time_s", pa.array(frame * FRAME_S, pa.float64()))
        for index, column in enumerate(np.ascontiguousarray(features.T)):
            table = table.append_column(f"f{index:04d}", pa.array(column, pa.float32()))
        if self._writer is None:
            words = [name for name in table.column_names if not _OWN_COLUMN.fullmatch(name)]
            self._writer = pq.ParquetWriter(self._path, table.schema, use_dictionary=words, write_statistics=words)
        self._writer.write_table(table, row_group_size=_rows_at_once(features))
        self._rows, self._starts, self._features, self._held_bytes = [], [], [], 0

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _rows_at_once(features: np.ndarray) -> int:
    return max(1, HELD_BYTES // (4 * features.shape[1]))
