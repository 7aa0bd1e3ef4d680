"""Intervals by bootstrap over speakers: how far F1-macro and UA would move had other speakers been tested.

As many speakers as there are, are drawn from them with repeats, each with all its utterances, and the pooled scores
are computed anew (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13).
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from sertool.core.metrics.speaker_confusions import SpeakerConfusions, class_counts, f1_macro, speaker_confusions, ua
from sertool.core.randomness import generator_for

LEVEL = 0.95
DRAWS = 5_000

_BLOCK = 1 << 22  # numbers held at once


def speaker_intervals(
    true: Sequence[str],
    predicted: Sequence[str],
    speakers: Sequence[str | None],
    classes: Sequence[str],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return intervals of one system's F1-macro and UA, see `category_scores`, over speakers.

    Args:
        true: the label of each utterance.
        predicted: the category predicted for each.
        speakers: of each; null: unknown, and the utterance a cluster of its own.
        classes: as for `category_scores`.
        seed: of the draws.
        draws: how often speakers are drawn.

    Returns:
        `speakers`, known ones; `unknown`, utterances of unknown speakers; `level`; `f1_macro` and `ua`, each
        [low, high], None below eight known speakers; `reason`: why there is none, a sentence, else None.

    Raises:
        ValueError: the lengths differ, or a label or prediction is outside `classes`.
    """
    return confusion_intervals(speaker_confusions(true, [predicted], speakers, classes), seed=seed, draws=draws)


def confusion_intervals(counted: SpeakerConfusions, *, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """Return the same of confusions; of several trainings the intervals are those of their mean scores."""
    record = {"speakers": counted.speakers, "unknown": counted.unknown, "level": LEVEL}
    if reason := counted.too_few():
        return record | {"f1_macro": None, "ua": None, "reason": reason}
    drawn = _drawn_totals(class_counts(counted.confusions), seed, draws)
    intervals = {name: _interval(score(drawn).mean(-1), counted.speakers) for name, score in _SCORES.items()}
    return record | intervals | {"reason": None}


def difference_intervals(
    ours: SpeakerConfusions, theirs: SpeakerConfusions, *, seed: int = 0, draws: int = DRAWS
) -> dict[str, list[float] | None]:
    """Return intervals of the differences, ours minus theirs, of F1-macro and UA over the same drawn speakers.

    With several trainings the mean of their differences.

    Args:
        ours: confusions of one system.
        theirs: of the other, on the same utterances.
        seed: of the draws.
        draws: how often speakers are drawn.

    Returns:
        `f1_macro` and `ua`, each [low, high], None below eight known speakers, see `SpeakerConfusions.too_few`.
    """
    if ours.too_few():
        return dict.fromkeys(_SCORES)
    both = np.stack([class_counts(ours.confusions), class_counts(theirs.confusions)], axis=1)  # (K, 2, R, 3, C)
    drawn = _drawn_totals(both, seed, draws)
    return {
        name: _interval((score(drawn[:, 0]) - score(drawn[:, 1])).mean(-1), ours.speakers)
        for name, score in _SCORES.items()
    }


_SCORES = {"f1_macro": f1_macro, "ua": ua}


def _drawn_totals(counts: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """Return the sums of counts (K, …) of K clusters drawn with repeats, so many times, (draws, …).

    Clusters alike, as utterances of unknown speakers are by the thousand, are counted before they are added up.
    """
    flat, kinds = np.unique(counts.reshape(len(counts), -1), axis=0, return_inverse=True)
    kinds = np.sort(kinds)  # so that neither order nor names decide what is drawn
    generator = generator_for("bootstrap over speakers", seed)
    size = max(_BLOCK // len(counts), 1)
    blocks = []
    for start in range(0, draws, size):
        drawn = kinds[generator.integers(0, len(counts), (min(size, draws - start), len(counts)))]
        drawn += len(flat) * np.arange(len(drawn))[:, None]
        times = np.bincount(drawn.ravel(), minlength=len(flat) * len(drawn)).reshape(len(drawn), len(flat))
        blocks.append(times.astype(np.float64) @ flat)
    return np.concatenate(blocks).reshape(draws, *counts.shape[1:])


def _interval(values: np.ndarray, speakers: int) -> list[float]:
    """Return the expanded percentile interval of the values drawn (Hesterberg, The American Statistician 2015).

    The percentile interval is too short for few speakers, for the reason a normal interval is shorter than Student's:
    its ends are moved out to the percentiles Φ(±√(S / (S − 1)) · t), t that of Student with S − 1 degrees of freedom.
    Speakers of unknown name do not count here, which makes it longer rather than shorter.
    """
    tail = _tail(speakers)
    return [float(end) for end in np.quantile(values, [tail, 1 - tail])]


@functools.cache
def _tail(speakers: int) -> float:
    student = stats.t.ppf((1 - LEVEL) / 2, speakers - 1)
    return float(stats.norm.cdf(np.sqrt(speakers / (speakers - 1)) * student))
