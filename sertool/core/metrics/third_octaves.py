"""What STOI and ESTOI compare: magnitudes in third-octave bands of the frames that hold speech (Taal et al. 2011).

At 10 kHz, with the conventions of the authors' code that pystoi follows: Octave's resampling filter; frames of 256
samples, half overlapping, under a Hann window; those more than 40 dB below the reference's loudest taken out and the
rest added up to a signal again, from which the frames to compare are cut.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sertool.core.metrics.frames import squared_magnitude

RATE = 10_000
"""The rate STOI is defined at, in Hz."""

FRAME, HOP, TRANSFORM = 256, 128, 512
NUM_BANDS, LOWEST_HZ = 15, 150.0
DYNAMIC_RANGE_DB = 40.0

BLOCK_FRAMES = {"cpu": 512, "cuda": 65_536}
"""Frames worked on at a time, which bounds the memory (about 10 KB a frame) and on a CPU suits its cache."""

_EPSILON = torch.finfo(torch.float64).eps
_STOPBAND_DB = 60.0
_RESAMPLED_AT_ONCE = 40  # samples made by one row of the resampling matrix: more copy less and multiply by more zeros


@dataclass(frozen=True)
class BandMagnitudes:
    """Third-octave bands of pairs.

    Attributes:
        clean: of the references, shape (15, M), the frames of one pair behind those of another.
        estimate: of the signals to score, shape (15, M).
        counts: frames of each pair, shape (N,).
    """

    clean: Tensor
    estimate: Tensor
    counts: Tensor


def third_octaves(clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int = 16_000) -> BandMagnitudes:
    """Return the magnitudes in third-octave bands of each pair's frames, those without speech taken out.

    Args:
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,).
        rate: in Hz.
    """
    inside = torch.arange(clean.shape[-1], device=clean.device) < lengths[:, None]
    clean, estimate = (resample(torch.where(inside, samples, 0.0), rate) for samples in (clean, estimate))
    lengths = (lengths * RATE + rate - 1).div(rate, rounding_mode="floor")
    pair, neighbours, counts = _kept_frames(clean, lengths)
    clean, estimate = (_bands(samples, pair, neighbours) for samples in (clean, estimate))
    return BandMagnitudes(clean, estimate, counts)


def resample(samples: Tensor, rate: int) -> Tensor:
    """Return signals (N, S) at 10 kHz, shape (N, ceil(10000 S / rate)), by Octave's polyphase filter.

    The filter's rows are shifted copies of each other, so that a block of outputs is one row of a matrix product; a
    zero comes out where the filter meets only zeros, which a transform would turn into noise of rounding.
    """
    if rate == RATE:
        return samples
    matrix, before, step = _resampling_matrix(rate)  # (taps, outputs)
    matrix = matrix.to(samples)
    taps, outputs = matrix.shape
    length = -(-samples.shape[-1] * RATE // rate)
    rows = -(-length // outputs)
    padded = torch.nn.functional.pad(samples, (before, (rows - 1) * step + taps - before - samples.shape[-1]))
    # Row by row, since a product over all would copy the overlapping inputs of all.
    return torch.cat([(row.unfold(-1, taps, step) @ matrix).view(1, -1)[:, :length] for row in padded])


@lru_cache
def _resampling_matrix(rate: int) -> tuple[Tensor, int, int]:
    """Return the matrix (taps, outputs) that resamples, how many samples it reaches back, and the step of its input."""
    divisor = math.gcd(RATE, rate)
    up, down = RATE // divisor, rate // divisor
    kernel = _octave_filter(up, down)
    half = len(kernel) // 2
    blocks = max(1, _RESAMPLED_AT_ONCE // up)
    outputs, step = blocks * up, blocks * down
    before = half // up
    taps = before + ((outputs - 1) * down + half) // up + 1
    # Output m takes the kernel about m * down of the signal with up - 1 zeros between its samples.
    index = half + torch.arange(outputs) * down - (torch.arange(taps)[:, None] - before) * up
    matrix = torch.where((index >= 0) & (index < len(kernel)), kernel[index.clamp(0, len(kernel) - 1)], 0.0)
    return up * matrix, before, step


def _octave_filter(up: int, down: int) -> Tensor:
    """Return the low-pass filter that Octave's `resample` designs, of sum 1: a sinc under a Kaiser window, float64."""
    cutoff = 1 / (2 * max(up, down))
    half = math.ceil((_STOPBAND_DB - 8) / (28.714 * cutoff / 10))
    time = np.arange(-half, half + 1)
    kernel = np.kaiser(2 * half + 1, 0.1102 * (_STOPBAND_DB - 8.7)) * np.sinc(2 * cutoff * time)
    return torch.from_numpy(kernel / kernel.sum())


def _kept_frames(clean: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the frames of references (N, S) at 10 kHz that hold speech.

    Returns:
        For each of M frames of the signals with pauses taken out: its pair, shape (M,); the three frames of the
        original it is added up from, before, about and behind it, shape (3, M), -1 where there is none before; and
        how many there are of each pair, shape (N,).
    """
    counts = (lengths - FRAME + HOP - 1).div(HOP, rounding_mode="floor").clamp(min=0)
    inside = torch.arange(int(counts.max()), device=clean.device) < counts[:, None]  # (N, F)
    pair, frame = inside.nonzero(as_tuple=True)
    if not len(pair):
        return pair, torch.stack([frame] * 3), counts
    window = _hann(clean)
    frames = clean.unfold(-1, FRAME, HOP)  # (N, F', W), a view
    size = BLOCK_FRAMES[clean.device.type]
    blocks = zip(pair.split(size), frame.split(size), strict=True)
    norms = torch.cat([torch.linalg.vector_norm(frames[pairs, numbers] * window, dim=-1) for pairs, numbers in blocks])
    energies = torch.full(inside.shape, -torch.inf, dtype=clean.dtype, device=clean.device)
    energies = energies.masked_scatter(inside, 20 * torch.log10(norms + _EPSILON))
    kept = energies.max(-1, keepdim=True).values - DYNAMIC_RANGE_DB - energies < 0
    pair, frame = kept.nonzero(as_tuple=True)
    # A pair of K kept frames gives a signal of K + 1 hops, from which K - 1 frames are cut.
    first, last = pair.diff(prepend=pair[:1] - 1) > 0, pair.diff(append=pair[-1:] + 1) > 0
    before = torch.where(first, -1, frame.roll(1))
    neighbours = torch.stack([before, frame, frame.roll(-1)])[:, ~last]
    return pair[~last], neighbours, (kept.sum(-1) - 1).clamp(min=0)


def _bands(samples: Tensor, pair: Tensor, neighbours: Tensor) -> Tensor:
    """Return the bands' magnitudes (15, M) of the frames that `_kept_frames` found, of signals (N, S) at 10 kHz."""
    hops = samples[:, : samples.shape[-1] // HOP * HOP].unflatten(-1, (-1, HOP))  # (N, hops, 128)
    rising, falling = _hann(samples).split(HOP)
    window, bands = torch.cat([rising, falling]), band_matrix().to(samples)
    found = [samples.new_zeros(NUM_BANDS, 0)]
    size = BLOCK_FRAMES[samples.device.type]
    for first in range(0, len(pair), size):
        pairs, (before, about, behind) = pair[first : first + size], neighbours[:, first : first + size]
        start = rising * hops[pairs, about]
        tail = falling * hops[pairs, before + 1]
        start = torch.where(before[:, None] < 0, start, start + tail)
        end = falling * hops[pairs, about + 1] + rising * hops[pairs, behind]
        spectra = torch.fft.rfft(torch.cat([start, end], dim=-1) * window, TRANSFORM)  # (m, 257)
        found.append((bands @ squared_magnitude(spectra).T).sqrt())
    return torch.cat(found, dim=1)


@lru_cache
def band_matrix() -> Tensor:
    """Return which bins of the transform make up which third-octave band, float64 (15, 257)."""
    bins_hz = np.linspace(0, RATE, TRANSFORM + 1)[: TRANSFORM // 2 + 1]
    band = np.arange(NUM_BANDS)[:, None]
    lowest, highest = (
        np.abs(bins_hz - LOWEST_HZ * 2.0 ** ((2 * band + side) / 6)).argmin(1)[:, None] for side in (-1, 1)
    )
    bins = np.arange(len(bins_hz))
    return torch.from_numpy(((bins >= lowest) & (bins < highest)).astype(np.float64))


def _hann(like: Tensor) -> Tensor:
    """Return the Hann window without the zeros at its ends, shape (256,)."""
    return torch.hann_window(FRAME + 2, periodic=False, dtype=like.dtype, device=like.device)[1:-1]
