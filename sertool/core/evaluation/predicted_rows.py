"""One table of predictions as a stranger wrote it: which utterance, heard in what, taken for which category."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sertool.core.corpus.categories import canonical
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import InputError
from sertool.core.evaluation.pairing import MIXTURE
from sertool.core.evaluation.predicted_files import UtteranceNames
from sertool.core.evaluation.scores import CLEAN

SUM_TOLERANCE = 1e-3
"""How far probabilities may be from a sum of 1 (ours): tables are rounded."""

_SNR = re.compile(r"([-+−]?\d+(?:\.\d+)?)\s*(?:dB)?", re.IGNORECASE)
_EMPTY = ("", "nan", "none", "null", "inf")


class Words:
    """A tool's words for emotions, as categories of the corpus.

    Args:
        classes: the corpus's categories.
        mapping: categories of further words, see `parse_map`; words of the vocabulary ("angry") need none.
    """

    def __init__(self, classes: Sequence[str], mapping: Mapping[str, str | None]):
        self.classes = tuple(classes)
        self._mapping = mapping

    def category(self, word: str) -> str | None:
        """Return the class a word means, None where it means none of them."""
        plain = word.strip().lower()
        candidates = (word, self._mapping.get(plain, plain))
        if plain not in self._mapping:
            candidates += (canonical(plain),)
        return next((one for one in candidates if one in self.classes), None)

    def stranger(self, where: str, found: str, word: str) -> InputError:
        """Return the error for a word that means no class."""
        return InputError(
            f"{where}: {found} '{word}', which is no class here; expected {', '.join(self.classes)}: map it to one of "
            f"these (--map {word.strip().lower()}=CATEGORY, or in the table), or take utterances labelled with it too"
        )


def read_rows(path: Path, names: UtteranceNames, conditions: Sequence[float | None], words: Words) -> pd.DataFrame:
    """Return the rows of one table.

    Args:
        path: CSV, TSV or Parquet.
        names: the utterances judged.
        conditions: SNRs in dB, None for clean speech; empty where the manifest tells them.
        words: what its words for emotions mean.

    Returns:
        `place`, for messages; `row`, of the manifest, -1 where the row is of another utterance or condition; `snr_db`,
        NaN for clean speech and where the manifest tells it; `seed` if there is such a column; of a clean manifest the
        facts of `MIXTURE`, and `noise_kind`, that the table tells; `predicted`, and `p_<category>` for every class if
        the table has probabilities: null where `row` is -1.

    Raises:
        InputError: see `read_predictions`.
    """
    table = read_table(path)
    file_column = next((name for name in ("file_name", "file") if name in table.column_names), None)
    if file_column is None or "predicted" not in table.column_names:
        lacking = "predicted" if file_column else "file_name"
        raise InputError(
            f"{path}: has no column '{lacking}', but {columns_found(table.column_names)}; expected file_name and "
            "predicted: rename the columns that hold them"
        )
    texts = {name: table[name].cast(pa.string()).to_pylist() for name in table.column_names}
    rows = _rows(texts[file_column], names, path)
    snrs = _snrs(texts, conditions, path) if conditions else [None] * len(rows)
    if conditions:
        asked = {condition_key(snr_db) for snr_db in conditions}
        rows = np.where([condition_key(snr_db) in asked for snr_db in snrs], rows, -1)
    found = pd.DataFrame({"place": [f"{path}: row {row + 1}" for row in range(len(rows))], "row": rows})
    found["snr_db"] = np.array(snrs, dtype=float)
    if "seed" in texts:
        found["seed"] = [
            _filled(seed, "seed", place) for seed, place in zip(texts["seed"], found["place"], strict=True)
        ]
    for name in (*MIXTURE, "noise_kind") if conditions else ():
        if name in texts and name != "snr_db":
            found[name] = texts[name]
    found["predicted"] = _predicted(texts["predicted"], found, words)
    columns = {name: texts[name] for name in texts if name.startswith("p_")}
    return pd.concat([found, _probabilities(columns, found, words)], axis=1) if columns else found


def condition_key(snr_db: float | None) -> str:
    """Return a word for an SNR in dB by which the rows of different writers meet; null is clean speech."""
    return CLEAN if snr_db is None or math.isnan(snr_db) else f"{round(snr_db, 3) + 0.0:.3f}"


def _filled(text: str | None, column: str, where: str) -> str:
    if not text:
        raise InputError(f"{where}: has no '{column}'; expected one in every row: fill it in")
    return text


def _rows(file_names: Sequence[str | None], names: UtteranceNames, path: Path) -> np.ndarray:
    known: dict[str, int] = {}
    for row, text in enumerate(file_names):
        where = f"{path}: row {row + 1}"
        name = _filled(text, "file_name", where)
        if name not in known:
            found = names.row_of(name, where)
            known[name] = -1 if found is None else found
    return np.array([known[str(name)] for name in file_names], dtype=int)


def _snrs(
    texts: Mapping[str, list[str | None]], conditions: Sequence[float | None], path: Path
) -> Sequence[float | None]:
    """Return the SNR in dB of every row, None for clean speech; `snr_db` comes before `condition`."""
    column = next((name for name in ("snr_db", "condition") if name in texts), None)
    if column is not None:
        return [_snr(text, column, f"{path}: row {row + 1}") for row, text in enumerate(texts[column])]
    if len(conditions) == 1:
        return [conditions[0]] * len(texts["predicted"])
    raise InputError(
        f"{path}: has neither 'snr_db' nor 'condition', and {len(conditions)} conditions were asked for; expected "
        "to be told which each row is of: add snr_db, empty for clean speech"
    )


def _snr(text: str | None, column: str, where: str) -> float | None:
    plain = (text or "").strip()
    if plain.lower() == CLEAN or (column == "snr_db" and plain.lower() in _EMPTY):
        return None
    match = _SNR.fullmatch(plain)
    if match is None:
        raise InputError(f"{where}: '{column}' is '{plain}'; expected 'clean' or an SNR in dB such as 0: correct it")
    return float(match[1].replace("−", "-"))


def _predicted(texts: Sequence[str | None], found: pd.DataFrame, words: Words) -> list[str | None]:
    known: dict[str, str] = {}
    predicted: list[str | None] = []
    for text, row, place in zip(texts, found["row"], found["place"], strict=True):
        word = _filled(text, "predicted", place) if row >= 0 else None
        if word is not None and word not in known:
            category = words.category(word)
            if category is None:
                raise words.stranger(place, "predicted is", word)
            known[word] = category
        predicted.append(None if word is None else known[word])
    return predicted


def _probabilities(texts: Mapping[str, list[str | None]], found: pd.DataFrame, words: Words) -> pd.DataFrame:
    """Return `p_<category>` of every class; those of words that mean the same are added up."""
    kept = (found["row"] >= 0).to_numpy()
    sums = {name: np.zeros(len(kept)) for name in words.classes}
    for column, values in texts.items():
        word = column.removeprefix("p_")
        category = words.category(word)
        shares = _shares(column, values, found)
        if category is not None:
            sums[category] += shares
        elif (shares > SUM_TOLERANCE).any():
            where = found["place"].iloc[int((shares > SUM_TOLERANCE).argmax())]
            raise words.stranger(where, "there is a probability of", word)
    total = np.sum(list(sums.values()), axis=0)
    wrong = kept & ~(np.abs(total - 1.0) <= SUM_TOLERANCE)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{found['place'].iloc[row]}: its probabilities sum to {total[row]:.4g}; expected 1: write one "
            "p_<category> for each class, as a share, or leave these columns out"
        )
    return pd.DataFrame({f"p_{name}": np.where(kept, values, np.nan) for name, values in sums.items()})


def _shares(column: str, texts: Sequence[str | None], found: pd.DataFrame) -> np.ndarray:
    """Return a column of probabilities, 0 in rows that are left out."""
    shares = np.zeros(len(texts))
    for index in np.flatnonzero(found["row"] >= 0):
        try:
            shares[index] = float(texts[index] or "nan")
        except ValueError:
            shares[index] = math.nan
        if not 0.0 <= shares[index] <= 1.0 + SUM_TOLERANCE:
            raise InputError(
                f"{found['place'].iloc[index]}: '{column}' is '{texts[index] or ''}'; expected a probability from 0 to "
                "1: correct it, or leave these columns out"
            )
    return shares
