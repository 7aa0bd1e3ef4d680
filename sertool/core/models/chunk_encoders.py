"""What makes one vector of a chunk's frames: their mean, an LSTM, or convolutions (Lin & Busso, IEEE TAC 2023)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.spectra import frame_mask
from sertool.core.models.config import ChunkConfig

CHANNELS = (128, 128, 64, 64, 32)
"""Of the published convolutions, each over three frames; the last one takes every second frame."""


class ChunkEncoder(nn.Module):
    """Maps chunks to vectors; frames beyond a chunk's own change nothing.

    Attributes:
        out_dim: width of a vector, F.
    """

    out_dim: int

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Map chunks (N, m, D), zero beyond their own frames (N,), to vectors (N, F); finite where there are none."""
        raise NotImplementedError


class MeanEncoder(ChunkEncoder):
    """The mean over a chunk's own frames: nothing to learn."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Map (N, m, D) to (N, D)."""
        return masked_mean(frames, lengths)


class LSTMEncoder(ChunkEncoder):
    """Two LSTM layers, 130 wide in the publication, with dropout before each; the last own frame's output is taken.

    The published code normalises that output over the batch; ours does so over its features (LayerNorm), since a
    vector is not to depend on its batch. Ours, too, is that dropout is drawn for each frame, not once for all of them.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.out_dim = hidden
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.LSTM(dim, hidden, num_layers=2, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Map (N, m, D) to (N, hidden)."""
        outputs, _ = self.recurrent(self.dropout(frames))  # (N, m, hidden)
        last = (lengths - 1).clamp(min=0)
        return self.norm(outputs[torch.arange(len(outputs), device=outputs.device), last])


class CNNEncoder(ChunkEncoder):
    """The published five convolutions over time, and a linear layer.

    Ours are that they are normalised over channels rather than over the batch, so that a vector does not depend on its
    batch; that the mean over a chunk's own frames takes the place of all of its frames side by side, so that padding
    does not count; and that LayerNorm, not ReLU, ends it, so that no output is zero for every utterance at the start.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.out_dim = hidden
        widths = (dim, *CHANNELS)
        strides = [1] * (len(CHANNELS) - 1) + [2]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 3, stride=stride, padding=1)
            for before, after, stride in zip(widths, CHANNELS, strides, strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in CHANNELS)
        self.project = nn.Linear(CHANNELS[-1], hidden)
        self.final_norm = nn.LayerNorm(hidden)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Map (N, m, D) to (N, hidden)."""
        x = frames
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolution(x.transpose(1, 2)).transpose(1, 2)
            lengths = -(-lengths // convolution.stride[0])
            x = F.relu(norm(x)) * frame_mask(lengths, x.shape[1])[:, :, None]
        return self.final_norm(self.project(masked_mean(x, lengths)))


def build_chunk_encoder(dim: int, config: ChunkConfig, *, dropout: float) -> ChunkEncoder:
    """Return the chunk encoder of a configuration over features of width D, with new weights."""
    if config.encoder == "mean":
        return MeanEncoder(dim)
    if config.encoder == "lstm":
        return LSTMEncoder(dim, config.hidden, dropout)
    return CNNEncoder(dim, config.hidden)


def masked_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over the first `counts` (N,) of values (N, m, D) that are zero beyond; zero where there are none.

    Summed in float32 at least.
    """
    total = values.float().sum(1) if values.dtype in (torch.bfloat16, torch.float16) else values.sum(1)
    return total / counts.clamp(min=1)[:, None]
