"""Trained models read from a run and put to use in one call."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sertool.core.errors import InputError
from sertool.core.models import inference
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.inference import load
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel

ENCODER = CompactConfig(mels=16, dim=16, layers=1, kernel=3)
EMOTION = EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal", "valence"), hidden=8)
ENHANCEMENT = EnhancementConfig(projection=8, hidden=8, layers=1)


def tiny() -> SharedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedModel(SharedConfig(encoder=ENCODER, emotion=EMOTION, enhancement=ENHANCEMENT))


@pytest.fixture
def folder(tmp_path) -> Path:
    tiny().save_pretrained(tmp_path / "run" / "model")
    return tmp_path / "run"


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(len(shape)).standard_normal(shape)).astype(np.float32)


def test_load_reads_a_run_or_its_model_folder(folder):
    by_run, by_model = load(folder, "cpu"), load(str(folder / "model"), "cpu")
    digest = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert by_run.model_id == by_model.model_id == digest[:12]
    samples = noise(5000)
    fresh = Recognizer(tiny(), folder=Path("tiny"), device=torch.device("cpu"), model_id="0")
    expected = fresh.enhance(samples, 16_000)
    np.testing.assert_array_equal(by_run.enhance(samples, 16_000), expected)


def test_weights_cut_off(folder):
    weights = folder / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="safetensors"):
        load(folder)


def test_the_public_functions_take_files_and_samples(folder, tmp_path):
    import sertool

    samples = noise(8000, 2)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    enhanced, rate = sertool.enhance(tmp_path / "a.wav", model=folder, device="cpu")
    same, _ = sertool.enhance(samples, 44_100, model=folder, device="cpu")
    assert rate == 44_100
    np.testing.assert_array_equal(enhanced, same)
    assert sertool.predict(tmp_path / "a.wav", model=folder) == sertool.predict(samples, 44_100, model=folder)


def test_the_working_check_works_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    inference.check_model("cpu")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.gpu
def test_cuda_and_cpu_agree(folder):
    samples = noise(20_000)
    on_cpu, on_cuda = load(folder, "cpu"), load(folder, "cuda")
    np.testing.assert_allclose(on_cuda.enhance(samples, 16_000), on_cpu.enhance(samples, 16_000), atol=1e-3)
    cpu, cuda = (list(r.predict(samples).probabilities.values()) for r in (on_cpu, on_cuda))
    np.testing.assert_allclose(cuda, cpu, atol=1e-3)
