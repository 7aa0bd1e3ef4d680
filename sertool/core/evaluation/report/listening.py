"""Utterances to listen to: the best, the median and the worst of a condition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

Place = Literal["best", "median", "worst"]

IMPROVEMENT = "by how much enhancement raised their SI-SDR"
TRUE_LABEL = "by the probability the model gave the true emotion"


@dataclass(frozen=True)
class Listening:
    """An utterance in one condition, as it is shown and played.

    Attributes:
        file: what results call it.
        condition: it is heard in.
        place: among the utterances of the condition.
        label: its emotion; None where nobody labelled it.
        predicted: the emotion recognised.
        confidence: the probability of that, from 0 to 1.
        clean: samples of the clean reference at 16 kHz (S,); None where there is none.
        noisy: samples that were heard (S,).
        enhanced: samples of the enhanced speech (S,); None where nothing was enhanced.
        figures: what is said of it by name, for example {"SI-SDR before, dB": -0.1, "SI-SDR after, dB": 7.2}.
    """

    file: str
    condition: str
    place: Place
    label: str | None
    predicted: str | None
    confidence: float | None
    clean: np.ndarray | None
    noisy: np.ndarray
    enhanced: np.ndarray | None
    figures: Mapping[str, float] = field(default_factory=dict)


def choose(table: pd.DataFrame, condition: str) -> list[tuple[Place, str]]:
    """Return the best, the median and the worst utterance of a condition, see `chosen_by`.

    Args:
        table: outcomes, see `Results.table`.
        condition: of those in the table.

    Returns:
        (place, file). The median is the upper one of the two in the middle. Utterances alike are in the order of their
        files' names, so that a rerun chooses the same. Of two utterances none is the median, one alone is just that;
        none where no utterance of the condition can be ranked.
    """
    ranked = _merit(table[table["condition"] == condition]).dropna()
    ranked = ranked.reset_index().sort_values(["merit", "file"], ascending=[False, True])["file"].tolist()
    if len(ranked) < 2:
        return [("median", file) for file in ranked]
    middle = [("median", ranked[(len(ranked) - 1) // 2])] if len(ranked) > 2 else []
    return [("best", ranked[0]), *middle, ("worst", ranked[-1])]


def chosen_by(table: pd.DataFrame, condition: str) -> str:
    """Return what `choose` ranks the utterances of a condition by, to be said on the page.

    By the improvement of SI-SDR where one utterance at least has one; else by the probability of the true label.
    """
    return IMPROVEMENT if _improvement(table[table["condition"] == condition]).notna().any() else TRUE_LABEL


def _merit(part: pd.DataFrame) -> pd.Series:
    improvement = _improvement(part)
    values = improvement if improvement.notna().any() else _probability_of_truth(part)
    return pd.Series(values.to_numpy(dtype=np.float64), index=part["file"], name="merit")


def _improvement(part: pd.DataFrame) -> pd.Series:
    if not {"unprocessed_si_sdr", "enhanced_si_sdr"} <= set(part.columns):
        return pd.Series(np.nan, index=part.index)
    return pd.to_numeric(part["enhanced_si_sdr"]) - pd.to_numeric(part["unprocessed_si_sdr"])


def _probability_of_truth(part: pd.DataFrame) -> pd.Series:
    found = [
        row.get(f"p_{row['emotion']}") if isinstance(row.get("emotion"), str) else None
        for row in part.to_dict("records")
    ]
    return pd.to_numeric(pd.Series(found, index=part.index, dtype=object))
