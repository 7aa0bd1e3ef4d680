"""What may be done to an encoder's layers alike: compute them twice to save memory, or compile them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn

from sertool.core.errors import InputError
from sertool.core.models.adaptation import checkpointed
from sertool.core.models.encoder import Encoder

COMPILER = "inductor"

VARIANTS = 64
"""Forms of the same code that may be compiled before torch gives up and runs it as it is."""


def layers_of(encoder: Encoder) -> list[nn.Module]:
    """Return an encoder's layers, first to last; none where it has none."""
    return list(getattr(encoder, "layers", ()))


def checkpoint_layers(encoder: Encoder) -> None:
    """Keep of each layer its input alone and compute it again in the backward pass (Chen et al., 2016); same gradients.

    Raises:
        InputError: the encoder has no layers.
    """
    _check(encoder, "checkpointing")
    for layer in layers_of(encoder):
        # On the module itself, not in one around it: the names of its weights stay.
        layer.forward = _checkpointed(layer)


def compile_layers(encoder: Encoder) -> None:
    """Compile each layer with `torch.compile`, for any batch size and duration; names of weights stay.

    Raises:
        InputError: the encoder has no layers.
    """
    _check(encoder, "compile")
    import torch._dynamo.config as compiler  # here, not above: it takes a second

    # Layers share what is compiled of them. They differ in dilation, in what is frozen, in the first one's position
    # bias, and each is compiled with and without gradients, so that torch's eight would soon be used up.
    compiler.recompile_limit = max(compiler.recompile_limit, VARIANTS)
    for layer in layers_of(encoder):
        layer.compile(backend=COMPILER, dynamic=True)


def _checkpointed(layer: nn.Module) -> Callable[..., Any]:
    forward = layer.forward

    @wraps(forward)
    def computed_again(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpointed(layer, forward, *args, **kwargs)

    return computed_again


def _check(encoder: Encoder, setting: str) -> None:
    if not layers_of(encoder):
        raise InputError(
            f"optimisation.{setting} is for an encoder's layers, and this one has none; expected one that has: "
            f"set optimisation.{setting} to false"
        )
