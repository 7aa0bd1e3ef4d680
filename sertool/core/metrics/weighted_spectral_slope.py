"""Weighted spectral slope distance (WSS): how the slopes between critical bands differ (Klatt, ICASSP 1982).

As Hu & Loizou's composite measures compute it, whose choices beyond the paper published values depend on: band
energies from the power spectrum, limited to -100 dB below; a frame's distance is divided by the sum of its weights;
and on a rising slope the nearest peak is the band *before* the top.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from sertool.core.metrics.frames import Frames, count_frames, frame_values, mean_of_best_frames

# fmt: off
CENTRES_HZ = (
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
)
BANDWIDTHS_HZ = (
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
    153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
)
# fmt: on
K_MAX, K_LOCMAX = 20.0, 1.0
"""Klatt's constants, in dB: how much less a band weighs by its distance from the loudest band and the nearest peak."""

_LOWEST_ENERGY = 1e-10
_FILTER_END = math.exp(-30 / (2 * 2.303))


def weighted_spectral_slope(clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int = 16_000) -> Tensor:
    """Return the WSS distance of each pair: the mean over the best 95 % of its frames, as the composite measures take.

    Frames of 30 ms under a Hann window, 75 % overlap; 25 critical bands.

    Args:
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,).
        rate: in Hz, at least 8000.

    Returns:
        Shape (N,), from 0 (equal slopes); NaN where a pair has no frame.
    """
    [values] = frame_values([frame_wss], clean, estimate, lengths, rate)
    return mean_of_best_frames(values, count_frames(lengths, rate))


def frame_wss(frames: Frames) -> Tensor:
    """Return the WSS distance of each frame, shape (M,)."""
    clean_slopes, clean_weights = _slopes(frames.clean_power, frames.rate)
    slopes, weights = _slopes(frames.estimate_power, frames.rate)
    weights = (clean_weights + weights) / 2
    return (weights * (clean_slopes - slopes).square()).sum(0) / weights.sum(0)


def _slopes(power: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """Return the slopes in dB between the bands of power spectra (M, bins), and their weights, shape (24, M) each."""
    filters = critical_bands(2 * (power.shape[-1] - 1), rate).to(power)
    energies = 10 * torch.log10((filters @ power[:, :-1].T).clamp(min=_LOWEST_ENERGY))  # (25, M)
    slopes = energies.diff(dim=0)
    energies, loudest = energies[:-1], energies.max(0).values
    by_level = K_MAX / (K_MAX + loudest - energies)
    by_peak = K_LOCMAX / (K_LOCMAX + _nearest_peaks(energies, slopes) - energies)
    return slopes, by_level * by_peak


def _nearest_peaks(energies: Tensor, slopes: Tensor) -> Tensor:
    """Return the energy at the peak uphill of each band, shape (24, M): to its right where the slope rises."""
    rising = slopes > 0
    left, right = energies.clone(), energies.clone()
    for band in range(1, len(energies)):
        left[band] = torch.where(rising[band - 1], energies[band], left[band - 1])
    for band in reversed(range(len(energies) - 1)):
        right[band] = torch.where(rising[band + 1], right[band + 1], energies[band])
    return torch.where(rising, right, left)


@lru_cache
def critical_bands(size: int, rate: int) -> Tensor:
    """Return the weights of 25 critical bands over the bins of a transform, Nyquist's left out, float64 (25, size / 2).

    Gaussians of equal area, about each band's centre rounded down to a bin, cut off at the -30 dB point.

    Raises:
        ValueError: a band lies above half the rate.
    """
    if rate < 2 * CENTRES_HZ[-1]:
        raise ValueError(f"WSS needs a rate of 8000 Hz or more, not {rate}: resample both signals first")
    bins_per_hz = size / rate
    centres = (torch.tensor(CENTRES_HZ, dtype=torch.float64) * bins_per_hz).floor()[:, None]
    widths = torch.tensor(BANDWIDTHS_HZ, dtype=torch.float64)[:, None]
    offsets = (torch.arange(size // 2, dtype=torch.float64) - centres) / (widths * bins_per_hz)
    filters = (-11 * offsets.square()).exp() * widths[0] / widths
    return torch.where(filters > _FILTER_END, filters, 0.0)
