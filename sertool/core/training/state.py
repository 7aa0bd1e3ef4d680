"""Resumable state of a training: tensors as safetensors, counters as JSON; whole or not there at all."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sertool.core.errors import InputError

INDEX_NAME = "state.json"


def save_state(folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, counters: dict[str, Any]) -> None:
    """Write weights, optimizer state and counters.

    The tensors go to new files first; replacing `state.json`, which names them, makes them valid, all at once. The
    files of the state before are removed last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {part: f"{part}-{counters['updates']:08d}.safetensors" for part in ("model", "optimizer")}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / names["model"])
    save_file(_optimizer_tensors(optimizer), folder / names["optimizer"])
    partial = folder / f".{INDEX_NAME}.partial-{os.getpid()}"
    partial.write_text(json.dumps({"files": names, "counters": counters}, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / INDEX_NAME)
    for file in folder.glob("*.safetensors"):
        if file.name not in names.values():
            file.unlink()


def read_counters(folder: Path) -> dict[str, Any] | None:
    """Return the counters of the state in a folder; None where there is none yet.

    Raises:
        InputError: the state is damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))["counters"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is damaged ({error}); expected the state of a run: train anew with --overwrite"
        ) from error


def load_state(folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer state back.

    Raises:
        InputError: the state is damaged or of another model.
    """
    names = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))["files"]
    try:
        model.load_state_dict(load_file(folder / names["model"]))
        tensors = load_file(folder / names["optimizer"])
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: is damaged ({reason}); expected the state of a run: train anew with --overwrite"
        ) from error
    state = optimizer.state_dict()
    state["state"] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", maxsplit=1)
        state["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(state)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value.detach().cpu().contiguous()
        for index, entries in state.items()
        for key, value in entries.items()
    }
