"""PESQ-WB, the wide-band perceptual evaluation of speech quality (ITU-T P.862.2), by its reference code."""

import numpy as np
from pesq import BufferTooShortError, NoUtterancesError, pesq

from sertool.core.metrics.unscored import (
    PESQ_ALIGNMENT,
    PESQ_LONG,
    PESQ_NO_SPEECH,
    PESQ_SHORT,
    Unscored,
    refuse_unscorable,
)

PESQ_RATE = 16_000
"""The one rate PESQ-WB is defined at, in Hz."""

# The reference code keeps a table of 50 spoken stretches and writes past its end: longer signals crash the
# process (seen from 30 s). A stretch and the pause after it take 0.2 s each at least, so 20 s are safe.
_LONGEST_S = 20.0


def pesq_wb(clean: np.ndarray, estimate: np.ndarray, rate: int = PESQ_RATE) -> float:
    """Return the wide-band PESQ of a signal, as MOS-LQO from about 1 to 4.64 (ITU-T P.862.2).

    Args:
        clean: the reference, shape (S,).
        estimate: the signal to score, shape (S,).
        rate: in Hz; must be 16000.

    Raises:
        Unscored: a signal is silent, shorter than 0.25 s or longer than 20 s, or PESQ finds no speech in the reference.
        ValueError: another rate.
    """
    if rate != PESQ_RATE:
        raise ValueError(f"PESQ-WB is defined at {PESQ_RATE} Hz, not {rate}: resample both signals first")
    clean, estimate = np.asarray(clean, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    refuse_unscorable(clean, estimate)
    if len(clean) > _LONGEST_S * rate:
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
