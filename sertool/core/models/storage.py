"""A model on disk: `config.json` and `model.safetensors`, checked against each other before anything is allocated."""

import json
import os
from pathlib import Path

import pydantic
import safetensors
from safetensors.torch import load_file, save_file
from torch import nn

from sertool.core.errors import InputError
from sertool.core.models.config import SharedConfig

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CONFIG_LIMIT_BYTES = 1_000_000


def save_model(model: nn.Module, config: SharedConfig, folder: Path | str) -> None:
    """Write a model's configuration and weights to a folder, each under a temporary name, then renamed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / f".{WEIGHTS_NAME}.partial-{os.getpid()}"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.replace(folder / WEIGHTS_NAME)
    partial = folder / f".{CONFIG_NAME}.partial-{os.getpid()}"
    partial.write_text(json.dumps(config.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / CONFIG_NAME)


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
        return SharedConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: is not a sertool model ({where or 'top level'}: {first['msg']}): train it anew"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}): restore the file from its source") from error


def load_weights(model: nn.Module, folder: Path | str) -> nn.Module:
    """Fill a model built on the meta device from the safetensors file in a folder.

    Names, shapes and types are compared in the file's header first, so that a wrong file costs no memory.

    Raises:
        InputError: the file is missing, cut off, or holds other tensors than the model has.
    """
    path = Path(folder) / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: holds no {WEIGHTS_NAME}; expected the weights beside {CONFIG_NAME}: copy the whole folder"
        )
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()
            found = {name: list(file.get_slice(name).get_shape()) for name in names}
        if found != expected:
            odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise InputError(
                f"{path}: does not fit {CONFIG_NAME} ({len(odd)} tensors differ, first '{odd[0]}'): "
                "copy both from one run"
            )
        # Copied: a mapped file is not aligned as torch's own memory is, and the last bits of products depend on that.
        weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error}): copy the file again") from error
    model.load_state_dict(weights, assign=True)
    return model
