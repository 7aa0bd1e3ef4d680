"""S³-Router: linear layers that learn which of their connections exist, not their weights (Fu et al., NeurIPS 2022)."""

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.errors import InputError
from sertool.core.models.config import RouterConfig

SCORES, BITS = ".scores.", ".bits."
"""What stands between a layer's name and that of a mask set: in a model's tensors, and in a stored one's."""


class MaskedLinear(nn.Module):
    """A linear layer under a binary mask, y = x (W ⊙ m)ᵀ + b with m = TopK_ρ(|s|); of s, W and b only s ever learns.

    Several mask sets, one for each task, may lie over the same weights; `select` says which one holds.

    Attributes:
        weight: of the layer that was replaced, (out, in), frozen.
        bias: the same, (out,), or None.
        scores: by mask set, (out, in).
        kept: connections that every mask keeps, n - round(sparsity · n).
    """

    def __init__(self, linear: nn.Linear, heads: Sequence[str], config: RouterConfig) -> None:
        """Put masks over a linear layer, whose tensors are taken over as they are.

        Args:
            linear: the layer; may be on the meta device.
            heads: names of the mask sets; the first is selected.
            config: sparsity and how scores are initialised, drawn from torch's global generator.
        """
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.detach(), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)
        self.scores = nn.ParameterDict({head: initial_scores(self.weight, config.init) for head in heads})
        self.kept = kept_connections(self.weight.numel(), config.sparsity)
        self.selected = heads[0]
        self._known: dict[str, _KnownMask] = {}
        self.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in) to (…, out) under the selected mask."""
        return F.linear(x, self.masked_weight(), self.bias)

    def masked_weight(self) -> Tensor:
        """Return W ⊙ m, (out, in); its gradient goes to the scores, straight through the choice of the largest."""
        scores = self.scores[self.selected]
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return _RoutedWeight.apply(self.weight, scores, self.kept)
        return self.weight * self._mask(scores)

    def select(self, head: str) -> None:
        """Let one mask set hold from now on; a set that is `shared` holds for every head."""
        if head not in self.scores:
            if "shared" not in self.scores:
                raise ValueError(f"no mask set '{head}' among {', '.join(self.scores)}")
            head = "shared"
        self.selected = head

    def merged(self) -> nn.Linear:
        """Return a plain linear layer that computes the same, its parameters open to training."""
        # On the meta device, so that no random weights are made first.
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        plain.weight = nn.Parameter(self.masked_weight().detach())
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach())
        return plain.train(self.training)

    def train(self, mode: bool = True) -> "MaskedLinear":
        """Switch between training and evaluation, in which a mask is found once and kept while its scores stay."""
        self._known.clear()
        return super().train(mode)

    def extra_repr(self) -> str:
        """Return sizes and sparsity for printing."""
        connections = self.weight.numel()
        return f"{self.in_features}, {self.out_features}, drops {connections - self.kept} of {connections}"

    def _mask(self, scores: Tensor) -> Tensor:
        """Return the mask of scores, found anew unless they are known to be those of the last time."""
        known = self._known.get(self.selected)
        if known is None or not known.is_of(scores):
            mask = top_k_mask(scores.abs(), self.kept)
            if scores.is_inference():
                return mask  # such a tensor does not tell whether it has changed
            known = self._known[self.selected] = _KnownMask(mask, weakref.ref(scores), _state(scores))
        return known.mask

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}


@dataclass(frozen=True)
class _KnownMask:
    """A mask, and the very scores it was found from, as they were then."""

    mask: Tensor
    source: weakref.ref
    state: tuple[int, int]

    def is_of(self, scores: Tensor) -> bool:
        return self.source() is scores and not scores.is_inference() and self.state == _state(scores)


def _state(scores: Tensor) -> tuple[int, int]:
    return scores.data_ptr(), scores._version


class _RoutedWeight(torch.autograd.Function):
    """W ⊙ TopK(|s|) forward; backward ∂L/∂s = (∂L/∂W′ ⊙ W) · sign(s), as if every connection were scaled by its |s|."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, kept: int) -> Tensor:
        ctx.save_for_backward(weight, scores)
        return weight * top_k_mask(scores.abs(), kept)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        weight, scores = ctx.saved_tensors
        # At zero, where masks that were stored leave all dropped connections, the sign is that of the way up: with
        # torch's sign of 0 they could never come back.
        return None, torch.where(scores < 0, -gradient, gradient) * weight, None


def kept_connections(connections: int, sparsity: float) -> int:
    """Return how many of a tensor's connections a mask keeps: all but round(sparsity · n)."""
    return connections - round(sparsity * connections)


def top_k_mask(sizes: Tensor, kept: int) -> Tensor:
    """Return which entries are the `kept` largest, exactly as many; of equal ones those that come first.

    Args:
        sizes: finite, of any shape.
        kept: from 0 to the number of entries.

    Returns:
        bool, of the same shape.
    """
    flat = sizes.flatten()
    dropped = flat.numel() - kept
    if dropped == 0 or kept == 0:
        return torch.full_like(sizes, dropped == 0, dtype=torch.bool)
    # The smaller half of the question is the cheaper one; which of equal entries it returns is not said, so the
    # edge alone is taken from it.
    if dropped < kept:
        edge = flat.topk(dropped, largest=False, sorted=False).values.amax()
    else:
        edge = flat.topk(kept, sorted=False).values.amin()
    above, at_edge = flat > edge, flat == edge
    places = kept - above.sum(dtype=torch.int32)
    return (above | (at_edge & (at_edge.cumsum(0, dtype=torch.int32) <= places))).view(sizes.shape)


@torch.no_grad()
def initial_scores(weight: Tensor, init: str) -> nn.Parameter:
    """Return the scores a mask starts from, of the shape of a weight (out, in).

    `uniform`: draws of U(-b, b), b = 1/√in (Kaiming, a = √5). `weight-rank`: the same, sorted so that the largest |s|
    falls on the largest |W|. `magnitude`: the weights by a scale; ours: the power of two that brings their root mean
    square nearest to that of the draws, so that no rounding makes two different weights equal.
    """
    if init == "magnitude":
        spread = 1.0 / math.sqrt(3.0 * weight.shape[1])
        actual = weight.double().square().mean().sqrt().clamp(min=torch.finfo(weight.dtype).tiny)
        scale = (spread / actual).log2().round().exp2().to(weight.dtype)
        return nn.Parameter(weight * scale)
    draws = nn.init.kaiming_uniform_(torch.empty_like(weight, requires_grad=False), a=math.sqrt(5.0))
    if init == "uniform":
        return nn.Parameter(draws)
    by_size = draws.flatten()[draws.abs().flatten().argsort(stable=True)]
    scores = torch.empty_like(by_size)
    scores[weight.abs().flatten().argsort(stable=True)] = by_size
    return nn.Parameter(scores.view(weight.shape))


def pack_masks(tensors: Mapping[str, Tensor], sparsity: float | None = None) -> dict[str, Tensor]:
    """Return tensors with every mask's scores (out, in) replaced by what they choose, one bit a connection.

    Args:
        tensors: of a model, by name; those that are not scores are returned as they are.
        sparsity: of every mask; needed where there are scores.

    Returns:
        `….scores.HEAD` has become `….bits.HEAD`: uint8, (ceil(out · in / 8),), row by row, the first connection in the
        highest bit, 1 for kept.
    """
    packed = {}
    for name, tensor in tensors.items():
        if SCORES not in name:
            packed[name] = tensor
            continue
        if sparsity is None:
            raise ValueError(f"{name}: how many connections its mask keeps is not said: give the sparsity")
        mask = top_k_mask(tensor.detach().abs(), kept_connections(tensor.numel(), sparsity))
        packed[name.replace(SCORES, BITS)] = torch.from_numpy(np.packbits(mask.cpu().numpy()))
    return packed


def unpack_masks(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return tensors with every packed mask replaced by scores that choose the same: 1.0 for kept, 0.0 for dropped.

    Args:
        tensors: as `pack_masks` returns them.
        shapes: of the model's own tensors, `….scores.HEAD` among them.

    Raises:
        InputError: a mask has no place in the model, or another size.
    """
    unpacked = {}
    for name, tensor in tensors.items():
        if BITS not in name:
            unpacked[name] = tensor
            continue
        name = name.replace(BITS, SCORES)
        shape = shapes.get(name, ())
        connections = math.prod(shape) if shape else 0
        if tensor.dtype != torch.uint8 or tensor.shape != (packed_bytes(connections),):
            raise InputError(
                f"mask '{name[:80]}' has {tensor.numel()} bytes; expected {packed_bytes(connections)}, one bit a "
                "connection: copy model.safetensors and config.json from one run"
            )
        bits = np.unpackbits(tensor.cpu().numpy(), count=connections)
        unpacked[name] = torch.from_numpy(bits.astype(np.float32)).view(*shape)
    return unpacked


def packed_bytes(connections: int) -> int:
    """Return the bytes of a mask at one bit a connection."""
    return -(-connections // 8)


def mask_bytes(encoder: nn.Module) -> int:
    """Return the bytes of all mask sets of an encoder at one bit a connection."""
    layers = (module for module in encoder.modules() if isinstance(module, MaskedLinear))
    return sum(len(layer.scores) * packed_bytes(layer.weight.numel()) for layer in layers)
