"""Energy variation: how much the loudness of an utterance rises and falls (task 1 of Goncalves & Busso, 2022)."""

import math
from collections.abc import Iterator

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE

FRAME_SAMPLES = 25 * SAMPLE_RATE // 1000
"""Samples in a frame: 25 ms."""

HOP_SAMPLES = 10 * SAMPLE_RATE // 1000
"""Samples from one frame to the next: 10 ms."""

FLOOR_DB = -60.0
"""Level that quieter frames count as, in dB of full scale after peak normalisation. Ours: digital silence has no
logarithm, and how far below the speech the noise of a microphone lies says nothing of the speaker."""

CELL_SAMPLES = math.gcd(FRAME_SAMPLES, HOP_SAMPLES)
"""Samples in a cell, of which frames are made: 5 ms, so a frame is five cells and begins two after the one before."""

BLOCK_SAMPLES = 2000 * CELL_SAMPLES
"""Samples squared at a time: ten seconds."""


def energy_variation(samples: np.ndarray) -> float | None:
    """Return how much the level of an utterance varies, in dB, whatever its gain.

    It is the standard deviation, over frames of 25 ms every 10 ms, of the RMS level in dB, after the utterance was
    scaled to a peak of 1; frames below -60 dB count as -60 dB. Only whole frames count. (Ours: the publication says
    that energy variation is predicted, high or low, and not how it is measured.)

    Args:
        samples: an utterance at 16 kHz, shape (S,).

    Returns:
        dB, at least 0; or None where nothing can vary: a silent utterance, or one shorter than two frames (35 ms).

    Raises:
        ValueError: the samples are not of shape (S,), or not finite.
    """
    if samples.ndim != 1:
        raise ValueError(f"samples {samples.shape} are not one channel (S,): average the channels first")
    if not len(samples):
        return None
    # Of both ends, rather than of |x|: no copy, and the lowest int16 has no opposite.
    peak = float(np.maximum(float(samples.max()), -float(samples.min())))
    if not np.isfinite(peak):
        raise ValueError("samples hold NaN or infinity: read them with read_audio, which refuses such files")
    if peak == 0.0 or len(samples) < FRAME_SAMPLES + HOP_SAMPLES:
        return None
    cells = np.concatenate(list(_cell_energies(samples, peak)))
    frames = np.lib.stride_tricks.sliding_window_view(cells, FRAME_SAMPLES // CELL_SAMPLES)
    mean_square = frames[:: HOP_SAMPLES // CELL_SAMPLES].sum(1) / FRAME_SAMPLES  # (T,)
    level_db = 10.0 * np.log10(np.maximum(mean_square, 10.0 ** (FLOOR_DB / 10.0)))
    return float(level_db.std())


def _cell_energies(samples: np.ndarray, peak: float) -> Iterator[np.ndarray]:
    """Yield the energy of each whole cell, float64, a block at a time.

    Frames are added up from cells, for differences of a running sum would lose a quiet frame behind a long loud one.
    """
    whole = len(samples) // CELL_SAMPLES * CELL_SAMPLES
    for start in range(0, whole, BLOCK_SAMPLES):
        block = samples[start : min(start + BLOCK_SAMPLES, whole)].astype(np.float64) / peak
        yield np.square(block).reshape(-1, CELL_SAMPLES).sum(1)
