"""Short-time objective intelligibility: STOI (Taal et al., IEEE TASLP 2011) and ESTOI (Jensen & Taal, IEEE TASLP 2016).

Both correlate third-octave bands of reference and estimate over segments of 30 frames (384 ms). They agree with pystoi,
whose ESTOI draws minute noise against dividing by zero; here a band or frame that does not vary correlates with
nothing, and counts 0, which is what that noise comes to on average.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sertool.core.metrics.third_octaves import BandMagnitudes, third_octaves

SEGMENT = 30
"""Frames in a segment; a pair with fewer has no score."""

LOWEST_SDR_DB = -15.0
"""The estimate is limited to this much distortion, beyond which nothing more is lost (Taal et al. 2011, eq. 3)."""

BLOCK_SEGMENTS = {"cpu": 256, "cuda": 16_384}
"""Segments correlated at a time, which bounds the memory (about 20 KB a segment) and on a CPU suits its cache."""

_EPSILON = torch.finfo(torch.float64).eps
_CONSTANT = 1e-10  # of its norm: less than this of a row's variation is rounding


def stoi(clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int = 16_000) -> Tensor:
    """Return the STOI of each pair.

    Args:
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,); what lies behind them does not count.
        rate: in Hz.

    Returns:
        Shape (N,), up to 1; NaN where fewer than 30 frames (about 0.4 s) remain once pauses are taken out.
    """
    return stoi_of_bands(third_octaves(clean, estimate, lengths, rate))


def estoi(clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int = 16_000) -> Tensor:
    """Return the ESTOI of each pair; arguments and result as of `stoi`."""
    return estoi_of_bands(third_octaves(clean, estimate, lengths, rate))


def stoi_of_bands(bands: BandMagnitudes) -> Tensor:
    """Return the STOI of each pair, shape (N,), from its bands; NaN where there are fewer than 30 frames."""
    return _mean_over_segments(_correlation, bands)


def estoi_of_bands(bands: BandMagnitudes) -> Tensor:
    """Return the ESTOI of each pair, shape (N,), from its bands; NaN where there are fewer than 30 frames."""
    return _mean_over_segments(_extended_correlation, bands)


def _mean_over_segments(correlate: Callable[[Tensor, Tensor], Tensor], bands: BandMagnitudes) -> Tensor:
    """Average a function of segments (15, 30, m) of reference and estimate, returning (m,), over those of each pair."""
    counts = (bands.counts - SEGMENT + 1).clamp(min=0)
    inside = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]  # (N, M)
    values = bands.clean.new_zeros(inside.shape)
    if inside.any():
        # Also of the segments that begin in one pair and end in the next, which is cheaper than picking the others out.
        starts = range(0, bands.clean.shape[-1] - SEGMENT + 1, BLOCK_SEGMENTS[values.device.type])
        found = torch.cat([correlate(_segments(bands.clean, s), _segments(bands.estimate, s)) for s in starts])
        first = bands.counts.cumsum(0) - bands.counts
        pair, number = inside.nonzero(as_tuple=True)
        values = values.masked_scatter(inside, found[first[pair] + number])
    return values.sum(-1) / counts


def _segments(bands: Tensor, start: int) -> Tensor:
    """Return a block of the segments of bands (15, M), shape (15, 30, m)."""
    stretch = bands[:, start : start + BLOCK_SEGMENTS[bands.device.type] + SEGMENT - 1]
    return stretch.unfold(-1, SEGMENT, 1).transpose(1, 2).contiguous()


def _correlation(clean: Tensor, estimate: Tensor) -> Tensor:
    """Return the mean correlation of the bands of segments (Taal et al. 2011, eqs. 3-6)."""
    estimate = estimate * (_norm(clean, 1) / (_norm(estimate, 1) + _EPSILON))
    estimate = torch.minimum(estimate, clean * (1 + 10 ** (-LOWEST_SDR_DB / 20)))
    products = _normalised(clean, 1, _EPSILON) * _normalised(estimate, 1, _EPSILON)
    return products.sum((0, 1)) / len(clean)


def _extended_correlation(clean: Tensor, estimate: Tensor) -> Tensor:
    """Return the mean correlation of the frames of segments, bands made equal first (Jensen & Taal 2016, eqs. 2-6)."""
    clean, estimate = (_normalised(_normalised(bands, 1), 0) for bands in (clean, estimate))
    return (clean * estimate).sum((0, 1)) / SEGMENT


def _normalised(values: Tensor, dim: int, epsilon: float = 0.0) -> Tensor:
    """Return values of zero mean and unit norm along a dimension; zeros where they do not vary."""
    norm = _norm(values, dim)
    values = values - values.mean(dim, keepdim=True)
    spread = _norm(values, dim)
    return values * torch.where(spread <= _CONSTANT * norm, 0.0, 1 / (spread + epsilon))


def _norm(values: Tensor, dim: int) -> Tensor:
    return values.square().sum(dim, keepdim=True).sqrt()
