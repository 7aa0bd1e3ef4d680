"""Why a pair of signals has no speech score: the reasons, and the signals no measure can score, told by rule."""

import numpy as np

SILENT_CLEAN = "the clean reference is silent"
SILENT_ESTIMATE = "the signal to score is silent"
NOT_FINITE = "the signal to score holds values that are not finite"
NO_SAMPLES = "there are no samples"
PESQ_SHORT = "PESQ needs at least 0.25 s"
PESQ_LONG = "PESQ takes at most 20 s"
PESQ_NO_SPEECH = "PESQ finds no utterance in the clean reference"
PESQ_ALIGNMENT = "PESQ cannot align the two signals"
STOI_SHORT = "STOI needs about 0.4 s of speech"
FRAMES_SHORT = "a measure over frames of 30 ms needs at least 37.5 ms"
IDENTICAL = "the signal equals the clean reference (SI-SDR is infinite)"
UNRELATED = "the signal has nothing of the clean reference (SI-SDR is minus infinity)"


class Unscored(ValueError):
    """A pair of signals that a measure cannot score; the message is the reason."""


def refuse_unscorable(clean: np.ndarray, estimate: np.ndarray) -> None:
    """Raise where no measure can score a pair.

    Args:
        clean: the reference, float64 (S,), finite.
        estimate: the signal to score, float64 (S,).

    Raises:
        Unscored: there are no samples, the signal to score is not finite, or one of the two is silent.
    """
    if clean.size == 0:
        raise Unscored(NO_SAMPLES)
    # The energy too: beyond 1e154 a square is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(np.dot(estimate, estimate)):
            raise Unscored(NOT_FINITE)
    if is_silent(clean):
        raise Unscored(SILENT_CLEAN)
    if is_silent(estimate):
        raise Unscored(SILENT_ESTIMATE)


def is_silent(samples: np.ndarray) -> bool:
    """Return whether a signal is silent: zero or constant apart from rounding; a faint one is not. Samples (S,)."""
    samples = np.asarray(samples, dtype=np.float64)
    energy = np.dot(samples, samples)
    return bool(energy == 0.0 or np.sum((samples - samples.mean()) ** 2) <= 1e-12 * energy)
