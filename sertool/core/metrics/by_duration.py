"""Emotion scores by duration: whether a model hears short and long utterances alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sertool.core.metrics.emotion import category_scores

QUARTILES = 4

FEWEST_LABELLED = 8
"""Utterances with a label without which a quartile would be one or none."""


def quartile_bounds(durations_s: Sequence[float]) -> np.ndarray:
    """Return the three durations in seconds between quartiles, the usual ones, linear between utterances.

    Raises:
        ValueError: there are no durations, or one is not a finite number.
    """
    durations_s = np.asarray(durations_s, dtype=np.float64)
    if not len(durations_s) or not np.isfinite(durations_s).all():
        raise ValueError(f"{len(durations_s)} durations, finite numbers expected: leave out utterances without one")
    return np.quantile(durations_s, [0.25, 0.5, 0.75])


def quartile_of(durations_s: Sequence[float], bounds: np.ndarray) -> np.ndarray:
    """Return which quartile each duration lies in, 0 (shortest) to 3, int64; on a bound, in the shorter one.

    Utterances equally long are thus in one quartile whatever their order, and quartiles may differ in size.
    """
    return np.searchsorted(bounds, np.asarray(durations_s, dtype=np.float64), side="left")


def scores_by_duration(
    true: Sequence[str],
    predicted: Sequence[str],
    classes: Sequence[str],
    *,
    durations_s: Sequence[float],
    bounds: np.ndarray,
) -> list[dict[str, Any]]:
    """Score the utterances of each quartile of duration by themselves.

    Args:
        true: the label of each utterance.
        predicted: the category predicted for each.
        classes: as for `category_scores`.
        durations_s: of each, in seconds.
        bounds: between the quartiles of all test utterances, see `quartile_bounds`.

    Returns:
        Four records, from the shortest: `range_s`, the shortest and longest duration among its utterances; `n` of
        these; `f1_macro` and `ua`, see `category_scores`. All but `n` are None where a quartile is empty, which it is
        where many utterances are equally long.
    """
    true, predicted, durations_s = np.asarray(true), np.asarray(predicted), np.asarray(durations_s, dtype=np.float64)
    quartiles = quartile_of(durations_s, bounds)
    records = []
    for quartile in range(QUARTILES):
        inside = quartiles == quartile
        scores = category_scores(true[inside].tolist(), predicted[inside].tolist(), classes)
        found = durations_s[inside]
        range_s = [float(found.min()), float(found.max())] if len(found) else None
        records.append({"range_s": range_s, "n": scores["n"], "f1_macro": scores["f1_macro"], "ua": scores["ua"]})
    return records
