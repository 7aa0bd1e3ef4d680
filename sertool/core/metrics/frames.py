"""The frames of 30 ms that segmental SNR, LLR and WSS are measured on, as Hu & Loizou's composite measures cut them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

FRAME_S = 0.03

BLOCK_FRAMES = {"cpu": 512, "cuda": 32_768}
"""Frames measured at a time, which bounds the memory (about 16 KB a frame at 16 kHz) and on a CPU suits its cache."""

BEST_PERCENT = 95
"""Share of the frames that LLR and WSS are averaged over, those with the smallest distance."""


@dataclass(frozen=True)
class Frames:
    """Frames of any pairs, windowed.

    Attributes:
        clean: of the references, shape (M, W).
        estimate: of the signals to score, shape (M, W).
        rate: in Hz.
    """

    clean: Tensor
    estimate: Tensor
    rate: int

    @cached_property
    def clean_power(self) -> Tensor:
        """Power spectra of the references, shape (M, bins); the transform is at least two windows long."""
        return _power(self.clean)

    @cached_property
    def estimate_power(self) -> Tensor:
        """Power spectra of the signals to score, shape (M, bins)."""
        return _power(self.estimate)


def frame_size(rate: int) -> tuple[int, int]:
    """Return the window and the hop in samples: 30 ms, and a quarter of it (75 % overlap)."""
    window = round(FRAME_S * rate)
    return window, window // 4


def count_frames(lengths: Tensor, rate: int) -> Tensor:
    """Return how many frames signals have, shape as `lengths`: (S - W) / H, rounded down.

    One less than fit: the composite measures count so, and their published values depend on it.
    """
    window, hop = frame_size(rate)
    return ((lengths - window).div(hop, rounding_mode="floor")).clamp(min=0)


def frame_values(
    functions: Sequence[Callable[[Frames], Tensor]], clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int
) -> list[Tensor]:
    """Measure every frame of every pair, a bounded number of frames at a time.

    Args:
        functions: each returns one value a frame, shape (M,).
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,).
        rate: in Hz.

    Returns:
        For each function the values, shape (N, F), 0 behind a pair's last frame.
    """
    window, hop = frame_size(rate)
    counts = count_frames(lengths, rate)
    inside = torch.arange(int(counts.max()), device=clean.device) < counts[:, None]  # (N, F)
    if not inside.any():
        return [clean.new_zeros(inside.shape) for _ in functions]
    pair, frame = inside.nonzero(as_tuple=True)
    clean, estimate = clean.unfold(-1, window, hop), estimate.unfold(-1, window, hop)  # (N, F', W), views
    taper = _hann(window, clean)
    parts: list[list[Tensor]] = [[] for _ in functions]
    size = BLOCK_FRAMES[clean.device.type]
    for pairs, numbers in zip(pair.split(size), frame.split(size), strict=True):
        frames = Frames(clean[pairs, numbers] * taper, estimate[pairs, numbers] * taper, rate)
        for found, function in zip(parts, functions, strict=True):
            found.append(function(frames))
    return [clean.new_zeros(inside.shape).masked_scatter(inside, torch.cat(found)) for found in parts]


def mean_of_frames(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over a pair's frames, shape (N,), NaN where it has none; values (N, F), counts (N,)."""
    inside = torch.arange(values.shape[-1], device=values.device) < counts[:, None]
    return torch.where(inside, values, 0.0).sum(-1) / counts


def mean_of_best_frames(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over the 95 % of a pair's frames with the smallest values, their number rounded half up.

    Args:
        values: distances, shape (N, F).
        counts: frames of each pair, shape (N,).

    Returns:
        Shape (N,), NaN where a pair has no frames.
    """
    inside = torch.arange(values.shape[-1], device=values.device) < counts[:, None]
    ordered = torch.where(inside, values, torch.inf).sort(-1).values
    return mean_of_frames(ordered, (2 * BEST_PERCENT * counts + 100).div(200, rounding_mode="floor"))


def _hann(window: int, like: Tensor) -> Tensor:
    """Return the Hann window without the zeros at its ends, shape (W,)."""
    return torch.hann_window(window + 2, periodic=False, dtype=like.dtype, device=like.device)[1:-1]


def squared_magnitude(spectra: Tensor) -> Tensor:
    """Return the squared magnitudes of complex numbers, without the root that `abs` takes; of any shape."""
    return torch.addcmul(spectra.real.square(), spectra.imag, spectra.imag)


def _power(frames: Tensor) -> Tensor:
    size = 1 << (2 * frames.shape[-1] - 1).bit_length()
    return squared_magnitude(torch.fft.rfft(frames, size))
