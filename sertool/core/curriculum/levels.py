"""An attribute in six levels: the values whose mutual information is taken (Lin, Sridhar & Busso, TASLP 2024)."""

import numpy as np

EDGES = (2.0, 3.0, 4.0, 5.0, 6.0)
"""Where levels begin on the 1–7 scale; a value on an edge belongs to the level above it."""

LEVELS = ("<2", "2–3", "3–4", "4–5", "5–6", "≥6")
"""What the levels are called."""


def attribute_levels(values: np.ndarray) -> np.ndarray:
    """Return the level of each value: 0 below 2, 1 from 2 to below 3 … 5 from 6 on.

    Args:
        values: ratings or estimates on the 1–7 scale, (N,); estimates beyond it belong to the outer levels.

    Returns:
        int64, (N,), from 0 to 5.

    Raises:
        ValueError: a value is not a finite number.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("an attribute has values that are not finite numbers: leave those utterances out")
    return np.digitize(values, EDGES).astype(np.int64)
