"""DeepEmoCluster's network: chunks to shared features, and on these a cluster head and a regressor.

Of Lin, Sridhar & Busso (ICASSP 2021): the convolutions, the layers' widths, where dropout stands (behind the shared
features, in neither head), and how weights are drawn at first. Ours are listed where they are made.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sertool.core.clustering.batch_norm import BatchNorm2d
from sertool.core.clustering.config import FEATURES, ClusterConfig, EncoderInput, MelInput
from sertool.core.clustering.temporal import build_temporal
from sertool.core.models.emotion_head import MIDPOINT

STRIDES = (1, 1, 2, 2, 2, 2, 2)
"""Of the convolutions, over time and over frequency."""

CLIP = 3.0
"""Deviations beyond which what is heard is clipped."""


class ClusterOutput(NamedTuple):
    """What a model makes of S sentences of C chunks.

    Attributes:
        shared: features in front of both heads, behind the temporal net where there is one, (S, C, 256).
        features: what is clustered: the cluster head's hidden layer before its ReLU, (S, C, 256); the shared features
            where there is no cluster head.
        logits: of each cluster, (S, C, K); None where there is no cluster head.
        estimates: attributes on the 1–7 scale, or the logits of categories, (S, C, outputs).
    """

    shared: Tensor
    features: Tensor
    logits: Tensor | None
    estimates: Tensor


class ClusterModel(nn.Module):
    """Chunks into shared features, clusters and emotion (Lin, Sridhar & Busso, ICASSP 2021).

    Ours: a regressor that starts in the middle of the 1–7 scale, where the publication estimates normalised attributes;
    several attributes at once, or categories; and that training's mean and deviation are stored with the model.

    Attributes:
        config: what it is made of.
        input_mean: of training speech, by mel band or by component of the encoder's vector, (F,).
        input_std: its deviation, (F,).
        top: the last layer of the cluster head, which `reset_top` draws anew; None where there are no clusters.
    """

    def __init__(self, config: ClusterConfig, encoder_dim: int | None = None) -> None:
        """Build a model, its weights drawn.

        Args:
            config: what it is made of.
            encoder_dim: width of the encoder's hidden states, D, where one stands in front; vectors are of 2D.

        Raises:
            ValueError: an encoder without its width, or a width without an encoder.
        """
        super().__init__()
        if (encoder_dim is None) == isinstance(config.input, EncoderInput):
            raise ValueError(f"encoder_dim is {encoder_dim} for an input of kind '{config.input.kind}'")
        self.config = config
        if isinstance(config.input, MelInput):
            width, self.trunk = config.input.mels, MelTrunk(config.input, config.chunk_frames, config.dropout)
        else:
            width, self.trunk = 2 * encoder_dim, VectorTrunk(2 * encoder_dim, config.dropout)
        self.register_buffer("input_mean", torch.zeros(width))
        self.register_buffer("input_std", torch.ones(width))
        self.temporal = build_temporal(config.temporal)
        self.cluster_hidden = nn.Linear(FEATURES, FEATURES) if config.clusters else None
        self.top = nn.Linear(FEATURES, config.clusters) if config.clusters else None
        self.regressor = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, config.outputs))
        self.apply(_draw)
        if config.attributes:
            nn.init.constant_(self.regressor[-1].bias, MIDPOINT)

    def forward(self, chunks: Tensor) -> ClusterOutput:
        """Map normalised chunks, (S, C, m, mels) or (S, C, F), to what is made of them; C may be 1."""
        shared = self.trunk(chunks.flatten(0, 1)).unflatten(0, chunks.shape[:2])  # (S, C, 256)
        if self.temporal is not None:
            shared = self.temporal(shared)
        # The heads stay out of autocast: bf16 has no number between 4 and 4.03.
        with torch.autocast(shared.device.type, enabled=False):
            return self._heads(shared.to(self.regressor[0].weight.dtype))

    def _heads(self, shared: Tensor) -> ClusterOutput:
        features, logits = shared, None
        if self.top is not None:
            features = self.cluster_hidden(shared)
            logits = self.top(features.relu())
        return ClusterOutput(shared, features, logits, self.regressor(shared))

    def normalise(self, chunks: Tensor) -> Tensor:
        """Return chunks (…, F) less training's mean, by its deviation, clipped to ±3."""
        return ((chunks - self.input_mean) / self.input_std).clamp(-CLIP, CLIP)

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take training's mean and deviation, each (F,).

        Raises:
            ValueError: another shape, a number that is not finite, or a deviation that is not positive.
        """
        for name, given, own in (("mean", mean, self.input_mean), ("std", std, self.input_std)):
            if given.shape != own.shape:
                raise ValueError(f"{name} is of shape {tuple(given.shape)}, not {tuple(own.shape)}")
            if not given.isfinite().all():
                raise ValueError(f"{name} is not finite")
        if (std <= 0).any():
            raise ValueError("std is not positive everywhere")
        self.input_mean.copy_(mean)
        self.input_std.copy_(std)

    @torch.no_grad()
    def reset_top(self, generator: torch.Generator) -> None:
        """Draw the top layer anew, as before each clustering's training: weights of N(0, .01), biases 0.

        Args:
            generator: on the CPU, so that every process and device draws the same.

        Raises:
            ValueError: the model has no clusters.
        """
        if self.top is None:
            raise ValueError("a model of no clusters has no top layer")
        self.top.weight.copy_(torch.randn(self.top.weight.shape, generator=generator) * 0.01)
        self.top.bias.zero_()

    def own_state(self) -> dict[str, Tensor]:
        """Return the tensors that are stored: all."""
        return dict(self.state_dict())

    def load_own_state(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `own_state` returned.

        Raises:
            RuntimeError: a tensor is missing, unknown or of another shape.
        """
        self.load_state_dict(tensors)


class MelTrunk(nn.Module):
    """Seven 3×3 convolutions, each with batch normalisation and ReLU, and a linear layer over all they return."""

    def __init__(self, mel: MelInput, chunk_frames: int, dropout: float) -> None:
        super().__init__()
        layers, before = [], 1
        for channels, stride in zip(mel.channels, STRIDES, strict=True):
            layers += [nn.Conv2d(before, channels, 3, stride=stride, padding=1), BatchNorm2d(channels), nn.ReLU()]
            before = channels
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(before * _halved(chunk_frames) * _halved(mel.mels), FEATURES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, chunks: Tensor) -> Tensor:
        """Map chunks (N, m, mels) to features (N, 256)."""
        # Strides that say channels come last, which a mere `contiguous` leaves open where there is one: twice as fast.
        images = chunks.contiguous()[..., None].permute(0, 3, 1, 2)  # (N, 1, m, mels)
        maps = self.convolutions(images)  # (N, channels, m / 32, mels / 32)
        return self.dropout(self.project(maps.flatten(1)).relu())


class VectorTrunk(nn.Module):
    """Ours, for the vectors an encoder leaves of chunks: a linear layer, ReLU and dropout."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, FEATURES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map vectors (N, F) to features (N, 256)."""
        return self.dropout(self.project(vectors).relu())


def _halved(size: int) -> int:
    """Return what the strides leave of a size: each of 2 halves it, rounded up."""
    return math.ceil(size / math.prod(STRIDES))


def _draw(module: nn.Module) -> None:
    """Draw weights as published: biases 0, linear layers N(0, .01), convolutions Kaiming-normal by their outputs.

    Others, such as the temporal nets' recurrent weights, keep torch's own, as there.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
