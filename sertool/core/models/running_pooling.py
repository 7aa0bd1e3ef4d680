"""Attentive statistics pooling over frames that come block by block: what pooling them all at once gives."""

import torch
from torch import Tensor

from sertool.core.models.emotion_head import AttentiveStatistics


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
