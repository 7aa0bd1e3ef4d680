"""The layer sum: one feature from all hidden states of an encoder (Tzeng et al., ICASSP 2025)."""

import torch
from torch import Tensor, nn


class LayerSum(nn.Module):
    """Weigh the encoder's layers: h_t = sum over l of softmax(w)_l * LayerNorm_l(h_t^l), the weights starting equal."""

    def __init__(self, num_states: int, dim: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_states))
        self.weights = nn.Parameter(torch.zeros(num_states))

    def forward(self, hidden_states: tuple[Tensor, ...]) -> Tensor:
        """Map L + 1 tensors (B, T, D) to one (B, T, D).

        Raises:
            ValueError: the encoder returned another number of hidden states than this sum was made for.
        """
        if len(hidden_states) != len(self.norms):
            raise ValueError(f"{len(hidden_states)} hidden states given, {len(self.norms)} expected: is LayerDrop off?")
        shares = self.weights.softmax(0)
        normed = [norm(state) for norm, state in zip(self.norms, hidden_states, strict=True)]
        return sum(share * state for share, state in zip(shares, normed, strict=True))
