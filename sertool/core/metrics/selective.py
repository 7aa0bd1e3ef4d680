"""Selective prediction: how much better a model gets when it may decline (Geifman & El-Yaniv, NeurIPS 2017)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

LEVELS = 10
"""Coverages reported: 1.0, 0.9, … 0.1."""

SPEECH_KEPT = 0.95
"""Share of the utterances with speech an abstention has to keep (ours)."""


def selective_accuracy(correct: Sequence[bool], confidence: Sequence[float]) -> dict[str, Any]:
    """Return the accuracy that is left when a model answers only where it is most confident.

    Utterances equally confident could be kept in any order; what is returned is the mean over all of these orders, so
    that it does not depend on the one they came in.

    Args:
        correct: whether each prediction is right, (N,).
        confidence: of each, (N,), any scale on which more is surer.

    Returns:
        `coverage`: shares of the utterances kept, from 1.0 down to 0.1, without those that would keep as many as the
        one before (of fewer than 10 utterances); `accuracy` among the ⌈coverage · N⌉ most confident; `aurc`, the area
        under the risk-coverage curve: the mean over k = 1 … N of the share of errors among the k most confident.
        Without utterances two empty lists and None.

    Raises:
        ValueError: the lengths differ, or a confidence is not a finite number.
    """
    correct, confidence = np.asarray(correct, dtype=bool), np.asarray(confidence, dtype=np.float64)
    if correct.shape != confidence.shape or correct.ndim != 1:
        raise ValueError(f"{correct.shape} outcomes but {confidence.shape} confidences: give one of each an utterance")
    if not np.isfinite(confidence).all():
        raise ValueError("confidences hold values that are not finite numbers: leave those utterances out")
    count = len(correct)
    if not count:
        return {"coverage": [], "accuracy": [], "aurc": None}
    accuracy = _accuracy_of_most_confident(correct, confidence)
    kept = {-(-level * count // LEVELS): level for level in range(1, LEVELS + 1)}
    kept = dict(sorted(kept.items(), reverse=True))
    return {
        "coverage": [level / LEVELS for level in kept.values()],
        "accuracy": [float(accuracy[k - 1]) for k in kept],
        "aurc": float(np.mean(1.0 - accuracy)),
    }


def abstention_scores(speech: Sequence[float], no_speech: Sequence[float]) -> dict[str, Any]:
    """Return how well a score tells utterances with speech from those without.

    Args:
        speech: scores of utterances with speech, (N,); more means more likely speech.
        no_speech: scores of those without, (M,).

    Returns:
        `n_speech`, `n_no_speech`; `auroc`, the chance that an utterance with speech scores higher than one without
        (equal scores count half); `threshold`, the highest score among `speech` at which at least 95 % of them are
        kept, that is score as much or more; `kept`, that share; `refused`, the share of `no_speech` that scores less:
        one that scores the threshold itself is not refused. All but the counts are None where a side is empty.

    Raises:
        ValueError: a score is not a finite number, or a side is not a list.
    """
    speech, no_speech = np.asarray(speech, dtype=np.float64), np.asarray(no_speech, dtype=np.float64)
    for side in (speech, no_speech):
        if side.ndim != 1 or not np.isfinite(side).all():
            raise ValueError(f"scores of shape {side.shape}; expected a list of finite numbers: leave the others out")
    counts = {"n_speech": len(speech), "n_no_speech": len(no_speech)}
    if not len(speech) or not len(no_speech):
        return counts | dict.fromkeys(("auroc", "threshold", "kept", "refused"))
    ranks = rankdata(np.concatenate([speech, no_speech]))[: len(speech)]
    # Mann & Whitney's U over the number of pairs.
    auroc = (ranks.sum() - len(speech) * (len(speech) + 1) / 2) / (len(speech) * len(no_speech))
    descending = np.sort(speech)[::-1]
    shares = np.searchsorted(-descending, -descending, side="right") / len(speech)  # scoring as much or more
    threshold = descending[shares >= SPEECH_KEPT][0]
    return counts | {
        "auroc": float(auroc),
        "threshold": float(threshold),
        "kept": float(np.mean(speech >= threshold)),
        "refused": float(np.mean(no_speech < threshold)),
    }


def _accuracy_of_most_confident(correct: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Return the expected accuracy among the k most confident, k = 1 … N, ties broken at random, (N,)."""
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    right = np.bincount(group, weights=correct)
    # Within a group of ties each is right with the group's own rate: the count rises on a straight line.
    hits = np.cumsum(np.repeat(right / sizes, sizes))
    return np.clip(hits / np.arange(1, len(correct) + 1), 0.0, 1.0)
