"""The heads in a form that can be exported: the same modules, their forward pass in what ONNX has.

All utterances of a batch are equally long and fill their rows.
"""

import torch
from torch import Tensor, nn

from sertool.core.audio.spectra import HOP, LOG_OFFSET
from sertool.core.errors import InputError
from sertool.core.exporting.frozen_chunks import FrozenChunks
from sertool.core.exporting.frozen_dual_path import FrozenDualPath
from sertool.core.exporting.short_time import ShortTimeSpectrum, magnitude
from sertool.core.models.chunk_pooling import ChunkPooling
from sertool.core.models.dual_path_head import DualPathHead
from sertool.core.models.emotion_head import AttentiveStatistics, EmotionHead
from sertool.core.models.enhancement_head import EnhancementHead
from sertool.core.models.shared import SharedModel


class FrozenEmotion(nn.Module):
    """Maps features (B, T, D) to what the emotion head says: probabilities (B, C), attributes (B, A), or both."""

    def __init__(self, head: EmotionHead) -> None:
        super().__init__()
        self.head = head
        self.pooling = _pooling(head.pooling)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return those of the two that the model has, in this order."""
        logits, attributes = self.head.judge(self.pooling(features))
        spoken = [] if logits is None else [logits.softmax(1)]
        return spoken if attributes is None else [*spoken, attributes]


class FrozenMask(nn.Module):
    """Maps waveforms (B, S) and the encoder's features (B, T', D) to the enhanced speech that a mask leaves, (B, S)."""

    def __init__(self, head: EnhancementHead, window: Tensor, hop: int) -> None:
        super().__init__()
        self.head = head
        self.spectrum = ShortTimeSpectrum(window, hop)

    def forward(self, waveform: Tensor, features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return it at the waveform's own level; mean and deviation are (B, 1)."""
        spectrum = self.spectrum((waveform - mean) / (std + 1e-7))  # (B, 2 · bins, T)
        noisy = magnitude(spectrum)
        log_noisy = torch.log1p(noisy + LOG_OFFSET).transpose(1, 2)
        own = doubled(features, log_noisy.shape[1])
        states, _ = self.head.recurrent(self.head.recurrent_input(log_noisy, own))
        masked = expm1(self.head.mask_of(states) * log_noisy) - LOG_OFFSET
        # The noisy phase stays: real and imaginary parts are scaled alike.
        gain = masked.clamp(min=0.0).transpose(1, 2) / noisy.clamp(min=1e-20)
        return self.spectrum.inverse(spectrum * torch.cat([gain, gain], dim=1), waveform.shape[1]) * std


def frozen_speech(model: SharedModel) -> nn.Module:
    """Return the enhancement head of a model in its exported form: (waveform, features, mean, std) to speech (B, S).

    Raises:
        InputError: it is of a kind that has no such form yet.
    """
    head = model.enhancement_head
    if isinstance(head, EnhancementHead):
        return FrozenMask(head, model.window, HOP)
    if isinstance(head, DualPathHead):
        return FrozenDualPath(head)
    raise InputError(
        f"an enhancement head of the kind '{type(head).__name__}' cannot be exported to ONNX yet; expected the "
        "paper's mask or the dual-path head: export with --format hf"
    )


def expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1 = tanh(x / 2) (exp(x) + 1): ONNX has no expm1, and exp(x) - 1 loses a small x."""
    return torch.tanh(x / 2.0) * (torch.exp(x) + 1.0)


def doubled(features: Tensor, num_frames: Tensor | int) -> Tensor:
    """Bring 50 Hz features (B, T', D) to 100 Hz, (B, num_frames, D): each twice, the last one as often as needed."""
    position = torch.arange(num_frames) // 2
    return features[:, position.clamp(max=features.shape[1] - 1)]


def _pooling(pooling: nn.Module) -> nn.Module:
    if isinstance(pooling, AttentiveStatistics):
        return _FrozenStatistics(pooling)
    if isinstance(pooling, ChunkPooling):
        return FrozenChunks(pooling)
    raise InputError(
        f"a pooling of the kind '{type(pooling).__name__}' cannot be exported to ONNX yet; expected attentive "
        "statistics or one over chunks: export with --format hf"
    )


class _FrozenStatistics(nn.Module):
    def __init__(self, pooling: AttentiveStatistics) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, features: Tensor) -> Tensor:
        weights = self.pooling.query(torch.tanh(self.pooling.project(features))).softmax(1)
        mean = (weights * features).sum(1)
        variance = (weights * (features - mean[:, None]).square()).sum(1)
        return torch.cat([mean, (variance + 1e-6).sqrt()], dim=-1)
