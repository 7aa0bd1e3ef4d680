"""The manifest: a table of utterances beside its audio, as CSV or Parquet (Hugging Face `audiofolder` layout)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sertool.core.corpus.tables import columns_found, read_table, typed
from sertool.core.errors import InputError
from sertool.core.writing import whole_file

PATH_COLUMNS = ("file_name", "clean_file", "noise_file", "rir_file", "noise_rir_file", "face_file")
"""Columns that hold paths: relative and beneath the manifest's folder, or absolute."""

REMEDIES = {
    "file_name": "name the audio of each row in it, or make the manifest with 'sertool corpus folder'",
    "emotion": "label the rows, or name the column of labels with 'sertool corpus folder --column emotion=NAME'",
    "speaker": "name the speakers, or take them from the file names with 'sertool corpus folder --speaker-pattern'",
    "split": "split by speaker with 'sertool corpus ... --folds'",
    "clean_file": "make a noisy manifest with 'sertool mix-noise'",
    "kind": "say the kind of noise of each recording",
    "score": "make a table of scores with 'sertool score-curriculum'",
}
CSV_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Manifest:
    """Utterances, one a row, and the folder their relative paths start from.

    The columns stay in Arrow's memory: no row becomes a Python object until one asks for it. A missing value is null.

    Attributes:
        table: Arrow-backed columns, index 0 … n-1; what identifies (`speaker`, `text`, `emotion` …) is a string.
        folder: what relative paths start from, absolute.
        path: the file it was read from, if any.
    """

    table: pd.DataFrame
    folder: Path
    path: Path | None = None

    @classmethod
    def read(cls, path: Path | str, require: Sequence[str] = ()) -> "Manifest":
        """Read and check a manifest.

        In a CSV every column is text, apart from the attributes, `votes_<category>` and names that end in a unit
        (`snr_db`, `noise_offset_s`, `recognition_percent` …): a speaker called "03" stays "03".

        Args:
            path: a `.csv`, `.tsv` or `.parquet` file.
            require: columns that must be there besides `file_name`.

        Raises:
            InputError: the file is missing, is no table, is empty, lacks a column; a file name is missing, double or
                contains '..'; an attribute is no number or lies outside 1–7.
        """
        path = Path(path)
        manifest = cls.from_table(read_table(path), path.resolve().parent, path=path)
        manifest.require(*require)
        return manifest

    @classmethod
    def from_table(cls, table: pd.DataFrame | pa.Table, folder: Path | str, *, path: Path | None = None) -> "Manifest":
        """Make a manifest of rows in memory: columns get the types of a manifest and are checked as in `read`."""
        if isinstance(table, pd.DataFrame):
            table = pa.Table.from_pandas(table, preserve_index=False)
        where = str(path) if path else "manifest"
        table = typed(table, where)
        manifest = cls(table.to_pandas(types_mapper=pd.ArrowDtype), Path(folder).resolve(), path)
        manifest.require("file_name")
        if table.num_rows == 0:
            raise InputError(f"{where}: holds no utterances; expected at least one row below the header: add rows")
        _check_paths(table, manifest.folder, where)
        return manifest

    def __len__(self) -> int:
        return len(self.table)

    @property
    def name(self) -> str:
        """What messages call this manifest."""
        return str(self.path) if self.path else "manifest"

    def has(self, column: str) -> bool:
        """Return whether a column is there and holds at least one value."""
        return column in self.table.columns and bool(self.table[column].notna().any())

    def require(self, *columns: str) -> None:
        """Check that columns are there.

        Raises:
            InputError: one is not; the message names those found and the way out.
        """
        for column in columns:
            if column not in self.table.columns:
                remedy = REMEDIES.get(column, "add it")
                found = columns_found(self.table.columns)
                raise InputError(f"{self.name}: has no column '{column}', but {found}; expected '{column}': {remedy}")

    def where(self, mask: object) -> "Manifest":
        """Return the rows for which `mask` (n,) is true; null counts as false. The result may be empty."""
        chosen = pd.Series(mask).fillna(False).astype(bool).to_numpy()
        return Manifest(self.table[chosen].reset_index(drop=True), self.folder, self.path)

    def split(self, name: str) -> "Manifest":
        """Return the rows of one split.

        Raises:
            InputError: there is no column `split`, or no row in that split.
        """
        self.require("split")
        part = self.where(self.table["split"] == name)
        if not len(part):
            found = ", ".join(sorted(self.table["split"].dropna().unique())) or "none"
            remedy = "name one of these, or split anew with 'sertool corpus ... --folds'"
            raise InputError(f"{self.name}: no utterance is in split '{name}'; splits found: {found}: {remedy}")
        return part

    def speakers(self) -> pd.Series:
        """Return who speaks in every row, null where nobody knows; by corpus and name where there are several corpora.

        Speakers of the same name in different corpora (column `corpus`) are different people.
        """
        if "speaker" not in self.table.columns:
            return pd.Series(None, index=self.table.index, dtype=pd.ArrowDtype(pa.string()))
        names = self.table["speaker"]
        if self.has("corpus") and self.table["corpus"].nunique(dropna=False) > 1:
            return self.table["corpus"].fillna("") + "/" + names
        return names

    def paths(self, column: str = "file_name") -> list[Path]:
        """Return the absolute path in `column` of every row, in order.

        Raises:
            InputError: the column is missing, or a row has no path in it.
        """
        self.require(column)
        return [self._located(name, row, column) for row, name in enumerate(self.table[column])]

    def path_of(self, row_index: int, column: str = "file_name") -> Path:
        """Return the absolute path in `column` of one row, counted from 0.

        Raises:
            InputError: the column is missing, or the row has no path in it.
        """
        self.require(column)
        return self._located(self.table[column].iloc[row_index], row_index, column)

    def rebased(self, folder: Path | str) -> "Manifest":
        """Return the same rows with paths as seen from another folder: relative when beneath it, else absolute."""
        folder = Path(folder).resolve()
        table = self.table.copy(deep=False)
        for column in PATH_COLUMNS:
            if column in table.columns:
                names = pa.array(table[column], type=pa.string())
                table[column] = pd.Series(_seen_from(names, self.folder, folder), dtype=pd.ArrowDtype(pa.string()))
        return Manifest(table, folder, self.path)

    def write(self, path: Path | str) -> "Manifest":
        """Write the manifest whole or not at all, CSV or Parquet by suffix, `file_name` first; return it as written.

        Paths are written as seen from the new file's folder.

        Raises:
            InputError: see `check_writable`.
            OutputError: the disk is full, or refuses.
        """
        path = Path(path)
        check_writable(path)
        manifest = self.rebased(path.parent)
        columns = ["file_name", *(name for name in manifest.table.columns if name != "file_name")]
        manifest = Manifest(manifest.table[columns], manifest.folder, path)
        with whole_file(path) as partial:
            manifest._write_rows(partial)
        return manifest

    def _write_rows(self, path: Path) -> None:
        if path.suffix.lower() == ".parquet":
            pq.write_table(pa.Table.from_pandas(self.table, preserve_index=False), path)
        else:
            self.table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", chunksize=CSV_ROWS_AT_ONCE)

    def _located(self, name: object, row: int, column: str) -> Path:
        if name is None or pd.isna(name):
            raise InputError(
                f"{self.name}: row {row + 1} has no '{column}'; expected a path: fill it in or leave out the row"
            )
        return self.folder / str(name)


def check_writable(path: Path) -> None:
    """Check that a manifest can be called this.

    Raises:
        InputError: it is a folder, or the suffix is neither `.csv` nor `.parquet`.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a file to write: name one, such as {path / 'metadata.csv'}")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{path}: cannot write '{path.suffix}' tables; expected .csv or .parquet: choose one of these")


def utterance_key(path: Path | str) -> str:
    """Return what an utterance is known by wherever its corpus lies: the last two parts of its resolved path."""
    return "/".join(Path(path).resolve().parts[-2:])


def _seen_from(names: pa.Array, old: Path, new: Path) -> pa.Array:
    """Return paths, relative to `old` or absolute, as relative to `new` where beneath it and absolute elsewhere."""
    old_prefix, new_prefix = (f"{str(folder).rstrip('/')}/" for folder in (old, new))
    absolute = pc.if_else(
        pc.starts_with(names, "/"), names, pc.binary_join_element_wise(pa.scalar(old_prefix), names, pa.scalar(""))
    )
    beneath = pc.starts_with(absolute, new_prefix)
    return pc.if_else(beneath, pc.utf8_slice_codeunits(absolute, start=len(new_prefix)), absolute)


def _check_paths(table: pa.Table, folder: Path, where: str) -> None:
    for column in PATH_COLUMNS:
        if column in table.column_names:
            impossible = pc.index(pc.fill_null(pc.match_substring(table[column], "\0"), False), True).as_py()
            if impossible >= 0:
                raise InputError(
                    f"{where}: row {impossible + 1}: '{column}' holds a NUL character; expected a path, in which none "
                    "can be: write the table again"
                )
            upwards = pc.index(
                pc.fill_null(pc.match_substring_regex(table[column], r"(^|[/\\])\.\.($|[/\\])"), False), True
            ).as_py()
            if upwards >= 0:
                name = table[column][upwards].as_py()
                raise InputError(
                    f"{where}: row {upwards + 1}: '{column}' is '{name}'; expected a path beneath the manifest's "
                    "folder, or an absolute one, without '..': give the absolute path"
                )
    names = table["file_name"]
    if names.null_count:
        row = pc.index(pc.is_null(names), True).as_py() + 1
        raise InputError(
            f"{where}: row {row} has no file_name; expected a path in every row: fill it in or leave out the row"
        )
    nameless = pc.index(pc.match_substring_regex(names, r"^[/.]*$|/\.?$"), True).as_py()
    if nameless >= 0:
        raise InputError(
            f"{where}: row {nameless + 1}: file_name is '{names[nameless].as_py()}'; expected the path of a file, not "
            "of a folder: name the file"
        )
    # './a.wav', 'a.wav' and '<folder>/a.wav' are one file.
    plain = pc.replace_substring_regex(names, r"/(\./)*/*", "/")
    plain = pc.replace_substring_regex(plain, r"^(\./)+", "")
    plain = _seen_from(pa.concat_arrays(plain.chunks), folder, folder)
    if pc.count_distinct(plain).as_py() < len(plain):
        counts = pc.value_counts(plain)
        double = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py()
        raise InputError(f"{where}: '{double}' is listed more than once; expected one row a file: leave out the others")
