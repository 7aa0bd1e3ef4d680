"""The poolings over chunks in a form that can be exported: whole utterances, all equally long, of any length."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.models.chunk_encoders import CNNEncoder, LSTMEncoder, MeanEncoder
from sertool.core.models.chunk_pooling import ChunkMean, ChunkPooling, GatedChunks, RecurrentAttention, SelfAttention


class FrozenChunks(nn.Module):
    """Cut features (B, T, D) into chunks as `cut_chunks` does, and pool these, (B, F).

    The chunks of an utterance have as many frames of its own each: all, or those of an utterance shorter than a chunk.
    """

    def __init__(self, pooling: ChunkPooling) -> None:
        super().__init__()
        self.chunking = pooling.chunking
        self.encoder = _ENCODERS[type(pooling.encoder)](pooling.encoder)
        self.over_chunks = _OVER_CHUNKS[type(pooling.over_chunks)](pooling.over_chunks)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, T, D) to (B, F)."""
        # Divisions are of numbers above zero throughout: ONNX rounds others towards zero.
        size, frames = self.chunking.chunk_frames, torch.arange(features.shape[1])[-1:] + 1  # (1,)
        count = ((frames + size - 1) // size).clamp(min=self.chunking.fewest) * self.chunking.density
        steps = (count - 1).clamp(min=1)
        starts = (2 * torch.arange(count[0]) * (frames - size).clamp(min=0) + steps) // (2 * steps)  # (C,)
        within = torch.arange(size)
        index = torch.minimum(starts[:, None] + within, frames - 1)  # (C, m)
        own = frames.clamp(max=size)  # (1,)
        chunks = features[:, index] * (within < own)[:, None]  # (B, C, m, D)
        vectors = self.encoder(chunks.flatten(0, 1), own)
        return self.over_chunks(vectors.reshape(chunks.shape[0], -1, vectors.shape[-1]))


class _Mean(nn.Module):
    def __init__(self, encoder: MeanEncoder) -> None:
        super().__init__()

    def forward(self, frames: Tensor, own: Tensor) -> Tensor:
        return frames.sum(1) / own


class _Recurrent(nn.Module):
    def __init__(self, encoder: LSTMEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: Tensor, own: Tensor) -> Tensor:
        outputs, _ = self.encoder.recurrent(frames)
        return self.encoder.norm(outputs[:, own - 1][:, 0])


class _Convolutions(nn.Module):
    def __init__(self, encoder: CNNEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: Tensor, own: Tensor) -> Tensor:
        x = frames
        for convolution, norm in zip(self.encoder.convolutions, self.encoder.norms, strict=True):
            x = convolution(x.transpose(1, 2)).transpose(1, 2)
            stride = convolution.stride[0]
            own = (own + stride - 1) // stride
            x = F.relu(norm(x)) * (torch.arange(x.shape[1]) < own)[:, None]
        return self.encoder.final_norm(self.encoder.project(x.sum(1) / own))


_ENCODERS = {MeanEncoder: _Mean, LSTMEncoder: _Recurrent, CNNEncoder: _Convolutions}


class _PlainMean(nn.Module):
    def __init__(self, over_chunks: ChunkMean) -> None:
        super().__init__()

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors.mean(1)


class _Gated(nn.Module):
    def __init__(self, over_chunks: GatedChunks) -> None:
        super().__init__()
        self.gate = over_chunks.gate

    def forward(self, vectors: Tensor) -> Tensor:
        return (self.gate(vectors).sigmoid() * vectors).mean(1)


class _RecurrentAttention(nn.Module):
    def __init__(self, over_chunks: RecurrentAttention) -> None:
        super().__init__()
        self.over_chunks = over_chunks

    def forward(self, vectors: Tensor) -> Tensor:
        states, _ = self.over_chunks.recurrent(vectors)
        last = states[:, -1]
        weights = (self.over_chunks.score(states) * last[:, None]).sum(-1).softmax(1)
        context = (weights[:, :, None] * states).sum(1)
        return torch.tanh(self.over_chunks.combine(torch.cat([context, last], dim=-1)))


class _SelfAttention(nn.Module):
    def __init__(self, over_chunks: SelfAttention) -> None:
        super().__init__()
        self.over_chunks = over_chunks

    def forward(self, vectors: Tensor) -> Tensor:
        own = self.over_chunks
        queries, keys, values = own._heads(vectors)
        heads = F.scaled_dot_product_attention(queries, keys, values)
        attended = F.relu(own.combine(heads.transpose(1, 2).flatten(2)))
        return own.norm(vectors + attended).mean(1)


_OVER_CHUNKS = {
    ChunkMean: _PlainMean,
    GatedChunks: _Gated,
    RecurrentAttention: _RecurrentAttention,
    SelfAttention: _SelfAttention,
}
