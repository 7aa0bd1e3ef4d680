"""Log-likelihood ratio (LLR): how badly the estimate's linear prediction fits the reference (Quackenbush et al. 1988).

In each frame LLR = ln(aᵉ R aᵉᵀ / a R aᵀ), where a and aᵉ are the prediction polynomials of reference and estimate and R
is the reference's autocorrelation: how much more of the reference is left over where the estimate's formants predict
it. 0 for equal envelopes, whatever their levels.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from sertool.core.metrics.frames import Frames, count_frames, frame_values, mean_of_best_frames

NOISE_FLOOR = 1e-10
"""Power of the white noise added to a frame's autocorrelation, over the frame's own (ours).

Without it what a pure tone leaves over is rounding only. At -100 dB, about what 16-bit audio is rounded to, it moves
the LLR of speech by 2e-6 at most.
"""


def log_likelihood_ratio(clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int = 16_000) -> Tensor:
    """Return the LLR of each pair: the mean over the best 95 % of its frames, as Hu & Loizou's composite measures take.

    Frames of 30 ms under a Hann window, 75 % overlap; order 16, or 10 below 10 kHz. A frame's value has no upper
    limit, as in the composite measures (LLR reported by itself is often limited to 2). Ours: a digitally silent frame,
    which has no linear prediction, is taken for white noise, as dither would make it.

    Args:
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,).
        rate: in Hz.

    Returns:
        Shape (N,), from 0; NaN where a pair has no frame.
    """
    [values] = frame_values([frame_llr], clean, estimate, lengths, rate)
    return mean_of_best_frames(values, count_frames(lengths, rate))


def frame_llr(frames: Frames) -> Tensor:
    """Return the LLR of each frame, shape (M,)."""
    order = 10 if frames.rate < 10_000 else 16
    clean = _autocorrelation(frames.clean_power, order)
    _, best = linear_prediction(clean)
    polynomial, _ = linear_prediction(_autocorrelation(frames.estimate_power, order))
    left_over = polynomial.square().sum(0) * clean[0]
    for lag in range(1, order + 1):
        left_over = left_over + 2 * (polynomial[lag:] * polynomial[:-lag]).sum(0) * clean[lag]
    # Below 1 by rounding only: no polynomial predicts the reference better than its own.
    return torch.log((left_over / best).clamp(min=1.0))


def linear_prediction(autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
    """Solve for the prediction polynomials by the Levinson-Durbin recursion.

    Args:
        autocorrelation: lags 0 to P of M signals, shape (P + 1, M), positive at lag 0.

    Returns:
        The polynomials 1 + a1 z^-1 + ... + aP z^-P, shape (P + 1, M); the power of what they leave over, shape (M,).
    """
    polynomial = torch.ones_like(autocorrelation[:1])
    residual = autocorrelation[0]
    for lag in range(1, len(autocorrelation)):
        reflection = -(polynomial * autocorrelation[1 : lag + 1].flip(0)).sum(0) / residual  # (M,)
        zero = torch.zeros_like(polynomial[:1])
        longer = torch.cat([polynomial, zero])
        polynomial = longer + reflection * longer.flip(0)
        residual = residual * (1 - reflection.square())
    return polynomial, residual


def _autocorrelation(power: Tensor, order: int) -> Tensor:
    """Return lags 0 to P of power spectra (M, bins), shape (P + 1, M); 1, 0, 0 ... for silence."""
    lags = _cosines(power.shape[-1], order).to(power) @ power.T
    silent = lags[0] == 0
    lags[0] = lags[0] * (1 + NOISE_FLOOR) + silent
    return lags


@lru_cache
def _cosines(bins: int, order: int) -> Tensor:
    """Return the matrix (P + 1, bins) that takes power spectra to lags 0 to P, float64: a few rows of the transform."""
    size = 2 * (bins - 1)
    turns = torch.arange(order + 1)[:, None] * torch.arange(bins) % size  # in steps of the transform
    cosines = (turns.double() * (2 * math.pi / size)).cos() * (2 / size)
    cosines[:, [0, -1]] /= 2  # the only bins that no negative frequency mirrors
    return cosines
