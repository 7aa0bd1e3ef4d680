"""Resumable state of a training: tensors as safetensors, counters as JSON; whole or not there at all."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from sertool.core.errors import InputError
from sertool.core.models.storage import save_tensors
from sertool.core.training.sharding import sharded_as, whole
from sertool.core.writing import write_text

INDEX_NAME = "state.json"


class Stateful(Protocol):
    """A model, or what else is to be gone on with: tensors by name."""

    def own_state(self) -> dict[str, Tensor]:
        """Return its tensors; what it reads from elsewhere stays there."""

    def load_own_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Put them back; a RuntimeError where they do not fit."""


def save_state(
    folder: Path,
    *,
    model: Stateful,
    optimizer: torch.optim.Optimizer,
    counters: dict[str, Any],
    writes: bool = True,
) -> None:
    """Write weights, optimizer state and counters; those of a sharded model as if it were not.

    The tensors go to new files first; replacing `state.json`, which names them, makes them valid, all at once. The
    files of the state before are removed last. Where the state before is of the same update, its files are replaced by
    equal ones: what an update leads to is the same whenever it is done.

    Args:
        folder: of the state.
        model: its own tensors are stored.
        optimizer: its state.
        counters: as `read_counters` returns them.
        writes: whether this process does; of a sharded model all processes must call this, and one writes.

    Raises:
        OutputError: the state cannot be written; the one before is untouched.
    """
    tensors = whole(model.own_state(), keep=writes), whole(_optimizer_tensors(optimizer), keep=writes)
    if not writes:
        return
    names = {part: f"{part}-{counters['updates']:08d}.safetensors" for part in ("model", "optimizer")}
    for name, part in zip(names.values(), tensors, strict=True):
        save_tensors(folder / name, part)
    write_text(folder / INDEX_NAME, json.dumps({"files": names, "counters": counters}, indent=2) + "\n")
    _remove_all_but(names, folder)


def tidy_state(folder: Path) -> None:
    """Remove tensors of another state than the one that is valid: a process killed while saving leaves them.

    Raises:
        InputError: the state is damaged.
    """
    names = _read_index(folder)["files"] if (folder / INDEX_NAME).is_file() else {}
    _remove_all_but(names, folder)


def read_counters(folder: Path) -> dict[str, Any] | None:
    """Return the counters of the state in a folder; None where there is none yet.

    Returns:
        `updates` and `epochs` done; `sums` of the epoch's losses, by name; `best` score and `best_epoch`, or null.

    Raises:
        InputError: the state is damaged.
    """
    return _read_index(folder)["counters"] if (folder / INDEX_NAME).is_file() else None


def load_state(folder: Path, *, model: Stateful, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer state back, each process of a sharded model its part.

    Raises:
        InputError: the state is damaged or of another model.
    """
    names = _read_index(folder)["files"]
    try:
        own = model.own_state()
        stored = load_file(folder / names["model"])
        model.load_own_state({name: sharded_as(tensor, own.get(name, tensor)) for name, tensor in stored.items()})
        tensors = load_file(folder / names["optimizer"])
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: is damaged ({reason}); expected the state of a run: train anew with --overwrite"
        ) from error
    state = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state["state"] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        known = index.isascii() and index.isdigit() and int(index) < len(parameters)
        fits = known and (not tensor.ndim or tensor.shape == parameters[int(index)].shape)
        if not fits or not torch.isfinite(tensor).all():
            raise InputError(
                f"{folder / names['optimizer']}: is damaged ('{name[:80]}' fits no weight); expected the state of a "
                "run: train anew with --overwrite"
            )
        state["state"].setdefault(int(index), {})[key] = sharded_as(tensor, parameters[int(index)])
    optimizer.load_state_dict(state)


def _read_index(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        counters, files = index["counters"], index["files"]
        whole = [counters["updates"], counters["epochs"], counters["best_epoch"] or 0]
        finite = all(map(math.isfinite, counters["sums"].values())) and isinstance(counters["best"], float | int | None)
        scored = (counters["best_epoch"] is None) == (counters["best"] is None) == (counters["epochs"] == 0)
        if any(type(value) is not int or not 0 <= value < 2**53 for value in whole) or not finite or not scored:
            raise ValueError("its counters are no numbers that can be gone on from")
        if not {"model", "optimizer"} == files.keys() or any(Path(name).name != name for name in files.values()):
            raise ValueError("it does not name its files")
        return {"files": files, "counters": counters}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(
            f"{path}: is damaged ({error}); expected the state of a run: train anew with --overwrite"
        ) from error


def _remove_all_but(names: dict[str, str], folder: Path) -> None:
    # safetensors writes to .tmp and six letters first.
    for pattern in ("*.safetensors", ".tmp??????"):
        for file in folder.glob(pattern):
            if file.name not in names.values():
                file.unlink()


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, entries in state.items() for key, value in entries.items()}
