"""Holm's correction: several tests at once, and still at most a chance of alpha to claim anything that is not so."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for how many there are (Holm, Scandinavian Journal of Statistics 1979).

    The i-th smallest of m, from 1, is multiplied by m − i + 1, is at least as large as those before it, and at most 1.
    What is then below alpha is what Holm's step-down procedure rejects.

    Raises:
        ValueError: a value is not from 0 to 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values {p.tolist()}: give a list of numbers from 0 to 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted.tolist()
