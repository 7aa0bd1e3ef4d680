"""The encoder a model is adapted from: found by name, checked by its digest, and not stored a second time."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sertool.core.errors import InputError
from sertool.core.models.adaptation import merge_adaptation
from sertool.core.models.config import BaseConfig
from sertool.core.models.encoder import Encoder
from sertool.core.models.locate import model_folder
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import CONFIG_NAME, is_shared_model


def is_trained_here(name: str) -> bool:
    """Return whether a name is that of a run, or of a model folder of ours, rather than of a `transformers` model.

    Raises:
        InputError: it is a path to nothing.
    """
    path = Path(name)
    if path.is_dir():
        return (path / "run.json").is_file() or (path / "model" / CONFIG_NAME).is_file() or is_shared_model(path)
    # `runs/first` could be a name on the hub too; where there is a folder `runs`, it was meant to be in there.
    in_a_folder = path.parent != Path() and path.parent.is_dir()
    if path.exists() or path.is_absolute() or name.startswith(".") or in_a_folder:
        found = "is a file" if path.exists() else "no such run folder"
        raise InputError(f"{name}: {found}; expected a run, a model's folder, or a name on the hub: check the spelling")
    return False


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of an encoder's tensors: their names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def encoder_digest(model: SharedModel) -> str:
    """Return what tells a run's encoder from others: its own tensors, what it was adapted from, and how.

    Not of the merged weights: their last bits depend on the processor that multiplies them.
    """
    config = model.config
    own = {name: tensor for name, tensor in model.own_state().items() if name.startswith("encoder.")}
    own = {name.removeprefix("encoder."): tensor for name, tensor in own.items()}
    if config.base is None:
        return digest_of(own)
    if config.adapt.how == "frozen":
        return config.base.digest
    parts = [config.base.digest, digest_of(own), config.adapt.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_base(base: BaseConfig) -> dict[str, Tensor]:
    """Return the tensors of the encoder a model was adapted from.

    Raises:
        InputError: it is not where it was, or it is another one by now.
    """
    try:
        encoder, digest = load_plain(base.name, base.revision)
    except InputError as error:
        raise InputError(
            f"the encoder this model was adapted from cannot be read: {error} (its name stands in the model's "
            f"{CONFIG_NAME} under 'base', where it may be changed)"
        ) from error
    if digest != base.digest:
        raise InputError(
            f"{base.name}: is another encoder than the one this model was adapted from; expected the digest "
            f"{base.digest[:12]}…: restore it, or train again"
        )
    return encoder.state_dict()


def load_plain(name: str, revision: str | None = None) -> tuple[Encoder, str]:
    """Return the encoder of a run, its adaptation merged into its weights, or one of `transformers`; and its digest.

    Raises:
        InputError: there is none of this name, or it cannot be used.
    """
    if is_trained_here(name):
        model = SharedModel.from_pretrained(model_folder(name))
        digest = encoder_digest(model)
        merge_adaptation(model.encoder)
        return model.encoder, digest
    # Imported here, so that a compact model does not wait for transformers to be imported.
    from sertool.core.models.ssl_loading import load_ssl

    encoder = load_ssl(name, revision)
    return encoder, digest_of(encoder.state_dict())


def commit(name: str, revision: str | None) -> str | None:
    """Return which commit of a model on the hub a revision means now, so that it is found again; None of a folder."""
    from sertool.core.models.ssl_hub import commit_of, find_ssl

    return commit_of(find_ssl(name, revision))
