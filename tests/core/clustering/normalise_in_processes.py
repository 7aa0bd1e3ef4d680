"""Batch normalisation in two processes, forked from this one, which has loaded everything.

    python normalise_in_processes.py FOLDER

The folder holds what is heard, `heard.safetensors`; each process leaves what became of its rows, `NUMBER.safetensors`.
"""

import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed.nn.functional  # a second's work, before the fork
from safetensors.torch import load_file, save_file
from torch import distributed, nn

from sertool.core.clustering.batch_norm import BatchNorm2d

PROCESSES = 2


def rows_of(rank: int, count: int, first: int) -> slice:
    """Return the rows of a process, of which the first has so many."""
    return slice(0, first) if rank == 0 else slice(first, count)


def normalise(heard: dict[str, torch.Tensor], rank: int) -> dict[str, torch.Tensor]:
    """Return what becomes of this process's rows: outputs, gradients, running statistics."""
    results = {}
    for name, first in (("unequal", 3), ("none", 0), ("far", 3), ("half", 3)):
        layer, rows = BatchNorm2d(3), rows_of(rank, len(heard["maps"]), first)
        load(layer, heard)
        maps = heard["far" if name == "far" else "maps"][rows].clone()
        maps = (maps.bfloat16() if name == "half" else maps).requires_grad_()
        for _ in range(2):
            outputs = layer(maps)
        (outputs * heard["weights"][rows]).sum().backward()
        results |= {f"{name}.outputs": outputs.detach(), f"{name}.maps.grad": maps.grad}
        results |= {f"{name}.{key}.grad": value.grad for key, value in layer.named_parameters()}
        results |= {f"{name}.{key}": value for key, value in layer.named_buffers()}
        if rank == 0:  # alone: in evaluation nobody waits for the others
            results[f"{name}.evaluation"] = layer.eval()(maps).detach()
    net = make_net(BatchNorm2d)
    rows = rows_of(rank, len(heard["deep"]), 1)
    (net(heard["deep"][rows]) * heard["of net"][rows]).sum().backward()
    return results | {f"net.{key}.grad": value.grad for key, value in net.named_parameters()}


def load(layer: nn.BatchNorm2d, heard: dict[str, torch.Tensor]) -> None:
    """Give a layer the weights that are to be normalised with."""
    with torch.no_grad():
        layer.weight.copy_(heard["scale"])
        layer.bias.copy_(heard["shift"])


def make_net(normalise: type[nn.BatchNorm2d]) -> nn.Module:
    """Return three convolutions in double precision, normalised, the same in every process."""
    torch.manual_seed(0)
    layers = [(nn.Conv2d(3, 3, 3, stride=2, padding=1), normalise(3), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(*(layer for three in layers for layer in three)).double()


def _run(folder: Path, rank: int) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=60)
    )
    results = normalise(load_file(folder / "heard.safetensors"), rank)
    save_file({name: tensor.contiguous() for name, tensor in results.items()}, folder / f"{rank}.safetensors")
    distributed.destroy_process_group()


def _fork(folder: Path, rank: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _run(folder, rank)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    children = [_fork(Path(sys.argv[1]), rank) for rank in range(PROCESSES)]
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
