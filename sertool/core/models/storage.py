"""A model on disk: `config.json` and `model.safetensors`, checked against each other before anything is allocated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sertool.core.errors import InputError, OutputError
from sertool.core.models.config import SharedConfig
from sertool.core.writing import whole_file, write_text

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CONFIG_LIMIT_BYTES = 1_000_000
TYPES = {"F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool}
"""Types of the tensors a model has, by their names in safetensors."""


def save_model(model: nn.Module, config: SharedConfig, folder: Path | str) -> None:
    """Write a model's configuration and weights to a folder, each whole or not at all.

    Raises:
        OutputError: they cannot be written.
    """
    folder = Path(folder)
    save_tensors(folder / WEIGHTS_NAME, model.state_dict(), metadata={"format": "pt"})
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


def read_config(folder: Path | str) -> SharedConfig:
    """Return the configuration of the model in a folder.

    Raises:
        InputError: the folder or its `config.json` is missing, is not JSON, or does not describe a shared model.
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
        return SharedConfig.model_validate(tree)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: is not a sertool model ({where or 'top level'}: {first['msg']}): train it anew"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}): restore the file from its source") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, no key of which was written twice: of two sizes nobody could tell which was meant."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise ValueError("a key stands there twice")
    return tree


def load_weights(model: nn.Module, folder: Path | str) -> nn.Module:
    """Fill a model built on the meta device from the safetensors file in a folder.

    Names, shapes and types are compared in the file's header first, so that a wrong file costs no memory.

    Raises:
        InputError: the file is missing, cut off, or holds other tensors than the model has, or some that are not
            numbers.
    """
    path = Path(folder) / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: holds no {WEIGHTS_NAME}; expected the weights beside {CONFIG_NAME}: copy the whole folder"
        )
    expected = {name: (tensor.dtype, list(tensor.shape)) for name, tensor in model.state_dict().items()}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            found = {name: (TYPES.get(part.get_dtype()), list(part.get_shape())) for name, part in slices.items()}
        if found != expected:
            odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
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
    model.load_state_dict(weights, assign=True)
    return model
