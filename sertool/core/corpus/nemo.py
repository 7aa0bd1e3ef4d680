"""nEMO: nine Polish actors, 90 sentences, six emotions (Christop, LREC-COLING 2024)."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from sertool.core.corpus.clips import SKIPPED, check_any, check_once, find_clips
from sertool.core.corpus.splits import Protocol
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import InputError

PROTOCOL = Protocol(test=("EB0", "KS0"), dev=("IC0", "MP0"))

COLUMNS = ("file_id", "emotion", "raw_text", "normalized_text", "speaker_id", "gender", "age")


def read(folder: Path) -> pd.DataFrame:
    """Read the clips of nEMO from `data.tsv`, whose file names end in .wav whatever the clips' suffix is now.

    Args:
        folder: holds `data.tsv` and, at any depth, the clips.

    Returns:
        One row a clip: path, speaker ("EB0" …), emotion, gender, text, normalized_text, age, skipped. A clip that the
        table does not list, or without its file, is left out.

    Raises:
        InputError: the table is missing or lacks a column, no clip is listed, or one lies there twice.
    """
    clips = find_clips(folder)
    check_once(clips, folder)
    table = _table(folder / "data.tsv")
    listed = table.assign(stem=table["file_id"].str.replace(r"\.\w+$", "", regex=True)).drop(columns="file_id")
    if listed["stem"].duplicated().any():
        double = listed["stem"][listed["stem"].duplicated()].iloc[0]
        raise InputError(f"{folder / 'data.tsv'}: lists '{double}' twice; expected one row a clip: remove one")
    rows = clips.merge(listed, on="stem", how="outer", indicator="found", sort=True)
    rows[SKIPPED] = (
        rows["found"].astype(str).map({"left_only": "not listed in data.tsv", "right_only": "listed, without audio"})
    )
    rows = rows.rename(columns={"speaker_id": "speaker", "raw_text": "text"})
    check_any(rows, folder, names="EB0_anger_10.wav")
    return rows[["path", "speaker", "emotion", "gender", "text", "normalized_text", "age", SKIPPED]]


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        found = columns_found(table.column_names)
        raise InputError(
            f"{path}: has no column '{missing[0]}', but {found}; expected nEMO's data.tsv: get the file anew"
        )
    return table.select(COLUMNS).to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)
