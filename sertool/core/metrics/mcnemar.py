"""McNemar's test: of the utterances only one of two systems gets right, do both get as many?

It takes every utterance for independent of all others. Those of one speaker are not, so it finds differences between
systems that differ in nothing but the speakers they happened to meet: beside a test over speakers, never instead of it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats


def mcnemar(ours_right: Sequence[bool], theirs_right: Sequence[bool]) -> dict[str, Any]:
    """Compare two systems on the same utterances by the exact binomial form of McNemar's test, two-sided.

    p = min(1, 2 · P(X ≤ min(b, c))), X binomial of b + c trials at 1/2, b and c the utterances that only one of the
    two gets right (McNemar, Psychometrika 1947; the exact conditional form, as in Fagerland, Lydersen & Laake, BMC
    Medical Research Methodology 2013).

    Args:
        ours_right: whether we got each utterance right, (N,).
        theirs_right: whether they did.

    Returns:
        `only_ours` and `only_theirs`, utterances; `p`, 1 where both are 0; the effect sizes `cohens_g`, the share
        that is ours of those only one gets right, minus 1/2, and `odds_ratio`, only_ours / only_theirs; None where
        undefined.

    Raises:
        ValueError: the lengths differ.
    """
    ours, theirs = np.asarray(ours_right, dtype=bool), np.asarray(theirs_right, dtype=bool)
    if ours.shape != theirs.shape or ours.ndim != 1:
        raise ValueError(f"outcomes of shapes {ours.shape} and {theirs.shape}: give one of each for every utterance")
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    either = only_ours + only_theirs
    return {
        "only_ours": only_ours,
        "only_theirs": only_theirs,
        "p": float(min(1.0, 2 * stats.binom.cdf(min(only_ours, only_theirs), either, 0.5))),
        "cohens_g": only_ours / either - 0.5 if either else None,
        "odds_ratio": only_ours / only_theirs if only_theirs else None,
    }
