"""Speech quality: PESQ-WB (ITU-T P.862.2), STOI and ESTOI (Taal 2011, Jensen 2016), SI-SDR (Le Roux 2019).

A measure that cannot score a pair of signals gives None and a reason, never a number: the libraries underneath raise
errors of several kinds, or return 0 or 1e-5, for signals that are too short or silent.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pesq import BufferTooShortError, NoUtterancesError, pesq
from pystoi import stoi

MEASURES = ("pesq_wb", "stoi", "si_sdr")
"""What is measured unless asked otherwise."""

SILENT_CLEAN = "the clean reference is silent"
SILENT_ESTIMATE = "the signal to score is silent"
NOT_FINITE = "the signal to score holds values that are not finite"
NO_SAMPLES = "there are no samples"
PESQ_SHORT = "PESQ needs at least 0.25 s"
PESQ_LONG = "PESQ takes at most 20 s"
PESQ_NO_SPEECH = "PESQ finds no utterance in the clean reference"
PESQ_ALIGNMENT = "PESQ cannot align the two signals"
STOI_SHORT = "STOI needs about 0.4 s of speech"
IDENTICAL = "the signal equals the clean reference (SI-SDR is infinite)"

_IDENTICAL_DB = 140.0  # float32 samples are rounded to about -150 dB: beyond this only rounding differs
# The reference code keeps a table of 50 spoken stretches and writes past its end: longer signals crash the
# process (seen from 30 s). A stretch and the pause after it take 0.2 s each at least, so 20 s are safe.
_PESQ_LONGEST_S = 20.0
_STOI_RATE = 10_000  # Hz, the rate STOI is defined at, and its window in samples there
_STOI_WINDOW = 256


class Unscored(ValueError):
    """A pair of signals that a measure cannot score; the message is the reason."""


def speech_scores(
    clean: np.ndarray,
    estimate: np.ndarray,
    rate: int = 16_000,
    *,
    seed: int = 0,
    measures: Sequence[str] = MEASURES,
) -> dict[str, Any]:
    """Score a signal, noisy or enhanced, against its clean reference.

    Args:
        clean: the reference, shape (S,).
        estimate: the signal to score, shape (S,), aligned with the reference.
        rate: of both, in Hz; PESQ-WB is defined at 16 kHz only.
        seed: for ESTOI, which adds minute noise to its spectra.
        measures: from `pesq_wb`, `stoi`, `estoi`, `si_sdr`.

    Returns:
        Each measure's value: PESQ-WB from 1 to 4.64, (E)STOI up to 1, SI-SDR in dB; None where it cannot be scored;
        and `reasons`: for each measure without a value, why.

    Raises:
        ValueError: the shapes differ, the reference holds values that are not finite, or a measure is unknown.
    """
    clean, estimate = np.asarray(clean, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    if clean.shape != estimate.shape or clean.ndim != 1:
        raise ValueError(f"reference has shape {clean.shape}, the signal {estimate.shape}: both must be (S,)")
    if not np.isfinite(clean).all():
        raise ValueError("the clean reference holds values that are not finite numbers: read it again")
    functions: dict[str, Callable[[], float]] = {
        "pesq_wb": lambda: pesq_wb(clean, estimate, rate),
        "stoi": lambda: short_time_intelligibility(clean, estimate, rate),
        "estoi": lambda: short_time_intelligibility(clean, estimate, rate, extended_seed=seed),
        "si_sdr": lambda: si_sdr(clean, estimate),
    }
    if unknown := [name for name in measures if name not in functions]:
        raise ValueError(f"unknown measures {unknown}: choose from {sorted(functions)}")
    scores: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name in measures:
        try:
            scores[name] = functions[name]()
        except Unscored as reason:
            scores[name], reasons[name] = None, str(reason)
    return {**scores, "reasons": reasons}


def pesq_wb(clean: np.ndarray, estimate: np.ndarray, rate: int = 16_000) -> float:
    """Return the wide-band PESQ of a signal, as MOS-LQO from about 1 to 4.64 (ITU-T P.862.2).

    Args:
        clean: the reference, shape (S,).
        estimate: the signal to score, shape (S,).
        rate: in Hz; must be 16000.

    Raises:
        Unscored: a signal is silent, shorter than 0.25 s or longer than 20 s, or PESQ finds no speech in the reference.
        ValueError: another rate.
    """
    if rate != 16_000:
        raise ValueError(f"PESQ-WB is defined at 16000 Hz, not {rate}: resample both signals first")
    _refuse_silence(clean, estimate)
    if len(clean) > _PESQ_LONGEST_S * rate:
        raise Unscored(PESQ_LONG)
    try:
        return float(pesq(rate, clean, estimate, "wb"))
    except BufferTooShortError as error:
        raise Unscored(PESQ_SHORT) from error
    except NoUtterancesError as error:
        raise Unscored(PESQ_NO_SPEECH) from error
    except ValueError as error:
        # What pesq raises, bare, when a signal vanishes in its float32 level alignment (a NaN it cannot round).
        raise Unscored(PESQ_ALIGNMENT) from error


def short_time_intelligibility(
    clean: np.ndarray, estimate: np.ndarray, rate: int = 16_000, *, extended_seed: int | None = None
) -> float:
    """Return STOI (Taal et al. 2011), or, given a seed, ESTOI (Jensen & Taal 2016).

    Args:
        clean: the reference, shape (S,).
        estimate: the signal to score, shape (S,).
        rate: in Hz.
        extended_seed: ESTOI instead of STOI; pystoi draws its noise from NumPy's global generator, which is seeded
            with this and put back as it was.

    Raises:
        Unscored: a signal is silent, or fewer than 30 frames (about 0.4 s) remain once pauses are removed.
    """
    _refuse_silence(clean, estimate)
    if len(clean) * _STOI_RATE <= _STOI_WINDOW * rate:
        raise Unscored(STOI_SHORT)  # not one frame, at which pystoi fails with an IndexError
    generator_state = np.random.get_state()
    try:
        if extended_seed is not None:
            np.random.seed(extended_seed % 2**32)
        with warnings.catch_warnings():
            # Its one warning announces that it is about to return 1e-5 instead of a score.
            warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
            return float(stoi(clean, estimate, rate, extended=extended_seed is not None))
    except RuntimeWarning as warning:
        raise Unscored(STOI_SHORT) from warning
    finally:
        np.random.set_state(generator_state)


def si_sdr(clean: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, eq. 3).

    Both signals are brought to zero mean first, as the definition assumes; computed in float64.

    Args:
        clean: the reference, shape (S,).
        estimate: the signal to score, shape (S,).

    Raises:
        Unscored: a signal is silent (or constant), or they are equal up to scale, where the ratio is infinite.
    """
    _refuse_silence(clean, estimate)
    clean = np.asarray(clean, dtype=np.float64) - np.mean(clean, dtype=np.float64)
    estimate = np.asarray(estimate, dtype=np.float64) - np.mean(estimate, dtype=np.float64)
    target = np.dot(estimate, clean) / np.dot(clean, clean) * clean
    target_energy = np.dot(target, target)
    residual_energy = np.sum((estimate - target) ** 2)
    if target_energy == 0.0:
        raise Unscored("the signal has nothing of the clean reference (SI-SDR is minus infinity)")
    if residual_energy <= target_energy * 10 ** (-_IDENTICAL_DB / 10):
        raise Unscored(IDENTICAL)
    return float(10 * np.log10(target_energy / residual_energy))


def _refuse_silence(clean: np.ndarray, estimate: np.ndarray) -> None:
    if clean.size == 0:
        raise Unscored(NO_SAMPLES)
    if not np.isfinite(estimate).all():
        raise Unscored(NOT_FINITE)
    if _is_silent(clean):
        raise Unscored(SILENT_CLEAN)
    if _is_silent(estimate):
        raise Unscored(SILENT_ESTIMATE)


def _is_silent(samples: np.ndarray) -> bool:
    # Relative, so that a faint signal still is one; a constant (DC) is silence apart from rounding.
    energy = np.sum(np.square(samples, dtype=np.float64))
    return bool(energy == 0.0 or np.sum((samples - np.mean(samples, dtype=np.float64)) ** 2) <= 1e-12 * energy)
