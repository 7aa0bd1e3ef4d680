"""Attention whose logits get a gated position bias (Chen et al., WavLM, 2022), in little memory.

Ours: the backward pass computes the attention weights again (Dao et al., FlashAttention, 2022), so that nothing of size
frames x frames is kept for it. On a GPU the kernels of `scaled_dot_product_attention` do the work, and the bias, which
depends only on how far a key is from its query, is expanded twice. On a CPU those kernels keep all weights where a bias
has a gradient; there the work is done in blocks that fit into a core's cache. Logits and softmax are float32 or wider
there; what is multiplied by weights, or by their gradients, keeps its own type, in which a processor may be faster.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Attention weights computed at once without a fused kernel: 1 MiB of float32, which stays in a core's cache.
BLOCK_WEIGHTS = 2**18
# What a padded key's logit gets: its weight is exactly 0 beside any real key, and an utterance of padding alone gets
# finite weights, for which -inf would give NaN. Fits float16.
PADDED_LOGIT = -3e4
# Dropout draws 16 bits a weight, a tenth of the time of `bernoulli_` on a CPU.
DROPOUT_STEPS = 2**16


def gated_attention(
    query: Tensor, key: Tensor, value: Tensor, gate: Tensor, bias: Tensor, padded: Tensor | None, dropout: float
) -> Tensor:
    """Return softmax(query · keyᵀ / √d + gate · bias) · value, (B, T, H, d).

    Args:
        query: (B, T, H, d).
        key: (B, T, H, d).
        value: (B, T, H, d).
        gate: what a query multiplies the position bias by, (B, T, H), float32 or wider.
        bias: position bias at key - query = -(T - 1) … T - 1, (H, 2T - 1), float32 or wider.
        padded: which keys are padding, (B, T) bool.
        dropout: probability that a weight is dropped, drawn from the global generator.
    """
    if query.device.type == "cpu":
        seed = torch.randint(2**62, ()) if dropout else None
        return blockwise_attention(query, key, value, gate, bias, padded, seed, dropout)[0]
    arguments = (query, key, value, gate, bias, padded, dropout)
    return checkpoint(fused_attention, *arguments, use_reentrant=False)


def fused_attention(
    query: Tensor, key: Tensor, value: Tensor, gate: Tensor, bias: Tensor, padded: Tensor | None, dropout: float
) -> Tensor:
    """Return the same by `scaled_dot_product_attention`, gate · bias expanded to (B, H, T, T) in the query's type."""
    query, gate = query.flip(1), gate.flip(1)
    mask = (gate.transpose(1, 2)[..., None] * _by_distance(bias)).to(query.dtype)
    if padded is not None:
        mask = mask.masked_fill(padded[:, None, None], PADDED_LOGIT)
    by_head = (tensor.transpose(1, 2) for tensor in (query, key, value))
    context = F.scaled_dot_product_attention(*by_head, attn_mask=mask, dropout_p=dropout)
    return context.transpose(1, 2).flip(1)


@torch.library.custom_op("sertool::blockwise_attention", mutates_args=())
def blockwise_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gate: Tensor,
    bias: Tensor,
    padded: Tensor | None,
    seed: Tensor | None,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Return the same in blocks, differentiable once and opaque to `torch.compile`.

    Args:
        query: as in `gated_attention`, and so are the others.
        key: (B, T, H, d).
        value: (B, T, H, d).
        gate: (B, T, H).
        bias: (H, 2T - 1).
        padded: (B, T).
        seed: of the dropout, int64 scalar on the CPU.
        dropout: probability that a weight is dropped.

    Returns:
        The context (B, T, H, d); and for the backward pass, the logarithm of each softmax's denominator (B, H, T).
    """
    with torch.autocast(query.device.type, enabled=False):
        return _blockwise(query, key, value, gate, bias, padded, seed, dropout)


@blockwise_attention.register_fake
def _(query, key, value, gate, bias, padded, seed, dropout):
    batch, frames, heads, _ = query.shape
    return query.new_empty(query.shape), query.new_empty(batch, heads, frames, dtype=_wide(query.dtype))


@torch.library.custom_op("sertool::blockwise_attention_backward", mutates_args=())
def blockwise_attention_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gate: Tensor,
    bias: Tensor,
    padded: Tensor | None,
    seed: Tensor | None,
    context: Tensor,
    log_sum: Tensor,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients for query, key, value, gate and bias, given the one for the context."""
    with torch.autocast(query.device.type, enabled=False):
        return _blockwise_backward(grad, query, key, value, gate, bias, padded, seed, context, log_sum, dropout)


@blockwise_attention_backward.register_fake
def _(grad, query, key, value, gate, bias, padded, seed, context, log_sum, dropout):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (query, key, value, gate, bias))


def _keep_for_backward(ctx, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.dropout = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad: Tensor, *_) -> tuple:
    return (*blockwise_attention_backward(grad, *ctx.saved_tensors, ctx.dropout), None, None, None)


blockwise_attention.register_autograd(_backward, setup_context=_keep_for_backward)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _by_distance(bias: Tensor) -> Tensor:
    """View a bias (H, 2T - 1) as (H, T, T), its queries from last to first.

    In that order element (i, j) is bias[i + j], whose strides are positive, so that no copy is made. All of the
    attention is computed with the queries in that order, and its context turned round at the end.
    """
    return bias.unfold(-1, (bias.shape[-1] + 1) // 2, 1)


def _sum_by_distance(weights: Tensor) -> Tensor:
    """Sum (H, R, T) over equal i + j, the transpose of `_by_distance`: (H, R + T - 1)."""
    heads, rows, columns = weights.shape
    width = rows + columns - 1
    # Each row but the first begins one element later than in `width` columns, and what it runs over into is zero.
    skewed = nn.functional.pad(weights, (0, rows)).flatten(1)[:, : rows * width]
    return skewed.view(heads, rows, width).sum(1)


def _blocks(heads: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Yield heads and queries whose attention weights fit into a block together."""
    block_heads = _share(heads, BLOCK_WEIGHTS // frames**2)
    block_rows = _share(frames, BLOCK_WEIGHTS // (block_heads * frames))
    for head in range(0, heads, block_heads):
        for row in range(0, frames, block_rows):
            yield slice(head, min(head + block_heads, heads)), slice(row, min(row + block_rows, frames))


def _share(total: int, most: int) -> int:
    """Return the size of equal shares of a total, none larger than `most` (or 1)."""
    return -(-total // -(-total // max(1, min(most, total))))


def _logits(query: Tensor, key: Tensor, gate: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """Return query · keyᵀ / √d + gate · bias + mask of some heads and queries, (H, R, T)."""
    logits = torch.addcmul(mask, gate, bias)
    return logits.baddbmm_(query, key.mT, alpha=query.shape[-1] ** -0.5)


def _add_product(total: Tensor, a: Tensor, b: Tensor, scale: float = 1.0) -> None:
    """Add scale · a · b to a total that may be wider than they are."""
    total.baddbmm_(a, b, alpha=scale) if total.dtype == a.dtype else total.add_(a @ b, alpha=scale)


def _turned(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> list[Tensor]:
    """Return tensors of the queries (B, T, H, …) as (B, H, T, …), last query first."""
    return [tensor.to(dtype).flip(1).transpose(1, 2) for tensor in tensors]


def _logit_mask(padded: Tensor | None, query: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to every logit of a key, (B, 1, T)."""
    mask = torch.zeros(query.shape[0], 1, query.shape[1], dtype=dtype, device=query.device)
    return mask if padded is None else mask.masked_fill_(padded[:, None], PADDED_LOGIT)


class _Dropout:
    """Draws which weights are kept; the same again, block by block, from the same seed."""

    def __init__(self, seed: Tensor, probability: float, device: torch.device) -> None:
        self._steps = round(probability * DROPOUT_STEPS)
        self.scale = DROPOUT_STEPS / (DROPOUT_STEPS - self._steps)
        self._generator = torch.Generator(device).manual_seed(int(seed))

    def keep(self, weights: Tensor) -> Tensor:
        bits = torch.empty((weights.numel() + 3) // 4, dtype=torch.int64, device=weights.device)
        bits.random_(-(2**63), None, generator=self._generator)
        kept = bits.view(torch.int16)[: weights.numel()].view(weights.shape) >= self._steps - DROPOUT_STEPS // 2
        return kept.to(weights.dtype)  # once, where every product with it would


def _blockwise(query, key, value, gate, bias, padded, seed, dropout) -> tuple[Tensor, Tensor]:
    dtype = _wide(query.dtype)
    mask, bias = _logit_mask(padded, query, dtype), _by_distance(bias)
    queries, gates = _turned((query, gate), dtype)
    keys, values = key.to(dtype).transpose(1, 2), value.transpose(1, 2)
    context, log_sum = torch.empty_like(queries), torch.empty_like(gates, memory_format=torch.contiguous_format)
    drop = _Dropout(seed, dropout, query.device) if dropout else None
    for heads, rows in _blocks(*gates.shape[1:]):
        for b in range(len(queries)):
            q, k, g = queries[b, heads, rows], keys[b, heads], gates[b, heads, rows, None]
            weights = _logits(q, k, g, bias[heads, rows], mask[b])
            largest = weights.amax(-1, keepdim=True)
            total = weights.sub_(largest).exp_().sum(-1, keepdim=True)
            log_sum[b, heads, rows] = (largest + total.log()).squeeze(-1)
            if drop:
                weights.mul_(drop.keep(weights))
                total /= drop.scale
            context[b, heads, rows] = weights.to(values.dtype) @ values[b, heads] / total
    return context.transpose(1, 2).flip(1).to(query.dtype), log_sum


def _blockwise_backward(grad, query, key, value, gate, bias, padded, seed, context, log_sum, dropout):
    dtype, scale = _wide(query.dtype), query.shape[-1] ** -0.5
    mask, biases = _logit_mask(padded, query, dtype), _by_distance(bias)
    grads, queries, gates = _turned((grad, query, gate), dtype)
    # Softmax's own gradient: the mean of the weights' gradients under the weights (Dao et al., FlashAttention, B.2).
    means = (grads * _turned((context,), dtype)[0]).sum(-1, keepdim=True)
    keys, values = key.to(dtype).transpose(1, 2), value.transpose(1, 2)
    grad_queries, grad_gates, grad_bias = torch.empty_like(queries), torch.empty_like(gates), torch.zeros_like(bias)
    grad_keys, grad_values = (torch.zeros(keys.shape, dtype=dtype, device=key.device) for _ in range(2))
    drop = _Dropout(seed, dropout, query.device) if dropout else None
    if drop:
        grads = grads * drop.scale
    grads, narrow_queries, narrow_keys = (tensor.to(query.dtype) for tensor in (grads, queries, keys))
    for heads, rows in _blocks(*gates.shape[1:]):
        grad_block = torch.zeros_like(biases[heads, rows], memory_format=torch.contiguous_format)
        for b in range(len(queries)):
            q, k, v, g = queries[b, heads, rows], keys[b, heads], values[b, heads], gates[b, heads, rows, None]
            weights = _logits(q, k, g, biases[heads, rows], mask[b])
            weights.sub_(log_sum[b, heads, rows, None]).exp_()
            grad_logits = (grads[b, heads, rows] @ v.mT).to(dtype)
            dropped = weights
            if drop:
                kept = drop.keep(weights)
                dropped = weights * kept
                grad_logits.mul_(kept)
            _add_product(grad_values[b, heads], dropped.to(query.dtype).mT, grads[b, heads, rows])
            grad_logits.sub_(means[b, heads, rows]).mul_(weights)
            narrow = grad_logits.to(query.dtype)
            _add_product(grad_keys[b, heads], narrow.mT, narrow_queries[b, heads, rows], scale)
            grad_queries[b, heads, rows] = (narrow @ narrow_keys[b, heads]).mul_(scale)
            grad_block.addcmul_(grad_logits, g)
            grad_gates[b, heads, rows] = grad_logits.mul_(biases[heads, rows]).sum(-1)
        distances = slice(rows.start, rows.stop + len(mask[0, 0]) - 1)
        grad_bias[heads, distances] += _sum_by_distance(grad_block)
    turned = [tensor.transpose(1, 2).flip(1) for tensor in (grad_queries, grad_gates)]
    others = [tensor.transpose(1, 2).contiguous().to(query.dtype) for tensor in (grad_keys, grad_values)]
    return turned[0].to(query.dtype), *others, turned[1], grad_bias
