"""What lies between shared features and heads, along a sentence's chunks (Lin & Busso, Speech Communication 2024).

Each maps (S, C, 256) to the same shape, mixes the chunks of a sentence, knows their order, and keeps sentences apart.
Layers and widths are the publication's.
"""

import math

import torch
from torch import Tensor, nn

from sertool.core.clustering.batch_norm import BatchNorm2d
from sertool.core.clustering.config import FEATURES, Temporal

DROPOUT = 0.3
"""Of the convolutions and the transformer."""

CHANNELS = 16
"""Between the two convolutions."""


class TemporalGRU(nn.Module):
    """A recurrent layer in each direction, 128 wide, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(FEATURES, FEATURES // 2, batch_first=True, bidirectional=True)

    def forward(self, shared: Tensor) -> Tensor:
        """Map (S, C, 256) to (S, C, 256)."""
        return self.recurrent(shared)[0]


class TemporalCNN(nn.Module):
    """Two 5×5 convolutions over the map of chunks × features, to 16 channels and back to one, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(1, CHANNELS, 5, padding=2), BatchNorm2d(CHANNELS), nn.ReLU()),
            *(nn.Conv2d(CHANNELS, 1, 5, padding=2), BatchNorm2d(1), nn.ReLU()),
            nn.Dropout(DROPOUT),
        )

    def forward(self, shared: Tensor) -> Tensor:
        """Map (S, C, 256) to (S, C, 256)."""
        return self.convolutions(shared[:, None])[:, 0]


class TemporalTransformer(nn.Module):
    """Sinusoidal positions, and a transformer layer of one head by which each chunk attends to all of its sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(FEATURES, 1, FEATURES, DROPOUT, batch_first=True)

    def forward(self, shared: Tensor) -> Tensor:
        """Map (S, C, 256) to (S, C, 256)."""
        return self.layer(shared + sinusoids(shared.shape[1]).to(shared))


def sinusoids(num_chunks: int) -> Tensor:
    """Return the positions of chunks, (C, 256): sin and cos in turn of c / 10000^(2i / 256) (Vaswani et al., 2017)."""
    periods = torch.exp(torch.arange(0, FEATURES, 2) * (-math.log(10_000.0) / FEATURES))
    angles = torch.arange(num_chunks)[:, None] * periods  # (C, 128)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


FORMS: dict[Temporal, type[nn.Module]] = {"gru": TemporalGRU, "cnn": TemporalCNN, "transformer": TemporalTransformer}
"""What a recipe calls the nets; the other temporal forms have none."""


def build_temporal(kind: Temporal) -> nn.Module | None:
    """Build the net of a temporal form, or None for `none` and for `triplet`, which is a loss."""
    return FORMS[kind]() if kind in FORMS else None
