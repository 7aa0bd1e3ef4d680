"""Any folder of speech: a table (also Hugging Face `audiofolder`), a folder a class, or bare files."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from sertool.core.corpus.categories import canonical
from sertool.core.corpus.clips import SKIPPED, check_any, existing_audio, find_clips
from sertool.core.corpus.json_lines import read_json_lines
from sertool.core.corpus.manifest import PATH_COLUMNS, Manifest
from sertool.core.corpus.splits import SPLIT_WORDS, Protocol
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import InputError

PROTOCOL = Protocol()

TABLES = ("metadata.csv", "metadata.tsv", "metadata.parquet", "metadata.jsonl")
NOBODY = frozenset({"unknown", "nan", "none", "null", "n/a", "na", "?"})
"""What tables write for a speaker nobody knows."""

GENDER_WORDS = {"f": "female", "female": "female", "woman": "female", "m": "male", "male": "male", "man": "male"}


def read(
    folder: Path,
    *,
    columns: Mapping[str, str] | None = None,
    speaker_pattern: str | None = None,
    own_words: Collection[str] = (),
) -> pd.DataFrame:
    """Read a folder of speech or a table of it.

    Labels come from the table: `metadata.csv`, `.tsv`, `.parquet` or `.jsonl` in the folder, or one in each of its
    subfolders. Without one, the folder a file lies in is its label if any such folder is named for a category. A first
    subfolder called train, validation, test … is the split, where no column says it.

    Args:
        folder: the folder, or the table itself.
        columns: the table's own name of a column, by the name it gets here: {"emotion": "label"}.
        speaker_pattern: regular expression with one group, searched in the file's name; what the group matches is the
            speaker.
        own_words: words besides the vocabulary that may name a folder of one class.

    Returns:
        One row a file: path, skipped, and the columns found.

    Raises:
        InputError: there is no audio, the table is wrong (see `Manifest.read`), a column or the pattern is.
    """
    pattern = _compiled(speaker_pattern)
    tables = _tables(folder)
    if tables:
        rows = pd.concat([_listed(table, columns or {}) for table in tables], ignore_index=True)
    elif columns:
        raise InputError(
            f"{folder}: has no table to take columns from; expected {', '.join(TABLES)}: write one, or drop --column"
        )
    else:
        rows = _found(folder, own_words)
    base = folder if folder.is_dir() else folder.parent
    if "split" not in rows and rows["path"].notna().any():
        rows["split"] = _splits_by_folder(rows["path"], base.resolve())
    if pattern:
        rows["speaker"] = rows["path"].map(lambda path: _speaker(path, pattern))
    if SKIPPED not in rows:
        rows[SKIPPED] = None
    check_any(rows, folder, names="those in its table")
    return _in_our_words(rows)


def _compiled(pattern: str | None) -> re.Pattern | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--speaker-pattern '{pattern}': is no regular expression ({error}): correct it, as in '^(\\d+)-'"
        ) from error
    if compiled.groups != 1:
        raise InputError(
            f"--speaker-pattern '{pattern}': has {compiled.groups} groups; expected one, as in '^(\\d+)-': add it"
        )
    return compiled


def _speaker(path: object, pattern: re.Pattern) -> str | None:
    match = pattern.search(Path(path).name) if isinstance(path, str) else None
    return match.group(1) or None if match else None


def _tables(folder: Path) -> list[Path]:
    """Return the tables that list the audio: the file itself, one in the folder, or one in each subfolder; or none."""
    if not folder.is_dir():
        return [folder]
    for beneath in ("", "*/"):
        found = sorted(path for name in TABLES for path in folder.glob(beneath + name))
        double = [path for path in found if sum(other.parent == path.parent for other in found) > 1]
        if double:
            raise InputError(
                f"{double[0]} and {double[1].name} both list the audio; expected one table: name the one to read"
            )
        if found:
            return found
    return []


def _listed(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of a table, each with the path of its audio."""
    table = read_json_lines(path) if path.suffix.lower() == ".jsonl" else read_table(path)
    for name, source in columns.items():
        if source not in table.column_names:
            found = columns_found(table.column_names)
            raise InputError(f"{path}: has no column '{source}', but {found}: correct --column {name}={source}")
        if name != source:
            table = table.drop_columns([name]) if name in table.column_names else table
            table = table.rename_columns([name if column == source else column for column in table.column_names])
    manifest = Manifest.from_table(table, path.resolve().parent, path=path)
    rows = manifest.table.drop(columns="file_name")
    located = existing_audio(manifest.paths())
    rows["path"] = [str(found) if found else None for found in located]
    rows[SKIPPED] = [None if found else "listed, without audio" for found in located]
    for column in PATH_COLUMNS:
        if column in rows:
            rows[column] = [None if pd.isna(name) else str(manifest.folder / name) for name in rows[column]]
    if path.parent.name.lower() in SPLIT_WORDS and "split" not in rows:
        rows["split"] = path.parent.name.lower()
    return rows


def _found(folder: Path, own_words: Collection[str]) -> pd.DataFrame:
    """Return the audio files beneath a folder, labelled by the folders they lie in if any is named for a category."""
    rows = find_clips(folder).drop(columns="stem")
    base = str(folder.resolve())
    parents = rows["path"].map(lambda path: None if str(Path(path).parent) == base else Path(path).parent.name.lower())
    labels = parents.where(~parents.isin(list(SPLIT_WORDS)))
    if any(canonical(word) or word in own_words for word in labels.dropna().unique()):
        rows["emotion"] = labels
    return rows


def _splits_by_folder(paths: pd.Series, base: Path) -> pd.Series:
    def first_folder(path: object) -> str | None:
        if not isinstance(path, str) or not Path(path).is_relative_to(base):
            return None
        return SPLIT_WORDS.get(Path(path).relative_to(base).parts[0].lower())

    return paths.map(first_folder)


def _in_our_words(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with splits, genders and unknown speakers in our words, without columns that hold no value."""
    for column, words in (("split", SPLIT_WORDS), ("gender", GENDER_WORDS)):
        if column in rows:
            given = rows[column].astype("string[pyarrow]")
            rows[column] = given.str.lower().map(words).fillna(given)
    if "speaker" in rows:
        given = rows["speaker"].astype("string[pyarrow]")
        rows["speaker"] = given.mask(given.str.lower().isin(list(NOBODY)))
    empty = [name for name in ("split", "speaker") if name in rows and rows[name].isna().all()]
    return rows.drop(columns=empty)
