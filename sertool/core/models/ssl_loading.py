"""Self-supervised encoders by name: from the hub, its cache, or a folder; safetensors alone, and no code but ours."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError
from sertool.core.models.config import SSLConfig
from sertool.core.models.ssl import SSLEncoder, model_configuration
from sertool.core.models.ssl_architecture import checked_architecture
from sertool.core.models.ssl_hub import (
    INDEX_NAME,
    PREPROCESSOR_NAME,
    PROCESSOR_NAME,
    commit_of,
    find_ssl,
    first_cause,
    quiet,
)
from sertool.core.models.storage import CONFIG_LIMIT_BYTES, CONFIG_NAME, WEIGHTS_NAME

HEADS = (
    *("adapter", "classifier", "final_proj", "label_embeddings_concat", "layer_weights", "lm_head"),
    *("masked_spec_embed", "objective", "project_hid", "project_q", "projector", "quantizer", "tdnn"),
)
"""First parts of the names of tensors that belong to a head, or to pre-training, and that an encoder does without."""


def load_ssl(name: str, revision: str | None = None) -> SSLEncoder:
    """Return a pre-trained encoder, on the CPU, in float32 and in evaluation mode.

    Args:
        name: a name on the hub, or a folder as `save_pretrained` leaves it.
        revision: a branch, tag or commit on the hub; its main branch without.

    Raises:
        InputError: there is none of this name, it cannot be fetched, or it is not one that can be used.
    """
    folder = find_ssl(name, revision)
    shown = _shown(name, folder)
    config = _read_ssl_config(folder, shown)
    with torch.random.fork_rng(devices=[]):  # transformers draws weights before it reads them
        weights = _read_weights(folder, config, shown)
        with torch.device("meta"):
            encoder = SSLEncoder(config)
    encoder.load_state_dict(weights, assign=True)
    return encoder.eval()


def _read_ssl_config(folder: Path, shown: str) -> SSLConfig:
    """Return what an encoder is built from: its architecture, and how its preprocessor treats waveforms."""
    settings = _read_json(folder / CONFIG_NAME, shown)
    if settings is None:
        raise InputError(
            f"{shown}: holds no {CONFIG_NAME}; expected a model as save_pretrained writes it: name such a folder, or "
            "another model"
        )
    preprocessor = (_read_json(folder / PROCESSOR_NAME, shown) or {}).get("feature_extractor")
    preprocessor = preprocessor or _read_json(folder / PREPROCESSOR_NAME, shown)
    for part in (settings, preprocessor):
        if isinstance(part, dict) and part.get("auto_map"):
            raise InputError(
                f"{shown}: wants code of its own to be run (auto_map), which is never done; expected an encoder that "
                "transformers knows itself: choose another model"
            )
    try:
        architecture = checked_architecture(settings)
    except InputError as error:
        raise InputError(f"{shown}: {error}") from error
    if not isinstance(preprocessor, dict) or not isinstance(preprocessor.get("do_normalize"), bool):
        raise InputError(
            f"{shown}: does not say whether it hears normalised waveforms; expected do_normalize in "
            f"{PREPROCESSOR_NAME}: copy that file from the model it was made from into a folder with the others"
        )
    rate = preprocessor.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise InputError(
            f"{shown}: hears audio at {str(rate)[:20]} Hz; expected {SAMPLE_RATE} Hz: choose another model"
        )
    return SSLConfig(architecture=architecture, normalise=preprocessor["do_normalize"])


def _read_json(path: Path, shown: str) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > CONFIG_LIMIT_BYTES:
            raise ValueError("it is larger than settings can be")
        tree = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(tree, dict):
            raise ValueError("it holds no object")
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(
            f"{shown}: its {path.name} cannot be read ({error}); expected JSON: fetch or copy the file again"
        ) from error
    return tree


def _read_weights(folder: Path, config: SSLConfig, shown: str) -> dict[str, Tensor]:
    """Return an encoder's tensors by the names they have in it."""
    if not (folder / WEIGHTS_NAME).is_file() and not (folder / INDEX_NAME).is_file():
        pickle = next((f" (only {path.name})" for path in folder.glob("pytorch_model*.bin*")), "")
        raise InputError(
            f"{shown}: holds no {WEIGHTS_NAME}{pickle}; expected weights as safetensors, since pickles are never read: "
            "name a revision that has them, such as the hub's own conversion, refs/pr/N under its discussions, or "
            "convert it once with save_pretrained"
        )
    if (folder / "adapter_config.json").is_file():
        raise InputError(
            f"{shown}: holds an adapter of peft beside its weights; expected a model that is whole: merge it "
            "(merge_and_unload, then save_pretrained), and name that folder"
        )
    from transformers import AutoModel

    try:
        with quiet():
            model, found = AutoModel.from_pretrained(
                folder,
                config=model_configuration(config),
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told, and refused below
            )
    # What a damaged file leads to is for the most part RuntimeError, TypeError, KeyError… of whoever reads it.
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(
            f"{shown}: its weights cannot be read ({first_cause(error)}); expected whole safetensors files: fetch or "
            "copy them again"
        ) from error
    _expect_all(found, model.base_model_prefix, shown)
    # Copied: a mapped file is not aligned as torch's own memory is, and the last bits of products depend on that.
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    spoilt = next((name for name, tensor in weights.items() if not torch.isfinite(tensor).all()), None)
    if spoilt is not None:
        raise InputError(
            f"{shown}: holds weights that are not numbers, first in '{spoilt}'; expected numbers: fetch it again, or "
            "choose another model"
        )
    return weights


def _expect_all(found: dict[str, Any], family: str, shown: str) -> None:
    """Raise InputError where transformers would make up weights, or passed over some that are no head's."""
    strange = [name.removeprefix(f"{family}.") for name in found["unexpected_keys"]]
    # The x-vector head has a layer of the name that the front end has.
    heads = {"feature_extractor.weight", "feature_extractor.bias"}
    strange = [name for name in strange if name.partition(".")[0] not in HEADS and name not in heads]
    wrong = {
        "missing": list(found["missing_keys"]),
        "of another shape": [name for name, *_ in found["mismatched_keys"]],
        "unknown": strange,
    }
    for how, names in wrong.items():
        if names:
            raise InputError(
                f"{shown}: its weights do not fit its {CONFIG_NAME} ({len(names)} tensors {how}, first "
                f"'{min(names)[:80]}'); expected exactly those of the encoder: fetch or copy all its files again"
            )


def _shown(name: str, folder: Path) -> str:
    """Return a name for messages, which says so where no more than the cache was looked at."""
    from huggingface_hub import is_offline_mode

    return f"{name} (as far as the cache holds it)" if commit_of(folder) and is_offline_mode() else name
