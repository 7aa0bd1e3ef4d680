"""A shared model as a folder of the Hugging Face kind, which sertool itself reads as well.

`model.safetensors` is the one of the run; `config.json` has what sertool needs under `sertool`, beside what
`transformers` looks for. Its code is three lines that import sertool's own class.
"""

import json
import shutil
from pathlib import Path

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError
from sertool.core.models.adaptation import merge_adaptation
from sertool.core.models.config import AdaptConfig, SharedConfig
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME, save_tensors
from sertool.core.writing import whole_file, write_text

PREPROCESSOR_NAME = "preprocessor_config.json"
CODE_NAME = "modeling_sertool.py"
CARD_NAME = "README.md"

FILES = (CONFIG_NAME, WEIGHTS_NAME, PREPROCESSOR_NAME, CODE_NAME, CARD_NAME)
"""What an exported folder holds."""

CODE = '''"""What transformers needs to load this model; sertool has the rest (pip install sertool)."""

from sertool.core.exporting.hf_model import SertoolConfig, SertoolModel

__all__ = ["SertoolConfig", "SertoolModel"]
'''

PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": SAMPLE_RATE,
    "padding_value": 0.0,
    "do_normalize": False,
    "return_attention_mask": True,
}
"""Samples as they are: the model standardises them itself."""


def write_folder(recognizer: Recognizer, folder: Path | str, card: str) -> list[Path]:
    """Write a model to a folder, each file whole or not at all.

    Args:
        recognizer: with the model, and the folder it was read from.
        folder: made where it is missing.
        card: the text of its README.md.

    Returns:
        The files.

    Raises:
        InputError: the model has masks for each head, which fit no single set of weights.
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    write_model(recognizer.model, folder, weights=recognizer.folder / WEIGHTS_NAME)
    write_text(folder / CARD_NAME, card)
    return [folder / name for name in FILES]


def write_model(model: SharedModel, folder: Path | str, *, weights: Path | None = None) -> None:
    """Write a model to a folder with all it takes to load it; its card is left as it is.

    Args:
        model: the model.
        folder: made where it is missing.
        weights: the file its weights were read from, copied as it is where it holds all of them: then the model keeps
            its id.

    Raises:
        InputError: as `write_folder`.
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    config, whole = model.config, model
    if config.adapt.how == "router":
        whole = _without_masks(model)
        config = whole.config
    as_stored = weights is not None and whole is model and config.base is None
    config = config.model_copy(update={"base": None})
    if as_stored:
        if weights.resolve() != (folder / WEIGHTS_NAME).resolve():
            with whole_file(folder / WEIGHTS_NAME) as partial:
                shutil.copyfile(weights, partial)
    else:
        save_tensors(folder / WEIGHTS_NAME, whole.state_dict(), metadata={"format": "pt"})
    write_text(folder / CONFIG_NAME, json.dumps(hf_config(config), indent=2, ensure_ascii=False) + "\n")
    write_text(folder / PREPROCESSOR_NAME, json.dumps(PREPROCESSOR, indent=2) + "\n")
    write_text(folder / CODE_NAME, CODE)


def hf_config(config: SharedConfig) -> dict:
    """Return the `config.json` of a model, as `transformers` reads it."""
    module = Path(CODE_NAME).stem
    classes = {"AutoConfig": f"{module}.SertoolConfig", "AutoModel": f"{module}.SertoolModel"}
    labels = {}
    if config.categories:
        classes["AutoModelForAudioClassification"] = f"{module}.SertoolModel"
        labels["id2label"] = {str(i): name for i, name in enumerate(config.categories)}
        labels["label2id"] = {name: i for i, name in enumerate(config.categories)}
    return {
        "model_type": "sertool",
        "architectures": ["SertoolModel"],
        "auto_map": classes,
        "dtype": "float32",
        "sampling_rate": SAMPLE_RATE,
        **labels,
        "sertool": config.model_dump(mode="json"),
    }


def _without_masks(model: SharedModel) -> SharedModel:
    """Return a model whose connections are dropped for good: `transformers` knows of no masks."""
    import copy

    if len(model.config.mask_sets) > 1:
        raise InputError(
            f"this model has a set of masks for each head ({', '.join(model.config.mask_sets)}), which one file of "
            "weights cannot hold for transformers; expected one set at most: export with --format onnx"
        )
    plain = copy.deepcopy(model)
    merge_adaptation(plain.encoder)
    plain.config = model.config.model_copy(update={"adapt": AdaptConfig()})
    return plain
