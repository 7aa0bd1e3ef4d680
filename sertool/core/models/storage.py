"""A model on disk: `config.json` and `model.safetensors`, checked against each other before anything is allocated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sertool.core.errors import InputError, OutputError
from sertool.core.models.config import SharedConfig
from sertool.core.models.config_file import CONFIG_LIMIT_BYTES as CONFIG_LIMIT_BYTES
from sertool.core.models.config_file import CONFIG_NAME as CONFIG_NAME
from sertool.core.models.config_file import is_shared_model as is_shared_model
from sertool.core.models.config_file import read_config as read_config
from sertool.core.models.masked_linear import BITS, SCORES, pack_masks, packed_bytes, unpack_masks
from sertool.core.writing import whole_file, write_text

WEIGHTS_NAME = "model.safetensors"
TYPES = {"F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool, "U8": torch.uint8}
"""Types of the tensors a model has, by their names in safetensors."""

HALF_TYPES = {"F16": torch.float16, "BF16": torch.bfloat16}
"""Types in which float32 weights may be stored; they are float32 again when they are loaded."""


class Storable(Protocol):
    """A model that can be stored: a `SharedModel`."""

    config: SharedConfig

    def own_state(self) -> dict[str, Tensor]:
        """Return the tensors to store, by name."""


def save_model(tensors: Mapping[str, Tensor], config: SharedConfig, folder: Path | str) -> None:
    """Write a model's configuration and its own tensors to a folder, each file whole or not at all.

    Raises:
        OutputError: they cannot be written.
    """
    folder = Path(folder)
    packed = pack_masks(tensors, config.adapt.router.sparsity)
    save_tensors(folder / WEIGHTS_NAME, packed, metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, json.dumps(config.model_dump(mode="json"), indent=2) + "\n")


def save_half(model: Storable, folder: Path | str) -> None:
    """Write a model to a folder as `save_model` does, its weights in half the bytes: as float16.

    Only what has two dimensions or more is rounded (ours): biases, scales, statistics and windows are a hundredth of
    the bytes, and some of them have a range of their own.

    Raises:
        InputError: a weight is too large for float16, whose largest number is 65504.
        OutputError: the files cannot be written.
    """
    tensors = {}
    for name, tensor in model.own_state().items():
        rounds = SCORES not in name and tensor.dtype == torch.float32 and tensor.dim() >= 2
        tensors[name] = tensor.half() if rounds else tensor
        if rounds and not torch.isfinite(tensors[name]).all():
            raise InputError(
                f"weight '{name[:80]}' reaches {tensor.abs().max().item():.3g}; expected at most 65504, the largest "
                "float16: store this model in float32"
            )
    save_model(tensors, model.config, folder)


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


def load_tensors(folder: Path | str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the safetensors file of a folder, masks unpacked.

    Names, shapes and types are compared in the file's header first, so that a wrong file costs no memory. What is
    float32 may be stored in half the bytes (`HALF_TYPES`).

    Args:
        folder: with the file.
        expected: what it must hold, in the types that are returned; the tensors may be on the meta device.

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
            found = {name: (_loaded_type(part.get_dtype()), list(part.get_shape())) for name, part in slices.items()}
        if found != wanted:
            odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            raise InputError(
                f"{path}: does not fit {CONFIG_NAME} ({len(odd)} tensors differ, first '{odd[0][:80]}'): "
                "copy both from one run"
            )
        # Copied: a mapped file is not aligned as torch's own memory is, and the last bits of products depend on that.
        weights = {name: tensor.to(wanted[name][0], copy=True) for name, tensor in load_file(path).items()}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error}): copy the file again") from error
    spoilt = next((name for name, tensor in weights.items() if not torch.isfinite(tensor).all()), None)
    if spoilt is not None:
        raise InputError(
            f"{path}: holds weights that are not numbers, first in '{spoilt}': train it anew with a lower learning rate"
        )
    return unpack_masks(weights, {name: tuple(tensor.shape) for name, tensor in expected.items()})


def _loaded_type(stored: str) -> torch.dtype | None:
    """Return the type a tensor has once it is loaded, by its type's name in safetensors; None for one no model has."""
    return torch.float32 if stored in HALF_TYPES else TYPES.get(stored)


def _stored(name: str, tensor: Tensor) -> tuple[str, tuple[torch.dtype, list[int]]]:
    """Return the name, type and shape a tensor has in the file; scores are stored as the masks they make."""
    if SCORES not in name:
        return name, (tensor.dtype, list(tensor.shape))
    return name.replace(SCORES, BITS), (torch.uint8, [packed_bytes(tensor.numel())])
