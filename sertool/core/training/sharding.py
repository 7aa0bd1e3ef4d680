"""Fully sharded data parallel (FSDP): weights, gradients and optimizer state spread over processes (Zhao et al., 2023).

torch's own `fully_shard` is called here, not through accelerate: that finds an optimizer's weights again by their
address in memory, which weights too small to have a part in every process have in common; so from a second stage on
it could train the wrong ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from sertool.core.training.layers import layers_of


def shard(model: nn.Module, device: torch.device) -> None:
    """Spread a shared model's weights over all processes, in place; every process calls this with equal weights.

    Each layer of the encoder is a unit, whole only while it is at work; the rest of the model is one more. Names, and
    what may be frozen, stay as they are.

    Args:
        model: the same in all processes, on its device.
        device: this process's.
    """
    # Here, not above: they take half a second to import, which who does not shard need not wait for.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    _show_outputs()
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for layer in layers_of(model.encoder):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    # The last unit too, which otherwise stays whole behind a forward pass: what comes next may be no backward pass, but
    # a stage that begins, and takes its weights as it finds them.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def whole(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Return tensors as they would be in one process; where any is sharded, all processes must call this.

    Args:
        tensors: by name, sharded or not.
        keep: whether this process wants them; the others take part and get nothing.
    """
    kept = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor().cpu() if _is_sharded(tensor) else tensor
        if keep:
            kept[name] = full
    return kept


def sharded_as(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this process's part of a whole tensor, where the one it is for is sharded; else the tensor itself."""
    if not _is_sharded(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    # Every process has read the same file, so nobody needs to send its parts to the others.
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def unsynchronised(model: nn.Module) -> Iterator[None]:
    """Let backward passes of a sharded model keep their gradients until one behind this block adds them all up."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def _is_sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


@cache
def _show_outputs() -> None:
    """Let torch see the tensors in what modules return: gradients are added up once the backward pass has reached them.

    It looks into tuples and dicts, and into dataclasses only if told.
    """
    from sertool.core.audio.spectra import Statistics
    from sertool.core.models.encoder import EncoderOutput
    from sertool.core.models.output import SharedOutput

    for kind in (Statistics, EncoderOutput, SharedOutput):
        _pytree.register_dataclass(kind)
