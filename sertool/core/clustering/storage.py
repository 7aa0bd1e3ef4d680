"""A cluster model on disk: `config.json` and `model.safetensors`, and the encoder it hears through by name."""

import json
from pathlib import Path

import torch

from sertool.core.clustering.config import ClusterConfig
from sertool.core.clustering.network import ClusterModel
from sertool.core.errors import InputError
from sertool.core.models.base import load_plain
from sertool.core.models.encoder import Encoder
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME, load_tensors, read_config, save_tensors
from sertool.core.writing import write_text


def save_cluster_model(model: ClusterModel, folder: Path) -> None:
    """Write a model's configuration and tensors to a folder, each file whole or not at all.

    Raises:
        OutputError: they cannot be written.
    """
    save_tensors(folder / WEIGHTS_NAME, model.own_state(), metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, json.dumps(model.config.model_dump(mode="json"), indent=2) + "\n")


def load_cluster_model(folder: Path | str) -> tuple[ClusterModel, Encoder | None]:
    """Return a model in evaluation mode, and the encoder it hears through; None for mel spectra.

    Raises:
        InputError: the folder holds no cluster model, a file is damaged, or the encoder is not there or another one.
    """
    config = read_config(folder, ClusterConfig)
    encoder = read_encoder(config)
    with torch.random.fork_rng(devices=[]):
        model = ClusterModel(config, encoder.dim if encoder else None)
    model.load_own_state(load_tensors(folder, model.own_state()))
    return model.eval(), encoder


def read_encoder(config: ClusterConfig) -> Encoder | None:
    """Return the encoder a model hears through, in evaluation mode; None for mel spectra.

    Raises:
        InputError: it is not where it was, or it is another one by now.
    """
    if config.input.kind == "mel":
        return None
    base = config.input.base
    encoder, digest = load_plain(base.name, base.revision)
    if digest != base.digest:
        raise InputError(
            f"{base.name}: is another encoder than the one this model hears through; expected the digest "
            f"{base.digest[:12]}…: restore it, or cluster again"
        )
    return encoder.eval().requires_grad_(False)
