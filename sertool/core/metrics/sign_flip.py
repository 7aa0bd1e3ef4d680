"""The sign-flip test over speakers: is one system better than another, or did it only meet the right speakers?

The null hypothesis is that who is which system does not matter: had the two systems' outcomes of a speaker, all of
them, been exchanged, the result would have been as likely. So every speaker's outcomes are kept or exchanged, and the
difference of pooled scores that was found is held against those that come out (approximate randomisation: Noreen,
Computer-Intensive Methods for Testing Hypotheses, 1989, section 2.7; with the speaker as the unit exchanged).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sertool.core.metrics.speaker_confusions import class_counts
from sertool.core.randomness import generator_for

EXACT_CLUSTERS = 16
"""Most clusters that differ for which all 2^K exchanges are tried; beyond, `DRAWS` of them are drawn."""

DRAWS = 20_000

_TIE = 1e-9  # differences this close are one: sums in another order round differently
_BLOCK = 1 << 22  # numbers held at once


def sign_flip_test(ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """Test whether two systems differ in F1-macro, and in UA, over speakers; two-sided.

    The statistic is the difference of the scores of the pooled confusions; with several trainings, paired by their
    order, the mean of their differences, and all trainings of a speaker are exchanged together. Clusters in which both
    systems recognise and predict each class equally often change nothing when exchanged and are left out of the
    counting, which does not change p. p is the share of exchanges, that which was found among them, whose difference
    is at least as large in size; where exchanges are drawn, (1 + hits) / (1 + draws), as hits / draws claims too much
    and can be 0 (Phipson & Smyth, Statistical Applications in Genetics and Molecular Biology 2010).

    The test is exact where the two systems are exchangeable for a speaker, as trainings that differ in nothing but
    their seeds are, or two whose differences between speakers are symmetric about none. Where they are not, as
    where most speakers lose a little and a few gain much, it is near .05 but not bound to it: simulated rates lie
    between .05 and .07 (examples/false_alarms.py).

    It depends neither on the order of the clusters nor on which system is called ours, the drawn test included.

    Args:
        ours: confusions of one system, (K, R, C, C), see `speaker_confusions`.
        theirs: of the other, on the same utterances.
        seed: of the draws.
        draws: how many, where not all exchanges are tried.

    Returns:
        `difference` and `difference_ua`, ours minus theirs; `p` and `p_ua`; `exact`: whether all exchanges were tried;
        `draws`: how many were, without those known to change nothing.

    Raises:
        ValueError: the shapes differ, or the two systems did not judge the same labels of every cluster.
    """
    if ours.shape != theirs.shape or ours.ndim != 4:
        raise ValueError(f"confusions of shapes {ours.shape} and {theirs.shape}: give two of one shape (K, R, C, C)")
    mine, other = class_counts(ours), class_counts(theirs)
    if (mine[:, :, 2] != other[:, :, 2]).any():
        raise ValueError("the two systems did not judge the same labels of every speaker: give the same utterances")
    total, apart = (mine + other).sum(0), (mine - other)[:, :, :2]
    found = _differences(apart.sum(0)[None], total)[:, 0]
    apart = _in_order(apart[apart.any(axis=(1, 2, 3))])
    exact = len(apart) <= EXACT_CLUSTERS
    signs = _all_signs(len(apart)) if exact else _drawn_signs(len(apart), draws, seed)
    hits, tried = np.zeros(2), 0
    for block in signs:
        exchanged = np.tensordot(block, apart, axes=1)
        hits += (np.abs(_differences(exchanged, total)) >= np.abs(found)[:, None] - _TIE).sum(1)
        tried += len(block)
    p = hits / tried if exact else (1 + hits) / (1 + tried)
    return {
        "difference": float(found[0]),
        "difference_ua": float(found[1]),
        "p": float(p[0]),
        "p_ua": float(p[1]),
        "exact": exact,
        "draws": 2 ** len(apart) if exact else tried,
    }


def _differences(apart: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return differences of F1-macro and of UA, (2, M), means over trainings.

    Either system's counts are half the total, plus or minus half of what they are apart; the halves cancel in F1. Both
    systems heard the same labels, so that UA is linear in what was recognised.

    Args:
        apart: ours minus theirs of the pooled counts, (M, R, 2, C): recognised and predicted.
        total: ours plus theirs, (R, 3, C), see `class_counts`, which no exchange changes.
    """
    recognised, predicted, spoken = np.moveaxis(total, 1, 0)  # (R, C) each, of both together
    together = predicted + spoken
    mine, other = (
        np.mean(2 * (recognised + sign * apart[:, :, 0]) / np.maximum(together + sign * apart[:, :, 1], 1), axis=-1)
        for sign in (1, -1)
    )
    recall = apart[:, :, 0] / np.maximum(spoken / 2, 1)
    return np.stack([(mine - other).mean(-1), (recall.sum(-1) / np.maximum((spoken > 0).sum(-1), 1)).mean(-1)])


def _in_order(apart: np.ndarray) -> np.ndarray:
    """Return the same differences (K, R, 2, C) in an order, and each with a sign, that the caller's do not decide."""
    if not len(apart):
        return apart
    flat = apart.reshape(len(apart), -1)
    first = flat[np.arange(len(flat)), (flat != 0).argmax(1)]
    flat = flat * np.sign(first)[:, None]
    return flat[np.lexsort(flat.T[::-1])].reshape(apart.shape)


def _all_signs(clusters: int) -> Iterator[np.ndarray]:
    """Yield all patterns of signs, in blocks (M, K), but for their negatives: these give the same sizes."""
    bits = np.arange(max(clusters - 1, 0))
    size = max(_BLOCK // 64 // max(clusters, 1), 1)
    for start in range(0, 2 ** len(bits), size):
        codes = np.arange(start, min(start + size, 2 ** len(bits)))
        signs = 1.0 - 2.0 * ((codes[:, None] >> bits) & 1)
        yield np.concatenate([np.ones((len(codes), min(clusters, 1))), signs], axis=1)


def _drawn_signs(clusters: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield patterns of signs drawn at random, in blocks (M, K)."""
    generator = generator_for("sign-flip test", seed)
    size = max(_BLOCK // 16 // clusters, 1)
    for start in range(0, draws, size):
        yield np.where(generator.random((min(size, draws - start), clusters)) < 0.5, 1.0, -1.0)
