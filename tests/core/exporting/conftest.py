"""What the tests of exporting share: a tiny model with random weights, in a folder and as an ONNX file."""

from pathlib import Path

import pytest
import torch

from sertool.core.exporting.onnx_file import write_onnx
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.inference import load
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """A model with both heads, read from its folder."""
    config = SharedConfig(
        encoder=CompactConfig(mels=12, dim=8, layers=2, kernel=3),
        emotion=EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal",), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=2),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = SharedModel(config)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    model.save_pretrained(folder)
    return load(folder, "cpu")


@pytest.fixture(scope="session")
def tiny_file(tiny: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an ONNX file."""
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    write_onnx(tiny, path)
    return path
