"""Reverberation time: how long a room takes to let sound fall by 60 dB, from an impulse response (ISO 3382-1)."""

import numpy as np

FROM_DB, TO_DB = -5.0, -25.0
"""Part of the decay a line is laid through, in dB below its beginning: the evaluation range called T20."""


def reverberation_time(response: np.ndarray, rate: int) -> float:
    """Return the reverberation time T20 of an impulse response, in seconds.

    The decay curve is the energy still to come (Schroeder's backward integration); a straight line is laid through it
    from -5 to -25 dB and drawn on to -60 dB.

    Args:
        response: samples, shape (N,); what comes before its peak is left out.
        rate: in Hz.

    Raises:
        ValueError: the response is silent, or its decay has fewer than two samples in the range: it is no room's.
    """
    energy = np.square(response[int(np.argmax(np.abs(response))) :].astype(np.float64))
    remaining = np.cumsum(energy[::-1])[::-1]  # (M,)
    if not len(remaining) or remaining[0] == 0.0:
        raise ValueError("a silent response has no reverberation time: leave it out")
    level_db = 10.0 * np.log10(np.maximum(remaining / remaining[0], 1e-30))
    within = np.flatnonzero((level_db <= FROM_DB) & (level_db >= TO_DB))
    if len(within) < 2:
        raise ValueError("the response falls too fast to measure a reverberation time: it is a click, not a room")
    slope_db = np.polyfit(within / rate, level_db[within], 1)[0]  # per second
    return float(-60.0 / slope_db)
