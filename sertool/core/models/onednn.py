"""Matrix products of float32 by oneDNN, on a CPU where torch would take MKL.

Ours: on an AMD processor with AVX-512, a product of the sizes of these encoders takes oneDNN half of MKL's time. It is
the same sum, of float32 throughout, in another order of additions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_WEIGHT = 2**14
"""Connections of a layer from which on oneDNN is asked: below, to ask takes longer than the product."""


def use_onednn(model: nn.Module) -> None:
    """Let every linear layer of a model that is large enough compute by oneDNN, in place; names and weights stay."""
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.numel() >= SMALLEST_WEIGHT:
            module.__class__ = Linear


class Linear(nn.Linear):
    """A linear layer, y = x Wᵀ + b, that computes by oneDNN what it can."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in) to (…, out)."""
        # What is compiled, exported or in less precision is torch's own matter.
        graph = torch.compiler.is_compiling() or torch.jit.is_tracing()  # ONNX files are made of a trace
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or graph:
            return super().forward(x)
        return linear(x, self.weight, self.bias)


@torch.library.custom_op("sertool::linear", mutates_args=())
def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x Wᵀ + b, (…, out), opaque to `torch.compile`.

    Args:
        x: (…, in).
        weight: (out, in).
        bias: (out,).
    """
    return product(x, weight, bias)


@linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


def _keep_for_backward(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weight, _ = inputs
    by_x, by_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(x if by_weight else None, weight if by_x else None)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x, weight), (by_x, by_weight, by_bias) = ctx.saved_tensors, ctx.needs_input_grad[:3]
    rows = grad.reshape(-1, grad.shape[-1])
    return (
        linear(grad, weight.T, None) if by_x else None,
        linear(rows.T, x.reshape(-1, x.shape[-1]).T, None) if by_weight else None,
        rows.sum(0) if by_bias else None,
    )


linear.register_autograd(_backward, setup_context=_keep_for_backward)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + b, by oneDNN where torch has it and they are float32 on a CPU; no gradient goes through it."""
    float32 = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    if not (float32 and x.numel() and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
