"""A shared model as one ONNX file: a waveform of any length in, named outputs, and what they mean in its metadata."""

import importlib
import io
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError
from sertool.core.exporting.frozen_model import ATTRIBUTES, ENHANCED, PROBABILITIES, FrozenModel
from sertool.core.models.recognizer import Recognizer
from sertool.core.writing import whole_file

WAVEFORM = "waveform"
"""What the input is called."""

OPSET = 17
"""The first with LayerNormalization (2022), so that runtimes of recent years read the file."""

LARGEST = 2 * 10**9
"""Bytes that one ONNX file can hold, a limit of its format."""


def write_onnx(recognizer: Recognizer, path: Path | str, *, licence: str | None = None) -> None:
    """Write a model to an ONNX file, whole or not at all.

    Its input is `waveform`, float32, (batch, samples) at 16 kHz: one utterance of any length, or several equally long.
    Its outputs are what the model has of `enhanced` (batch, samples), `probabilities` (batch, categories) and
    `attributes` (batch, attributes); the metadata names the categories and attributes in order, as JSON lists.

    Args:
        recognizer: with the model, on the CPU.
        path: of the file.
        licence: what is known of it, for the metadata.

    Raises:
        InputError: `onnx` is not installed, or the model has a part that cannot be exported, or nothing to export.
        OutputError: the file cannot be written.
    """
    onnx = require("onnx")
    size = sum(tensor.numel() * tensor.element_size() for tensor in recognizer.model.state_dict().values())
    if size > LARGEST:
        raise InputError(
            f"{recognizer.folder}: is a model of {size / 1e9:.1f} GB, and one ONNX file holds 2 GB; expected a smaller "
            "one: export with --format hf"
        )
    frozen = FrozenModel(recognizer.model)
    if not frozen.names:
        raise InputError(
            f"{recognizer.folder}: neither recognises emotion nor enhances speech; expected a model that does: name "
            "a run of `sertool train`"
        )
    proto = onnx.load_from_string(_converted(frozen))
    proto.producer_name, proto.producer_version = "sertool", version("sertool")
    onnx.helper.set_model_props(proto, _metadata(recognizer, licence))
    with whole_file(path) as partial:
        partial.write_bytes(proto.SerializeToString())


def _converted(frozen: FrozenModel) -> bytes:
    axes = {WAVEFORM: {0: "batch", 1: "samples"}, ENHANCED: {0: "batch", 1: "samples"}}
    axes |= {PROBABILITIES: {0: "batch"}, ATTRIBUTES: {0: "batch"}}
    content = io.BytesIO()
    tone = torch.sin(torch.arange(SAMPLE_RATE) * 0.1)[None]
    with warnings.catch_warnings(), torch.no_grad():
        # It warns of what a trace may miss; whether it has is what the check against torch is for. Of torch's two
        # exporters this is the older one: it needs no further package, and keeps an LSTM one operation.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            frozen,
            (tone,),
            content,
            dynamo=False,
            opset_version=OPSET,
            input_names=[WAVEFORM],
            output_names=frozen.names,
            dynamic_axes={name: axes[name] for name in (WAVEFORM, *frozen.names)},
        )
    return content.getvalue()


def _metadata(recognizer: Recognizer, licence: str | None) -> dict[str, str]:
    config = recognizer.model.config
    known = {
        "categories": json.dumps(config.categories, ensure_ascii=False),
        "attributes": json.dumps(config.attributes),
        "attribute_scale": "1 to 7" if config.attributes else "",
        "sample_rate": str(SAMPLE_RATE),
        "model_id": recognizer.model_id,
        "sertool_version": version("sertool"),
        "licence": licence or "",
    }
    return {name: value for name, value in known.items() if value}


class OnnxModel:
    """An ONNX file as `write_onnx` leaves it, ready to compute on the CPU, in one thread.

    Attributes:
        path: the file.
        categories: in the order of the probabilities.
        attributes: in the order of their values.
    """

    def __init__(self, path: Path | str) -> None:
        """Read a file.

        Raises:
            InputError: `onnxruntime` is not installed, or the file cannot be read.
        """
        runtime = require("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised too
        self.path = Path(path)
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.categories = tuple(json.loads(metadata["categories"]))
            self.attributes = tuple(json.loads(metadata["attributes"]))
        except Exception as error:  # its errors share no class
            raise InputError(
                f"{path}: cannot be read as a model that sertool exported; expected an ONNX file of `sertool export`: "
                "export it again"
            ) from error
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name, for samples at 16 kHz (S,): `enhanced` (S,), `probabilities` (C,), …"""
        waveform = np.ascontiguousarray(samples, dtype=np.float32)[None]
        return dict(zip(self._names, (out[0] for out in self._session.run(None, {WAVEFORM: waveform})), strict=True))


def require(package: str) -> Any:
    """Return a package of the extra `export`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"{package} is not installed, which exporting to ONNX needs; expected the extra 'export': "
            "pip install 'sertool[export]'"
        ) from error
