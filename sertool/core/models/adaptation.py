"""How a learned encoder is brought to a task: masks over its connections (S³-Router), or low-rank updates (LoRA)."""

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sertool.core.errors import InputError
from sertool.core.models.config import AdaptConfig, LoRAConfig, RouterConfig
from sertool.core.models.encoder import Encoder
from sertool.core.models.masked_linear import MaskedLinear

ADAPTERS = frozenset({"scores", "lora_A", "lora_B"})
"""What a tensor of an adaptation has in its name."""

WRAPPED = ".base_layer."
"""What `peft` puts into the names of the layers it wraps."""


def adapt_encoder(encoder: Encoder, config: AdaptConfig, heads: tuple[str, ...]) -> None:
    """Prepare an encoder for an adaptation, in place; for `full` and `frozen` there is nothing to prepare.

    Of an encoder under masks or low-rank updates, only those are left open to training. What is random is drawn from
    torch's global generator.

    Args:
        encoder: with the weights to adapt; on the meta device, what is added lies there too.
        config: how.
        heads: names of the mask sets, for `router`: `shared`, or the heads that have one each.

    Raises:
        InputError: the encoder has no such layers, or LoRA is asked for and `peft` is not installed.
    """
    if config.how == "router":
        _mask(encoder, config.router, heads)
    elif config.how == "lora":
        _add_low_rank(encoder, config.lora)
    else:
        return
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(is_adapter(name))


def select_masks(encoder: nn.Module, head: str) -> None:
    """Let one head's masks hold in an encoder from now on; nothing where it has none, or one set for all heads.

    Raises:
        ValueError: it has masks, but none of this head.
    """
    for module in encoder.modules():
        if isinstance(module, MaskedLinear):
            module.select(head)


def checkpointed(layer: nn.Module, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function and keep its inputs alone; the backward pass computes it again (Chen et al., 2016).

    What is computed again is under the masks of the time; when the backward pass comes, those of another head may be
    selected.

    Args:
        layer: with all the masks that the function uses.
        function: the layer's own forward pass.
        *args: handed to it, as are the keywords.
    """
    # Compiled, the graph itself says what is computed again, under which masks, and has no place for a context.
    contexts = {} if torch.compiler.is_compiling() else {"context_fn": partial(_contexts, layer)}
    return checkpoint(function, *args, use_reentrant=False, **contexts, **kwargs)


def is_adapter(name: str) -> bool:
    """Return whether a tensor of an encoder, by its name, belongs to an adaptation: scores, or a low-rank factor."""
    return not ADAPTERS.isdisjoint(name.split("."))


def base_name(name: str) -> str:
    """Return the name that a tensor of an adapted encoder has in the one that was adapted."""
    return name.replace(WRAPPED, ".")


def merge_adaptation(encoder: nn.Module) -> None:
    """Turn an adapted encoder into a plain one that computes the same, in place: W ⊙ m, or W + (α / r) B A.

    Raises:
        InputError: it has masks for each head, so that it is as many encoders.
    """
    for name, module in list(encoder.named_modules()):
        if isinstance(module, MaskedLinear):
            if len(module.scores) > 1:
                raise InputError(
                    f"this encoder has a set of masks for each head ({', '.join(module.scores)}), which do not fit "
                    "into one set of weights; expected one set at most: name a run with router.masks shared"
                )
            encoder.set_submodule(name, module.merged())
        elif hasattr(module, "lora_A"):
            module.merge()
            encoder.set_submodule(name, module.get_base_layer().requires_grad_(True))


def _mask(encoder: Encoder, config: RouterConfig, heads: tuple[str, ...]) -> None:
    for name in _layer_names(encoder, config.layers, how="router"):
        encoder.set_submodule(name, MaskedLinear(encoder.get_submodule(name), heads, config))


def _add_low_rank(encoder: Encoder, config: LoRAConfig) -> None:
    """Wrap linear layers by `peft`: W + (α / r) B A, A Kaiming-uniform, B zero (Hu et al., ICLR 2022)."""
    names = _layer_names(encoder, config.layers, how="lora")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise InputError(
            "peft is not installed, which adapting by LoRA needs; expected the extra 'lora': "
            "pip install 'sertool[lora]'"
        ) from error
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        # An expression and not a list, of which peft would also take every name that ends in one of them.
        target_modules="|".join(re.escape(name) for name in names),
    )
    inject_adapter_in_model(settings, encoder)
    for name in names:
        # New modules are in training, and their dropout would be on in an encoder that is being evaluated.
        layer = encoder.get_submodule(name)
        layer.train(layer.get_base_layer().training)


def _layer_names(encoder: Encoder, layers: str, *, how: str) -> list[str]:
    """Return the names of an encoder's linear layers of one kind, or of all kinds."""
    by_kind = {kind: names for kind, names in encoder.linear_layers().items() if names}
    names = [name for kind, names in by_kind.items() if layers in ("all", kind) for name in names]
    if not names:
        expected = " or ".join(by_kind) if by_kind else "another encoder, or adapt full or frozen"
        raise InputError(
            f"{how}.layers is '{layers}', and this encoder has no such layers; expected {expected}: choose that"
        )
    return names


def _contexts(layer: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return what a forward pass and its repetition are to run in."""
    now = {module: module.selected for module in layer.modules() if isinstance(module, MaskedLinear)}
    return contextlib.nullcontext(), _selected(now)


@contextlib.contextmanager
def _selected(masks: dict[MaskedLinear, str]) -> Iterator[None]:
    """Let other masks hold for a while."""
    before = {module: module.selected for module in masks}
    try:
        for module, head in masks.items():
            module.select(head)
        yield
    finally:
        for module, head in before.items():
            module.select(head)
