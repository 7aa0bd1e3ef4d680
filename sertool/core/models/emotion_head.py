"""The emotion head: a pooling over frames or chunks, and one hidden layer (head of Tzeng et al., ICASSP 2025)."""

import torch
from torch import Tensor, nn

from sertool.core.audio.spectra import frame_mask
from sertool.core.models.chunk_pooling import ChunkPooling
from sertool.core.models.config import EmotionConfig

MIDPOINT = 4.0
"""Middle of the 1–7 attribute scale, where the attribute outputs start."""


class AttentiveStatistics(nn.Module):
    """Pool frames by attention: weighted mean and standard deviation over an utterance's own frames.

    Attributes:
        out_dim: width of what is pooled, 2D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = 2 * dim
        self.project = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, 1, bias=False)

    def forward(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Map (B, T, D) to (B, 2D); frames beyond an utterance's own get no weight."""
        mask = frame_mask(frame_lengths, features.shape[1])[:, :, None]
        logits = self.query(torch.tanh(self.project(features))).float()  # (B, T, 1)
        weights = logits.masked_fill(~mask, float("-inf")).softmax(1)
        mean = (weights * features).sum(1)
        variance = (weights * (features - mean[:, None]).square()).sum(1)
        # The small constant keeps the gradient of the root finite for an utterance of one frame.
        return torch.cat([mean, (variance + 1e-6).sqrt()], dim=-1)


class EmotionHead(nn.Module):
    """Recognise categories, attributes or both from one shared pooling.

    Pooling (P) → Dropout → Linear → LayerNorm → ReLU → Dropout, as in the published head, whose pooling is attentive
    statistics; in its place may stand those over chunks. Ours are the attribute output beside the class output, and
    that what is pooled is standardised with fixed numbers, taken once from training speech (`pooled_mean`,
    `pooled_std`): it differs between utterances by much less than from zero, and a head over a frozen encoder otherwise
    learns very slowly.
    """

    def __init__(self, dim: int, config: EmotionConfig) -> None:
        super().__init__()
        over_frames = config.pooling == "attentive-statistics"
        self.pooling = AttentiveStatistics(dim) if over_frames else ChunkPooling(dim, config)
        self.register_buffer("pooled_mean", torch.zeros(self.pooling.out_dim))
        self.register_buffer("pooled_std", torch.ones(self.pooling.out_dim))
        self.hidden = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(self.pooling.out_dim, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.categories = nn.Linear(config.hidden, len(config.categories)) if config.categories else None
        self.attributes = nn.Linear(config.hidden, len(config.attributes)) if config.attributes else None

    def forward(self, features: Tensor, frame_lengths: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Map (B, T, D) to class logits (B, C) and attributes (B, A) on the 1–7 scale; None where not trained for."""
        return self.judge(self.pooling(features, frame_lengths))

    def judge(self, pooled: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Map what was pooled (B, P) to class logits and attributes."""
        hidden = self.hidden((pooled - self.pooled_mean) / self.pooled_std)
        logits = self.categories(hidden) if self.categories else None
        attributes = MIDPOINT + self.attributes(hidden) if self.attributes else None
        return logits, attributes

    def keep_categories(self, kept: list[int]) -> None:
        """Forget all category outputs but these, given by their places."""
        whole = self.categories
        # On the meta device, so that no random weights are drawn first.
        self.categories = nn.Linear(whole.in_features, len(kept), device="meta").train(whole.training)
        tensors = {name: tensor[kept] for name, tensor in whole.state_dict().items()}
        self.categories.load_state_dict(tensors, assign=True)

    def standardise_pooling(self, pooled: Tensor) -> None:
        """Take mean and deviation from what was pooled of training speech, (N, P)."""
        self.pooled_mean.copy_(pooled.mean(0))
        self.pooled_std.copy_(pooled.std(0, correction=0).clamp(min=1e-3))
