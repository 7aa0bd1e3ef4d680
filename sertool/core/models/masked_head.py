"""The head of masked prediction: which cluster each frame belongs to (HuBERT, Hsu et al., TASLP 2021)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.models.config import MaskedConfig

TEMPERATURE = 0.1
"""τ, what cosines are divided by (eq. 3)."""


class MaskedHead(nn.Module):
    """Compare each frame with an embedding of every cluster (eq. 3): logits cos(A o_t, e_c) / τ.

    Attributes:
        hidden_vector: what stands in the place of hidden frames behind the encoder's front end, (D,); learned, and
            uniform in [0, 1) at first, as in HuBERT.
    """

    def __init__(self, dim: int, config: MaskedConfig) -> None:
        super().__init__()
        self.hidden_vector = nn.Parameter(torch.empty(dim).uniform_())
        self.project = nn.Linear(dim, config.projection)
        # Ours: normal, where HuBERT's are uniform in [0, 1), which all point much the same way.
        self.codewords = nn.Parameter(torch.empty(config.clusters, config.projection).normal_())

    def forward(self, states: Tensor) -> Tensor:
        """Map the encoder's last hidden states (…, D) to logits over clusters, float32, (…, K).

        Frames may have been picked out before, (N, D), so that logits are made only of those that count.
        """
        projected = self.project(states)
        # Cosines of bfloat16 are off by up to a hundredth, a tenth of a logit.
        with torch.autocast(states.device.type, enabled=False):
            projected, codewords = F.normalize(projected.float(), dim=-1), F.normalize(self.codewords.float(), dim=-1)
            return projected @ codewords.T / TEMPERATURE
