"""The masks that runs of S³-Router have stored, read at one bit a connection, without any weights."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors
import torch

from sertool.core.errors import InputError
from sertool.core.models.config import SharedConfig
from sertool.core.models.encoder import build_encoder
from sertool.core.models.locate import model_folder
from sertool.core.models.masked_linear import BITS, kept_connections, packed_bytes
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME, read_config

PREFIX = "encoder."
"""What the names of an encoder's tensors begin with in a shared model."""


@dataclass(frozen=True)
class PackedMask:
    """Which connections of one tensor a mask keeps: bits as `pack_masks` lays them out, and the tensor's shape."""

    bits: np.ndarray
    shape: tuple[int, int]

    @property
    def connections(self) -> int:
        """Connections, kept or not."""
        return math.prod(self.shape)

    @property
    def dropped(self) -> int:
        """Connections that are not kept."""
        return self.connections - ones(self.bits)


@dataclass(frozen=True)
class MaskSet:
    """The masks of one run for one head, or for all of them.

    Attributes:
        run: the folder, as it was named.
        head: `emotion`, `enhancement`, or `shared`.
        config: of the run's model.
        masks: by the layer's name in the encoder, first layer to last.
        encoder_bytes: of the encoder's parameters in float32.
        label: what tells the set from others beside it; see `told_apart`.
    """

    run: Path
    head: str
    config: SharedConfig
    masks: dict[str, PackedMask]
    encoder_bytes: int
    label: str = ""

    @property
    def connections(self) -> int:
        """Connections under a mask."""
        return sum(mask.connections for mask in self.masks.values())

    @property
    def dropped(self) -> int:
        """Connections that are dropped."""
        return sum(mask.dropped for mask in self.masks.values())

    @property
    def bytes(self) -> int:
        """Size of the set at one bit a connection."""
        return sum(packed_bytes(mask.connections) for mask in self.masks.values())


def read_masks(run: Path | str) -> list[MaskSet]:
    """Return the mask sets of a run: one, or one for each head. No weights are read.

    Raises:
        InputError: it is no run, its encoder is not adapted by masks, or its files do not fit each other.
    """
    folder = model_folder(run)
    config = read_config(folder)
    if config.adapt.how != "router":
        raise InputError(
            f"{run}: its encoder is adapted by '{config.adapt.how}', which has no masks; expected a run of "
            "`sertool train --adapt router`: name one"
        )
    with torch.device("meta"):
        encoder = build_encoder(config.encoder)
    names = [
        name
        for kind, names in encoder.linear_layers().items()
        if config.adapt.router.layers in ("all", kind)
        for name in names
    ]
    shapes = {name: tuple(encoder.get_submodule(name).weight.shape) for name in sorted(names, key=_layer_number)}
    size = 4 * sum(parameter.numel() for parameter in encoder.parameters())
    stored = _read_bits(folder / WEIGHTS_NAME)
    expected = {f"{PREFIX}{name}{BITS}{head}" for name in shapes for head in config.mask_sets}
    if stored.keys() != expected:
        raise _does_not_fit(folder, f"{len(expected ^ stored.keys())} masks differ")
    return [
        MaskSet(Path(run), head, config, _packed(folder, head, config, shapes, stored), size)
        for head in config.mask_sets
    ]


def told_apart(sets: Sequence[MaskSet]) -> list[MaskSet]:
    """Return mask sets with labels: the run's name, all of its path where two have one name, and the head."""
    names = {found.run: _run_name(found.run) for found in sets}
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    labels = {run: str(run) if name in twice else name for run, name in names.items()}
    return [
        replace(found, label=labels[found.run] + ("" if found.head == "shared" else f"/{found.head}")) for found in sets
    ]


def layer_of(name: str) -> str:
    """Return the number of the layer that a tensor belongs to, the first in its name; the name where it has none."""
    number = re.search(r"\.(\d+)\.", f".{name}.")
    return number[1] if number else name


def ones(bits: np.ndarray) -> int:
    """Return how many bits are 1."""
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def _read_bits(path: Path) -> dict[str, np.ndarray]:
    """Return the packed masks in a safetensors file, by name; other tensors are passed over."""
    if not path.is_file():
        raise InputError(
            f"{path.parent}: holds no {WEIGHTS_NAME}; expected the weights beside {CONFIG_NAME}: copy the whole folder"
        )
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys() if BITS in name}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error}): copy the file again") from error


def _packed(
    folder: Path, head: str, config: SharedConfig, shapes: dict[str, tuple[int, int]], stored: dict[str, np.ndarray]
) -> dict[str, PackedMask]:
    masks = {}
    for name, shape in shapes.items():
        bits = stored[f"{PREFIX}{name}{BITS}{head}"]
        connections = math.prod(shape)
        if bits.dtype != np.uint8 or bits.shape != (packed_bytes(connections),):
            raise _does_not_fit(folder, f"the mask of {name} has {bits.nbytes} bytes for {connections} connections")
        kept, expected = ones(bits), kept_connections(connections, config.adapt.router.sparsity)
        if kept != expected:
            raise _does_not_fit(folder, f"the mask of {name} keeps {kept} connections, not {expected}")
        masks[name] = PackedMask(bits, shape)
    return masks


def _does_not_fit(folder: Path, what: str) -> InputError:
    return InputError(f"{folder / WEIGHTS_NAME}: does not fit {CONFIG_NAME} ({what}): copy both from one run")


def _layer_number(name: str) -> int:
    layer = layer_of(name)
    return int(layer) if layer.isdigit() else -1


def _run_name(run: Path) -> str:
    path = run.resolve()
    return path.parent.name if path.name == "model" else path.name
