"""An exported file says what torch says, of every length and whatever the model is made of."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis.strategies import integers
from ssl_examples import architecture, encoder

from sertool.core.errors import InputError, OutputError
from sertool.core.exporting import onnx_file
from sertool.core.exporting.frozen_model import FrozenModel
from sertool.core.exporting.onnx_file import OnnxModel, write_onnx
from sertool.core.models import onednn
from sertool.core.models.config import (
    AdaptConfig,
    ChunkConfig,
    CompactConfig,
    DualPathConfig,
    EmotionConfig,
    EnhancementConfig,
    LogMelConfig,
    LoRAConfig,
    RouterConfig,
    SharedConfig,
    SSLConfig,
    UtteranceTask,
)
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel

COMPACT = CompactConfig(mels=12, dim=8, layers=2, kernel=3)
BOTH = EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal",), hidden=8)
MASK = EnhancementConfig(projection=8, hidden=8, layers=2)
DUAL_PATH = {"channels": 4, "hidden": 4, "blocks": 1, "decoder": 6}
LENGTHS = (1, 399, 401, 6400, 20_001)


def make(ssl: str | None = None, **parts) -> Recognizer:
    """A recognizer with random weights, no two of one kind alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if ssl:
            parts["encoder"] = SSLConfig(architecture=architecture(ssl), normalise=ssl.endswith("large"))
        model = SharedModel(SharedConfig(**({"encoder": COMPACT} | parts)), encoder(ssl) if ssl else None)
        for name, parameter in model.named_parameters():
            if "scores" not in name and not name.startswith("encoder"):
                parameter.data.add_(0.1 * torch.randn_like(parameter))
    return Recognizer(model, folder=Path("run/model"), device=torch.device("cpu"), model_id="0123456789ab")


def torch_says(recognizer: Recognizer, waveform: torch.Tensor) -> dict[str, np.ndarray]:
    lengths = torch.full((len(waveform),), waveform.shape[1])
    with torch.inference_mode():
        output = recognizer.model(waveform, lengths)
        said = {"probabilities": None if output.category_logits is None else output.category_logits.softmax(1)}
        said["attributes"] = output.attributes
        if recognizer.model.config.enhances:
            said["enhanced"] = recognizer.model.speech_of(output, waveform, lengths).waveform
    return {name: values.numpy() for name, values in said.items() if values is not None}


def assert_same(session: onnxruntime.InferenceSession, recognizer: Recognizer, samples: int, batch: int = 1) -> None:
    waveform = 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))
    wanted = torch_says(recognizer, waveform)
    names = [output.name for output in session.get_outputs()]
    assert sorted(names) == sorted(wanted)
    for name, values in zip(names, session.run(None, {"waveform": waveform.numpy()}), strict=True):
        assert values.shape == wanted[name].shape
        np.testing.assert_allclose(values, wanted[name], rtol=0, atol=1e-5, err_msg=f"{name} of {samples} samples")


def session_of(recognizer: Recognizer) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(onnx_file._converted(FrozenModel(recognizer.model)))


CHUNKS = {"chunks": ChunkConfig(chunk_s=0.2, longest_s=0.6, encoder="lstm", hidden=6), "categories": ("a", "b")}
KINDS = {
    "compact": {"emotion": BOTH, "enhancement": MASK},
    "emotion alone": {"emotion": EmotionConfig(categories=("a", "b"), hidden=4)},
    "attributes alone": {"emotion": EmotionConfig(attributes=("valence", "arousal"), hidden=4)},
    "enhancement alone": {"enhancement": MASK},
    "a layer sum a head": {"emotion": BOTH, "enhancement": MASK, "layer_sum": "per-head"},
    "log-mel": {"encoder": LogMelConfig(mels=12), "emotion": BOTH, "enhancement": MASK},
    "wavlm": {"ssl": "wavlm", "emotion": BOTH, "enhancement": MASK},
    "wavlm-large": {"ssl": "wavlm-large", "emotion": BOTH},
    "hubert": {"ssl": "hubert", "emotion": BOTH},
    "wav2vec2-large": {"ssl": "wav2vec2-large", "emotion": BOTH},
    "data2vec-audio": {"ssl": "data2vec-audio", "emotion": BOTH},
    "masks": {"emotion": BOTH, "adapt": AdaptConfig(how="router", router=RouterConfig(sparsity=0.4))},
    "masks for each head": {
        "emotion": BOTH,
        "enhancement": MASK,
        "layer_sum": "per-head",
        "adapt": AdaptConfig(how="router", router=RouterConfig(sparsity=0.4, masks="per-head")),
    },
    "lora": {"emotion": BOTH, "adapt": AdaptConfig(how="lora", lora=LoRAConfig(rank=2, layers="feed-forward"))},
    "chunk-mean": {"emotion": EmotionConfig(pooling="chunk-mean", **CHUNKS)},
    "chunk-gated": {
        "emotion": EmotionConfig(
            pooling="chunk-gated", **CHUNKS | {"chunks": ChunkConfig(chunk_s=0.2, longest_s=0.6, encoder="cnn")}
        )
    },
    "chunk-recurrent": {
        "emotion": EmotionConfig(
            pooling="chunk-recurrent", **CHUNKS | {"chunks": ChunkConfig(chunk_s=0.2, longest_s=0.6, encoder="mean")}
        )
    },
    "chunk-self-attention": {"emotion": EmotionConfig(pooling="chunk-self-attention", **CHUNKS)},
    "dual-path": {"emotion": BOTH, "enhancement": DualPathConfig(**DUAL_PATH)},
    "dual-path alone": {"enhancement": DualPathConfig(features="none", **DUAL_PATH)},
    "dual-path, causal": {"enhancement": DualPathConfig(features="none", causal=True, **DUAL_PATH)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_torch_says(kind):
    recognizer = make(**KINDS[kind])
    session = session_of(recognizer)
    for samples in LENGTHS:
        assert_same(session, recognizer, samples)
    assert_same(session, recognizer, 6400, batch=3)


def test_large_layers_which_onednn_computes_are_exported_too(monkeypatch):
    monkeypatch.setattr(onednn, "SMALLEST_WEIGHT", 1)
    recognizer = make(**KINDS["hubert"])
    assert any(isinstance(module, onednn.Linear) for module in recognizer.model.modules())
    assert_same(session_of(recognizer), recognizer, 6400)


def test_a_causal_level_follows_beyond_its_memory():
    recognizer = make(**KINDS["dual-path, causal"])
    assert_same(session_of(recognizer), recognizer, 140_000)  # 8.75 s, where the level is taken over 8 s


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(make(**KINDS["compact"]), path, licence="CC BY 4.0")
    return path


@pytest.fixture(scope="module")
def compact(file):
    return onnxruntime.InferenceSession(str(file)), make(**KINDS["compact"])


@settings(max_examples=8)
@given(samples=integers(1, 20_000))
@example(samples=2)
@example(samples=320)
def test_any_length(compact, samples):
    assert_same(*compact, samples)


def test_silence_stays_silence(file):
    outputs = OnnxModel(file).run(np.zeros(5000))
    assert np.abs(outputs["enhanced"]).max() == 0 and np.isfinite(outputs["probabilities"]).all()


def test_the_model_stays_as_it_was():
    recognizer = make(**KINDS["wavlm"])
    waveform = torch.randn(1, 5000, generator=torch.Generator().manual_seed(0))
    before = torch_says(recognizer, waveform)
    FrozenModel(recognizer.model)
    after = torch_says(recognizer, waveform)
    assert all((before[name] == after[name]).all() for name in before)


def test_metadata_says_what_outputs_mean(file):
    found = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(found["categories"]) == ["anger", "neutral", "sadness"]
    assert json.loads(found["attributes"]) == ["arousal"]
    assert (found["sample_rate"], found["model_id"], found["licence"]) == ("16000", "0123456789ab", "CC BY 4.0")
    model = OnnxModel(file)
    assert (model.categories, model.attributes) == (("anger", "neutral", "sadness"), ("arousal",))


def test_a_model_that_does_neither_is_refused(tmp_path):
    task = UtteranceTask(name="energy", classes=("low", "high"), hidden=4)
    with pytest.raises(InputError, match="neither recognises emotion nor enhances"):
        write_onnx(make(pretext=(task,)), tmp_path / "x.onnx")


def test_a_model_too_large_for_one_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"2 GB.*--format hf"):
        write_onnx(make(**KINDS["compact"]), tmp_path / "x.onnx")


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"onnx is not installed.*pip install 'sertool\[export\]'"):
        write_onnx(make(**KINDS["emotion alone"]), tmp_path / "x.onnx")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_onnx(make(**KINDS["emotion alone"]), tmp_path / "file" / "x.onnx")


def test_another_file_is_no_model(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot be read as a model"):
        OnnxModel(tmp_path / "x.onnx")
