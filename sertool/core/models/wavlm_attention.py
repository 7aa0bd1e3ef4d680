"""WavLM's self-attention as `transformers` has it, in less time and memory, and open to adaptation.

The weights, their names, the outputs and the gradients are those of `transformers`. Ours: projections are called as
modules, so that LoRA or a mask on them takes effect; the position bias is passed from layer to layer as one value a
head and distance; and no attention weights are returned, which are never held whole.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sertool.core.errors import InputError
from sertool.core.models.gated_attention import gated_attention

if TYPE_CHECKING:
    from transformers import WavLMModel


def replace_wavlm_attention(model: "WavLMModel") -> None:
    """Replace the attention of every layer of a WavLM by ours, in place; its parameters are moved over as they are."""
    for layer in model.encoder.layers:
        if not isinstance(layer.attention, GatedSelfAttention):
            layer.attention = GatedSelfAttention(layer.attention)


class GatedSelfAttention(nn.Module):
    """Self-attention with gated relative position bias (Chen et al., WavLM, 2022, III-B), in place of `WavLMAttention`.

    Args:
        attention: the module whose parameters and settings to take over.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.dropout = attention.dropout
        self.k_proj, self.v_proj = attention.k_proj, attention.v_proj
        self.q_proj, self.out_proj = attention.q_proj, attention.out_proj
        self.gru_rel_pos_const = attention.gru_rel_pos_const
        self.gru_rel_pos_linear = attention.gru_rel_pos_linear
        if hasattr(attention, "rel_attn_embed"):  # the first layer's, which all layers use
            self.rel_attn_embed = attention.rel_attn_embed
            self.num_buckets, self.max_distance = attention.num_buckets, attention.max_distance
        self.train(attention.training)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        index: int = 0,
        **kwargs: object,
    ) -> tuple[Tensor, None, Tensor]:
        """Attend from every frame to every frame that is not padding.

        Args:
            hidden_states: (B, T, D).
            attention_mask: which frames are not padding, (B, T).
            position_bias: what the first layer returned, (H, 2T - 1); None in the first layer.
            index: of the layer; not used.
            **kwargs: what else transformers hands to every layer; not used.

        Returns:
            The attended frames (B, T, D), None in place of attention weights, and the position bias.

        Raises:
            InputError: attention weights are asked for.
        """
        if kwargs.get("output_attentions"):
            raise InputError(
                "output_attentions is set, but this attention never holds its weights whole: "
                "use transformers' own WavLMModel to look at them"
            )
        frames = hidden_states.shape[1]
        if position_bias is None:
            position_bias = self.position_bias(frames)
        query = self._by_head(self.q_proj(hidden_states))  # (B, T, H, d)
        key, value = (self._by_head(layer(hidden_states)).to(query.dtype) for layer in (self.k_proj, self.v_proj))
        context = gated_attention(
            query,
            key,
            value,
            self.gate(self._by_head(hidden_states)),
            position_bias,
            None if attention_mask is None else attention_mask.ne(1),
            self.dropout if self.training else 0.0,
        )
        return self.out_proj(context.flatten(2)), None, position_bias

    def _by_head(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.num_heads, -1))

    def position_bias(self, frames: int) -> Tensor:
        """Return the bias of every head for a key before, at or after its query, (H, 2T - 1), float32 or wider."""
        distances = torch.arange(1 - frames, frames, device=self.gru_rel_pos_const.device)
        bias = self.rel_attn_embed(distance_buckets(distances, self.num_buckets, self.max_distance)).T  # (H, 2T - 1)
        return bias.to(torch.promote_types(bias.dtype, torch.float32)).contiguous()

    def gate(self, heads: Tensor) -> Tensor:
        """Return what each query multiplies the position bias by, (B, T, H), from its frame's heads (B, T, H, d)."""
        projected = self.gru_rel_pos_linear(heads).unflatten(-1, (2, 4))
        projected = projected.to(torch.promote_types(projected.dtype, torch.float32))
        update, reset = projected.sum(-1).sigmoid().unbind(-1)
        return update * (reset * self.gru_rel_pos_const.view(-1) - 1.0) + 2.0


def distance_buckets(distances: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Return the bucket of each key's distance from its query, exact up to a quarter of them, then logarithmic.

    Args:
        distances: key minus query in frames, int64.
        num_buckets: one half for keys up to the query, one for keys after it.
        max_distance: frames from which on all distances share the last bucket.
    """
    half = num_buckets // 2
    exact = half // 2
    size = distances.abs()
    octaves = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    large = (exact + octaves * (half - exact)).long().clamp(max=half - 1)
    return torch.where(size < exact, size, large) + half * (distances > 0)
