"""Dynamic chunking: any utterance as a fixed number of equally long, overlapping chunks (Lin & Busso, IEEE TAC 2023).

Ours are three things. Starts are rounded rather than floored, so that the last frame is always covered. An utterance
shorter than a chunk is padded with zeros, and its own frames are counted. One too long for the usual number of chunks
gets as many more as it takes to leave no gap.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from sertool.core.audio.spectra import frame_mask


@dataclass(frozen=True)
class Chunking:
    """How long chunks are and how many an utterance has.

    Attributes:
        chunk_frames: frames in a chunk, m.
        fewest: chunks of an utterance that these can cover, C.
        density: how many times as many are cut, more overlapping, n.
    """

    chunk_frames: int
    fewest: int
    density: int = 1

    @classmethod
    def of_seconds(cls, *, chunk_s: float, longest_s: float, density: int = 1, frame_rate: int) -> "Chunking":
        """Return the chunking of a corpus: C = ceil(T_max / w_c) (Lin & Busso 2020, section 2).

        Args:
            chunk_s: length of a chunk in seconds, w_c.
            longest_s: longest utterance in seconds, T_max.
            density: n.
            frame_rate: frames a second.
        """
        # Of the decimals as they are written: 1.1 / 0.1 is eleven, and more than that in floating point.
        fewest = math.ceil(Fraction(str(longest_s)) / Fraction(str(chunk_s)))
        return cls(chunk_frames=max(1, round(chunk_s * frame_rate)), fewest=fewest, density=density)

    def num_chunks(self, num_frames: int) -> int:
        """Return how many chunks an utterance of so many frames has: n·C, or n·ceil(T / m) where that is more."""
        return max(self.fewest, -(-num_frames // self.chunk_frames)) * self.density


@dataclass(frozen=True)
class Chunks:
    """The chunks of a batch, an utterance's own the first in its row.

    Attributes:
        frames: (B, C, m, D), zero outside an utterance.
        mask: which of the chunks are an utterance's own, bool, (B, C).
        frame_lengths: an utterance's own frames in each chunk, int64, (B, C): m, fewer only where the utterance is
            shorter than a chunk, and 0 outside the mask.
    """

    frames: Tensor
    mask: Tensor
    frame_lengths: Tensor


def chunk_starts(num_frames: int, *, chunk_frames: int, num_chunks: int) -> Tensor:
    """Return where each chunk of an utterance begins.

    The overlap, not the number of chunks, follows the utterance's duration: start k is k(T - m) / (C - 1), rounded. As
    m is whole, two starts that are at most m apart stay so when they are rounded, and no gap opens.

    Args:
        num_frames: frames in the utterance, T.
        chunk_frames: frames in a chunk, m.
        num_chunks: chunks to cut, C.

    Returns:
        Start frames, int64, (num_chunks,), from 0 to T - m.

    Raises:
        ValueError: the utterance is shorter than one chunk, or too long for so many chunks to cover it.
    """
    if num_frames < chunk_frames:
        raise ValueError(f"utterance has {num_frames} frames, a chunk needs {chunk_frames}: pad it first")
    if num_frames > num_chunks * chunk_frames:
        least = -(-num_frames // chunk_frames)
        raise ValueError(f"{num_chunks} chunks of {chunk_frames} frames cannot cover {num_frames}: cut {least} or more")
    return _rounded_starts(torch.tensor([num_frames - chunk_frames]), torch.tensor([num_chunks]), num_chunks)[0]


def cut_chunks(features: Tensor, frame_lengths: Tensor, chunking: Chunking) -> Chunks:
    """Cut each utterance of a padded batch into its chunks, the same whatever batch it lies in.

    Args:
        features: (B, T, D), anything in the padding.
        frame_lengths: frames of each utterance, (B,), from 1 to T.
        chunking: how.

    Returns:
        As many chunks as an utterance of T frames has, since no other in the batch has more.
    """
    size, num_frames = chunking.chunk_frames, features.shape[1]
    counts = (-(-frame_lengths // size)).clamp(min=chunking.fewest) * chunking.density
    num_chunks = chunking.num_chunks(num_frames)
    starts = _rounded_starts((frame_lengths - size).clamp(min=0), counts, num_chunks)  # (B, C)
    mask = frame_mask(counts, num_chunks)
    own = frame_lengths.clamp(max=size)[:, None] * mask  # (B, C)
    within = torch.arange(size, device=features.device)
    index = (starts[:, :, None] + within).clamp(max=num_frames - 1).flatten(1)  # (B, C * m)
    frames = features.gather(1, index[:, :, None].expand(-1, -1, features.shape[2])).unflatten(1, (num_chunks, size))
    outside = within >= own[:, :, None]  # (B, C, m)
    return Chunks(frames=frames.masked_fill(outside[..., None], 0.0), mask=mask, frame_lengths=own)


def _rounded_starts(slack: Tensor, counts: Tensor, num_chunks: int) -> Tensor:
    """Return k * slack / (count - 1) rounded, halves up, for k = 0 … num_chunks - 1; the last again beyond the count.

    In whole numbers, so that no rounding error grows with the length and every device has the same starts.

    Args:
        slack: T - m of each utterance, (B,).
        counts: chunks of each, (B,).
        num_chunks: columns to return.
    """
    last = (counts - 1)[:, None]  # (B, 1)
    k = torch.arange(num_chunks, device=slack.device).minimum(last)  # (B, num_chunks)
    steps = last.clamp(min=1)
    return (2 * k * slack[:, None] + steps) // (2 * steps)
