"""Sentences: what is cut into a fixed number of chunks, an utterance or an equal part of one that is too long."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from sertool.core.audio.chunking import chunk_starts


@dataclass(frozen=True)
class Sentences:
    """The sentences of a set of utterances, in their order.

    Attributes:
        utterance: index of the utterance each is of, int64, (S,).
        starts: first frame of each chunk, counted from the utterance's first, int64, (S, C).
        frames: frames of the utterance in each chunk, int64, (S,): fewer than a chunk has only where the utterance is
            shorter than one.
    """

    utterance: np.ndarray
    starts: np.ndarray
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.utterance)


def cut_sentences(num_frames: np.ndarray, *, chunk_frames: int, num_chunks: int) -> Sentences:
    """Cut utterances into sentences, and these into chunks.

    The number of chunks is the same for all; where C chunks cannot cover an utterance without gaps, ours makes it
    ceil(T / (C m)) sentences of equal length, as if each were an utterance.

    Args:
        num_frames: frames of each utterance, at least 1, (N,).
        chunk_frames: frames in a chunk, m.
        num_chunks: chunks of a sentence, C.
    """
    utterance, starts, frames = [], [], []
    for index, total in enumerate(num_frames.tolist()):
        parts = -(-total // (num_chunks * chunk_frames))
        edges = np.linspace(0, total, parts + 1).round().astype(np.int64)
        for first, last in pairwise(edges):
            own = max(int(last - first), chunk_frames)
            # A sentence of a long utterance may, by rounding, be a frame shorter than a chunk: it begins sooner then.
            begin = max(0, min(int(first), total - own))
            utterance.append(index)
            cut = chunk_starts(own, chunk_frames=chunk_frames, num_chunks=num_chunks)
            starts.append(begin + cut.numpy())
            frames.append(min(total, chunk_frames))
    return Sentences(np.array(utterance, np.int64), np.array(starts, np.int64), np.array(frames, np.int64))


def gather_frames(frames: np.ndarray, first: np.ndarray, own: np.ndarray, *, chunk_frames: int) -> torch.Tensor:
    """Return chunks of frames that lie one behind the other, NaN where an utterance is shorter than a chunk.

    Args:
        frames: of all utterances, (T, D).
        first: first frame of each chunk among these, (n,).
        own: frames of its utterance in each chunk, (n,).
        chunk_frames: m.

    Returns:
        (n, m, D).
    """
    within = np.arange(chunk_frames)
    outside = within >= own[:, None]  # (n, m)
    rows = np.where(outside, first[:, None], first[:, None] + within)
    chunks = torch.from_numpy(np.asarray(frames[rows], dtype=np.float32))
    chunks[torch.from_numpy(outside)] = float("nan")
    return chunks
