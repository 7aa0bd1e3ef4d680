"""Active speech level: how loud speech is while somebody speaks, pauses left out (ITU-T P.56, method B)."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError

TIME_CONSTANT_S = 0.03
"""Time constant T of each of the two smoothings of the envelope, in seconds."""

HANGOVER_S = 0.2
"""Hangover H: speech counts as active for so long after the envelope fell below a threshold, in seconds."""

MARGIN_DB = 15.9
"""Margin M between the active level and the threshold that defines it, in dB."""

NUM_THRESHOLDS = 24
"""Thresholds, each half the one above, from half the signal's peak down to one step of 24-bit audio below it."""


@dataclass(frozen=True)
class SpeechLevel:
    """How loud a stretch of speech is.

    Attributes:
        active_db: mean power while speech is active, in dB re the power of a full-scale square wave.
        activity: share of the time speech is active, from 0 (not reached) to 1.
        utterance_db: mean power over the whole stretch, pauses included, in the same unit.
    """

    active_db: float
    activity: float
    utterance_db: float


def speech_level(samples: np.ndarray, rate: int = SAMPLE_RATE) -> SpeechLevel:
    """Return the active level of speech, as ITU-T P.56 (12/2011), clause 7 (method B) defines it.

    The rectified signal is smoothed twice (30 ms each); while the envelope is above a threshold, and for 200 ms after,
    speech counts as active. Of each threshold c the level A(c) is the whole energy over the active time; the active
    level is A where A(c) - c = 15.9 dB, interpolated in dB between neighbouring thresholds. The thresholds are laid in
    powers of two below the signal's own peak rather than below full scale, as if the signal had been recorded at full
    gain: so the level moves by exactly the gain a signal is given. Meters with fixed thresholds interpolate between
    others, and differ from it by a tenth of a decibel or two.

    Args:
        samples: speech, shape (S,), nominally in [-1, 1].
        rate: in Hz.

    Raises:
        InputError: the signal is silent, or nothing in it is active: a click, or less than about a tenth of a second.
        ValueError: the samples are not of shape (S,).
    """
    if samples.ndim != 1:
        raise ValueError(f"samples {samples.shape} are not one channel (S,): measure each channel by itself")
    magnitudes = np.abs(samples.astype(np.float64))
    peak = float(magnitudes.max(initial=0.0))
    if peak == 0.0:
        raise InputError("silent audio has no active speech level; expected audible speech: leave it out")
    magnitudes /= peak
    energy = float(np.square(magnitudes).sum())
    thresholds = 0.5 ** np.arange(NUM_THRESHOLDS, 0, -1)  # from the lowest to the highest, (J,)
    active = _active_samples(magnitudes, thresholds, rate)  # (J,)
    reached = active > 0
    levels_db = 10.0 * np.log10(energy / active[reached])
    excess_db = levels_db - 20.0 * np.log10(thresholds[reached]) - MARGIN_DB
    crossings = np.flatnonzero(excess_db <= 0.0)
    if not len(crossings) or crossings[0] == 0:
        raise InputError(
            "no active speech was found, only silence but for a click or a moment; expected speech: leave it out"
        )
    above = int(crossings[0])
    share = excess_db[above - 1] / (excess_db[above - 1] - excess_db[above])
    level_db = float(levels_db[above - 1] + share * (levels_db[above] - levels_db[above - 1]))
    utterance_db = 10.0 * math.log10(energy / len(samples))
    peak_db = 20.0 * math.log10(peak)
    return SpeechLevel(
        active_db=level_db + peak_db,
        activity=10.0 ** ((utterance_db - level_db) / 10.0),
        utterance_db=utterance_db + peak_db,
    )


def _active_samples(magnitudes: np.ndarray, thresholds: np.ndarray, rate: int) -> np.ndarray:
    """Return at how many samples speech is active by each threshold, hangover included, (J,)."""
    decay = math.exp(-1.0 / (TIME_CONSTANT_S * rate))
    envelope = magnitudes
    for _ in range(2):
        envelope = lfilter([1.0 - decay], [1.0, -decay], envelope)
    # Active with its hangover: the envelope reached the threshold now, or at one of the `hangover` samples before.
    size = math.ceil(HANGOVER_S * rate) + 1
    held = maximum_filter1d(envelope, size, mode="constant", cval=0.0, origin=(size - 1) // 2)
    return np.array([np.count_nonzero(held >= threshold) for threshold in thresholds])
