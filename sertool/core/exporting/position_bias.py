"""WavLM's gated attention in a form that can be exported: its weights held whole, its position bias from a table."""

import math

import torch
from torch import Tensor, nn

from sertool.core.models.wavlm_attention import GatedSelfAttention, distance_buckets


def export_position_bias(encoder: nn.Module) -> None:
    """Replace the gated attention in an encoder, in place; one without any stays as it is."""
    found = [(name, module) for name, module in encoder.named_modules() if isinstance(module, GatedSelfAttention)]
    for name, attention in found:
        encoder.set_submodule(name, _TabledAttention(attention))


class _TabledAttention(nn.Module):
    """softmax(query · keyᵀ / √d + gate · bias) · value, in place of `GatedSelfAttention`."""

    def __init__(self, attention: GatedSelfAttention) -> None:
        super().__init__()
        self.attention = attention
        self.table = None
        if hasattr(attention, "rel_attn_embed"):
            # All distances from `max_distance` on share a bucket. Found here once: the logarithm of a runtime may
            # differ in the last bit, and put a distance at a bucket's edge into the next one.
            reach = attention.max_distance
            distances = torch.arange(-reach, reach + 1)
            buckets = distance_buckets(distances, attention.num_buckets, attention.max_distance)
            self.register_buffer("biases", attention.rel_attn_embed(buckets).detach().T.contiguous())
            self.reach = reach

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        index: int = 0,
        **kwargs: object,
    ) -> tuple[Tensor, None, Tensor]:
        """Attend from every frame of (B, T, D) to every frame; the bias (H, T, T) is handed from layer to layer."""
        own = self.attention
        if position_bias is None:
            position = torch.arange(hidden_states.shape[1])
            distance = (position[None] - position[:, None]).clamp(-self.reach, self.reach)
            position_bias = self.biases[:, distance + self.reach]
        heads = hidden_states.unflatten(-1, (own.num_heads, -1))
        gate = own.gate(heads).transpose(1, 2)[..., None]  # (B, H, T, 1)
        query, key, value = (
            layer(hidden_states).unflatten(-1, (own.num_heads, -1)).transpose(1, 2)
            for layer in (own.q_proj, own.k_proj, own.v_proj)
        )
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + gate * position_bias
        context = (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return own.out_proj(context), None, position_bias
