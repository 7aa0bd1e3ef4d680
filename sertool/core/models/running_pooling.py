"""Pooling over frames that come block by block: what pooling them all at once gives, in memory that does not grow."""

import torch
from torch import Tensor

from sertool.core.audio.chunking import chunk_starts
from sertool.core.models.chunk_pooling import ChunkPooling
from sertool.core.models.emotion_head import AttentiveStatistics


def running(pooling: AttentiveStatistics | ChunkPooling, num_frames: int) -> "RunningPooling | RunningChunks":
    """Return what takes in an utterance's frames with `add` and gives back what the pooling makes of them.

    Args:
        pooling: of a trained emotion head, in evaluation mode.
        num_frames: frames that will come in all; where chunks begin depends on it.
    """
    return RunningChunks(pooling, num_frames) if isinstance(pooling, ChunkPooling) else RunningPooling(pooling)


class RunningPooling:
    """Pool one utterance's frames as they come, in float64.

    The softmax over all frames is kept as a sum of exponentials relative to the largest logit so far, by which the sums
    are scaled anew when a larger one comes.

    Args:
        pooling: the pooling of a trained emotion head.
    """

    def __init__(self, pooling: AttentiveStatistics) -> None:
        self._pooling = pooling
        self._largest: Tensor | None = None

    def add(self, features: Tensor) -> None:
        """Take in frames (T, D), T at least 1."""
        logits = self._pooling.query(torch.tanh(self._pooling.project(features))).double()  # (T, 1)
        features = features.double()
        if self._largest is None:
            self._largest = logits.max()
            self._weight, self._sum, self._squares = 0.0, 0.0, 0.0
        largest = torch.maximum(self._largest, logits.max())
        scale, weights = (self._largest - largest).exp(), (logits - largest).exp()
        self._weight = self._weight * scale + weights.sum()
        self._sum = self._sum * scale + (weights * features).sum(0)
        self._squares = self._squares * scale + (weights * features.square()).sum(0)
        self._largest = largest

    def pooled(self) -> Tensor:
        """Return mean and deviation of the frames taken in, (1, 2D), as `AttentiveStatistics` does."""
        mean = self._sum / self._weight
        variance = (self._squares / self._weight - mean.square()).clamp(min=0.0)
        return torch.cat([mean, (variance + 1e-6).sqrt()])[None].float()


class RunningChunks:
    """Pool one utterance's chunks as they fill: frames are kept until no later chunk needs them.

    Of a chunk that is full its vector is kept, since attention goes back to the first: 0.5 kB a second of speech where
    chunks are a second long and vectors 130 wide.

    Args:
        pooling: the pooling of a trained emotion head.
        num_frames: frames that will come in all.
    """

    def __init__(self, pooling: ChunkPooling, num_frames: int) -> None:
        self._pooling = pooling
        self._num_frames = num_frames
        self._size = size = pooling.chunking.chunk_frames
        count = pooling.chunking.num_chunks(num_frames)
        self._starts = chunk_starts(max(num_frames, size), chunk_frames=size, num_chunks=count).tolist()
        self._vectors: list[Tensor] = []
        self._kept: Tensor | None = None
        self._begin = 0

    def add(self, features: Tensor) -> None:
        """Take in the frames that follow, (T, D).

        Raises:
            ValueError: there are more than were to come.
        """
        self._kept = features if self._kept is None else torch.cat([self._kept, features])
        stop = self._begin + len(self._kept)
        if stop > self._num_frames:
            raise ValueError(f"{stop} frames came, {self._num_frames} were to come: count them as the encoder does")
        full = [start for start in self._starts if start + self._size <= stop]
        self._starts = self._starts[len(full) :]
        if full:
            index = torch.tensor(full)[:, None] - self._begin + torch.arange(self._size)
            frames = self._kept[index.to(features.device)]  # (N, m, D)
            lengths = torch.full((len(full),), self._size, device=features.device)
            self._vectors.append(self._pooling.encoder(frames, lengths))
        needed = self._starts[0] if self._starts else stop
        if needed > self._begin:
            # Copied: a view would keep alive what is let go of.
            self._kept, self._begin = self._kept[needed - self._begin :].clone(), needed

    def pooled(self) -> Tensor:
        """Return what the frames taken in are pooled to, (1, F), as `ChunkPooling` does.

        Raises:
            ValueError: not all frames have come.
        """
        came = self._begin + (0 if self._kept is None else len(self._kept))
        if came != self._num_frames:
            raise ValueError(f"{came} frames came, {self._num_frames} were to come: count them as the encoder does")
        if self._num_frames < self._size:
            return self._pooling(self._kept[None], torch.tensor([came], device=self._kept.device))
        vectors = torch.cat(self._vectors)[None]  # (1, C, F)
        mask = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
        return self._pooling.over_chunks(vectors, mask)
