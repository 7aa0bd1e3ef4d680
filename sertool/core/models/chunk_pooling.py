"""One vector of an utterance's chunks: their mean, gated, by recurrent attention or self-attention.

Dynamic chunking and its four ways over chunks are of Lin & Busso (Interspeech 2020; IEEE TAC 14, 2023); how each is
computed follows their published code.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.chunking import Chunking, cut_chunks
from sertool.core.models.chunk_encoders import build_chunk_encoder, masked_mean
from sertool.core.models.config import EmotionConfig

FRAME_RATE = 50
"""Frames a second of every encoder's hidden states."""

HEADS, HEAD_DIM = 3, 50
"""Of self-attention over chunks."""


class ChunkPooling(nn.Module):
    """Pool an utterance by chunks: cut, make a vector of each, and one of these.

    Attributes:
        out_dim: width of what is pooled, F.
        chunking: how utterances are cut.
    """

    def __init__(self, dim: int, config: EmotionConfig) -> None:
        super().__init__()
        chunks = config.chunks
        self.chunking = Chunking.of_seconds(
            chunk_s=chunks.chunk_s, longest_s=chunks.longest_s, density=chunks.density, frame_rate=FRAME_RATE
        )
        self.encoder = build_chunk_encoder(dim, chunks, dropout=config.dropout)
        self.out_dim = self.encoder.out_dim
        self.over_chunks = OVER_CHUNKS[config.pooling](self.out_dim)

    def forward(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Map (B, T, D) to (B, F); frames beyond an utterance's own (B,) change nothing."""
        return self.over_chunks(*self.vectors(features, frame_lengths))

    def vectors(self, features: Tensor, frame_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vector of each chunk, (B, C, F), anything outside the mask; and the mask, bool, (B, C)."""
        chunks = cut_chunks(features, frame_lengths, self.chunking)
        # All chunks of all utterances are one batch: what follows one another is only the frames of a chunk.
        vectors = self.encoder(chunks.frames.flatten(0, 1), chunks.frame_lengths.flatten())
        return vectors.unflatten(0, chunks.mask.shape), chunks.mask


class ChunkMean(nn.Module):
    """The mean over chunks."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Map the vectors of chunks (B, C, F) to (B, F); those outside the mask (B, C) change nothing."""
        return _mean_over_chunks(vectors, mask)


class GatedChunks(nn.Module):
    """The mean over chunks of g_c · v_c with g_c = sigmoid(w · v_c + b): how much each chunk counts, by itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, 1)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Map (B, C, F) to (B, F), as `ChunkMean`."""
        return _mean_over_chunks(self.weights(vectors, mask)[:, :, None] * vectors, mask)

    def weights(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return the gates, (B, C), 0 outside the mask."""
        return self.gate(vectors)[:, :, 0].float().sigmoid() * mask


class RecurrentAttention(nn.Module):
    """A recurrent layer from chunk to chunk, and attention of its last state to all of them.

    With h_c its state at chunk c and C the last chunk: a = softmax over c of (W h_c) · h_C, and what is pooled is
    tanh(V [Σ a_c h_c ; h_C]).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.recurrent = nn.RNN(dim, dim, batch_first=True)
        self.score = nn.Linear(dim, dim, bias=False)
        self.combine = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Map (B, C, F) to (B, F), as `ChunkMean`."""
        states, last = self._states(vectors, mask)
        weights = self._attend(states, last, mask)
        context = (weights[:, :, None] * states).sum(1)
        return torch.tanh(self.combine(torch.cat([context, last], dim=-1)))

    def weights(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return the attention to each chunk, (B, C), summing to 1, 0 outside the mask."""
        return self._attend(*self._states(vectors, mask), mask)

    def _states(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state at each chunk, (B, C, F), and at an utterance's own last one, (B, F)."""
        states, _ = self.recurrent(vectors)
        return states, states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]

    def _attend(self, states: Tensor, last: Tensor, mask: Tensor) -> Tensor:
        logits = (self.score(states) * last[:, None]).float().sum(-1)
        return logits.masked_fill(~mask, float("-inf")).softmax(1)


class SelfAttention(nn.Module):
    """Three heads by which each chunk attends to all, a residual connection, LayerNorm, and the mean over chunks."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, 3 * HEADS * HEAD_DIM, bias=False)
        self.combine = nn.Linear(HEADS * HEAD_DIM, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Map (B, C, F) to (B, F), as `ChunkMean`."""
        queries, keys, values = self._heads(vectors)
        # Never holds all the weights, so that the chunks of hours do not fill the memory.
        heads = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None, None])
        attended = F.relu(self.combine(heads.transpose(1, 2).flatten(2)))  # (B, C, F)
        return _mean_over_chunks(self.norm(vectors + attended), mask)

    def weights(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return the attention of each chunk to each, (B, 3, C, C), rows summing to 1, 0 outside the mask."""
        queries, keys, _ = self._heads(vectors)
        logits = (queries @ keys.transpose(-1, -2)).float() / math.sqrt(HEAD_DIM)
        return logits.masked_fill(~mask[:, None, None], float("-inf")).softmax(-1)

    def _heads(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values, each (B, 3, C, 50)."""
        return self.project(vectors).unflatten(-1, (3, HEADS, HEAD_DIM)).permute(2, 0, 3, 1, 4).unbind(0)


OVER_CHUNKS: dict[str, type[nn.Module]] = {
    "chunk-mean": ChunkMean,
    "chunk-gated": GatedChunks,
    "chunk-recurrent": RecurrentAttention,
    "chunk-self-attention": SelfAttention,
}
"""What a recipe calls the ways over chunks."""


def _mean_over_chunks(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of vectors (B, C, F) over an utterance's own chunks, (B, F)."""
    return masked_mean(vectors.masked_fill(~mask[:, :, None], 0.0), mask.sum(1))
