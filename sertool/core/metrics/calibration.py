"""Calibration: whether a model is right as often as its probabilities say (Guo et al., ICML 2017)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 15
"""Equal-width bins of confidence, as published."""

SUM_TOLERANCE = 0.01
"""How far from 1 an utterance's probabilities may sum (ours: a file that rounds to three digits is still one)."""


def calibration(
    true: Sequence[str], probabilities: np.ndarray, classes: Sequence[str], *, bins: int = BINS
) -> dict[str, Any]:
    """Score how well the probability of the most probable category tells how often it is right.

    An utterance's confidence is its highest probability, its prediction the first category that has it. Bin m of M
    holds confidences in ((m - 1) / M, m / M], as in eq. 2 of the publication: on an edge, in the bin below, and 1.0
    in the last.

    Args:
        true: the label of each utterance.
        probabilities: of each utterance and category, (N, C), each row summing to 1.
        classes: the categories, in the order of the columns.
        bins: M.

    Returns:
        `n` utterances; `ece`, the expected calibration error: the mean distance of accuracy from confidence over bins,
        weighted by their utterances (eq. 3); `mce`, the largest such distance (eq. 5); `brier`, the squared distance
        of the probabilities from the label's 1 and 0s, summed over categories, from 0 to 2 (Brier 1950); `bins`:
        for the reliability diagram, of each its edges `low` and `high`, its `n`, mean `confidence` and `accuracy`,
        both None where it is empty. The three scores are None where there are no utterances.

    Raises:
        ValueError: shapes do not fit, a label is outside `classes`, or a row is no distribution.
    """
    true, classes = list(true), list(classes)
    probabilities = _as_distributions(probabilities, rows=len(true), columns=len(classes))
    if bins < 1:
        raise ValueError(f"{bins} bins: at least one is needed")
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes {classes} name one twice: name each once")
    if outside := sorted(set(true) - set(classes)):
        raise ValueError(f"categories {outside} are not among the classes {classes}: exclude them or add the classes")
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[name] for name in true], dtype=np.int64)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.arange(bins + 1) / bins
    bin_of = np.searchsorted(edges[1:-1], confidence, side="left")
    diagram = [
        _bin(low, high, confidence[bin_of == m], correct[bin_of == m])
        for m, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    ]
    scores = dict.fromkeys(("ece", "mce", "brier")) | {"n": len(true), "bins": diagram}
    if true:
        filled = [entry for entry in diagram if entry["n"]]
        gaps = np.array([abs(entry["accuracy"] - entry["confidence"]) for entry in filled])
        scores["ece"] = float(gaps @ [entry["n"] for entry in filled]) / len(true)
        scores["mce"] = float(gaps.max())
        scores["brier"] = float(np.square(probabilities - np.eye(len(classes))[labels]).sum(axis=1).mean())
    return {name: scores[name] for name in ("n", "ece", "mce", "brier", "bins")}


def _bin(low: float, high: float, confidence: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    there = len(confidence) > 0
    return {
        "low": low,
        "high": high,
        "n": len(confidence),
        "confidence": float(confidence.mean()) if there else None,
        "accuracy": float(correct.mean()) if there else None,
    }


def _as_distributions(probabilities: np.ndarray, *, rows: int, columns: int) -> np.ndarray:
    values = np.asarray(probabilities, dtype=np.float64)
    if rows == 0 and values.size == 0:
        return np.zeros((0, columns))
    if values.shape != (rows, columns):
        raise ValueError(f"probabilities of shape {values.shape}; {rows} utterances and {columns} classes expected")
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise ValueError("probabilities hold negative values or such that are not finite: leave those utterances out")
    sums = values.sum(axis=1)
    worst = float(sums[np.abs(sums - 1.0).argmax()])
    if abs(worst - 1.0) > SUM_TOLERANCE:
        raise ValueError(f"the probabilities of an utterance sum to {worst:.4g}, not 1: give those of all classes")
    return values
