"""A model on disk: `config.json` and `model.safetensors`, checked against each other before anything is allocated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sertool.core.errors import InputError, OutputError
from sertool.core.models.config import SharedConfig
from sertool.core.models.masked_linear import BITS, SCORES, pack_masks, packed_bytes, unpack_masks
from sertool.core.writing import whole_file, write_text

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CONFIG_LIMIT_BYTES = 1_000_000
FORMATS = {
    "sertool-shared-1": "a shared model, as `sertool train` leaves it",
    "sertool-cluster-1": "a cluster model, as `sertool cluster` leaves it",
}
"""What may stand in a configuration's `format`, in words."""

TYPES = {"F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool, "U8": torch.uint8}
"""Types of the tensors a model has, by their names in safetensors."""


def save_model(tensors: Mapping[str, Tensor], config: SharedConfig, folder: Path | str) -> None:
    """Write a model's configuration and its own tensors to a folder, each file whole or not at all.

    Raises:
        OutputError: they cannot be written.
    """
    folder = Path(folder)
    packed = pack_masks(tensors, config.adapt.router.sparsity)
    save_tensors(folder / WEIGHTS_NAME, packed, metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, json.dumps(config.model_dump(mode="json"), indent=2) + "\n")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, from whichever device, to a safetensors file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as partial:
        # Made here first for its mode: safetensors' own new files are for their owner alone.
        partial.touch()
        mode = partial.stat().st_mode
        try:
            save_file(tensors, partial, metadata=metadata)
        except safetensors.SafetensorError as error:
            reason = str(error).rsplit(": ", 1)[-1]
            raise OutputError(
                f"{path}: cannot be written ({reason}): make room there, then run the same command again"
            ) from error
        partial.chmod(mode)


Config = TypeVar("Config", bound=pydantic.BaseModel)


def read_config(folder: Path | str, kind: type[Config] = SharedConfig) -> Config:
    """Return the configuration of the model in a folder.

    Args:
        folder: of the model.
        kind: what describes such a model; a shared model unless something else is asked for.

    Raises:
        InputError: the folder or its `config.json` is missing, is not JSON, or does not describe such a model.
    """
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: holds no {CONFIG_NAME}; expected a model folder: name a finished run or its model/ folder"
        )
    if path.stat().st_size > CONFIG_LIMIT_BYTES:
        raise InputError(
            f"{path}: is larger than a configuration can be; expected a small JSON file: check where it came from"
        )
    try:
        tree = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
        found, wanted = _format(tree), kind.model_fields["format"].default
        if found in FORMATS and found != wanted:
            raise InputError(f"{folder}: is {FORMATS[found]}; expected {FORMATS[wanted]}: name another run")
        return kind.model_validate(tree)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: is not a sertool model ({where or 'top level'}: {first['msg']}): train it anew"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}): restore the file from its source") from error


def _format(tree: Any) -> str:
    return str(tree.get("format", "")) if isinstance(tree, dict) else ""


def is_shared_model(folder: Path | str) -> bool:
    """Return whether a folder holds a model of this kind: its `config.json` says so, be the rest of it as it may."""
    path = Path(folder) / CONFIG_NAME
    if not path.is_file() or path.stat().st_size > CONFIG_LIMIT_BYTES:
        return False
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return _format(tree).startswith("sertool-")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, no key of which was written twice: of two sizes nobody could tell which was meant."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise ValueError("a key stands there twice")
    return tree


def load_tensors(folder: Path | str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the safetensors file of a folder, masks unpacked.

    Names, shapes and types are compared in the file's header first, so that a wrong file costs no memory.

    Args:
        folder: with the file.
        expected: what it must hold; the tensors may be on the meta device.

    Raises:
        InputError: the file is missing, cut off, or holds other tensors than expected, or some that are not numbers.
    """
    path = Path(folder) / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: holds no {WEIGHTS_NAME}; expected the weights beside {CONFIG_NAME}: copy the whole folder"
        )
    wanted = dict(_stored(name, tensor) for name, tensor in expected.items())
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            found = {name: (TYPES.get(part.get_dtype()), list(part.get_shape())) for name, part in slices.items()}
        if found != wanted:
            odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            raise InputError(
                f"{path}: does not fit {CONFIG_NAME} ({len(odd)} tensors differ, first '{odd[0][:80]}'): "
                "copy both from one run"
            )
        # Copied: a mapped file is not aligned as torch's own memory is, and the last bits of products depend on that.
        weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error}): copy the file again") from error
    spoilt = next((name for name, tensor in weights.items() if not torch.isfinite(tensor).all()), None)
    if spoilt is not None:
        raise InputError(
            f"{path}: holds weights that are not numbers, first in '{spoilt}': train it anew with a lower learning rate"
        )
    return unpack_masks(weights, {name: tuple(tensor.shape) for name, tensor in expected.items()})


def _stored(name: str, tensor: Tensor) -> tuple[str, tuple[torch.dtype, list[int]]]:
    """Return the name, type and shape a tensor has in the file; scores are stored as the masks they make."""
    if SCORES not in name:
        return name, (tensor.dtype, list(tensor.shape))
    return name.replace(SCORES, BITS), (torch.uint8, [packed_bytes(tensor.numel())])
