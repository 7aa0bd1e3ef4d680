"""Trained models read from a run and put to use in one call."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sertool.core.errors import InputError
from sertool.core.models import inference, locate
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


def test_without_a_rate_samples_say_nothing(folder):
    import sertool

    recognizer = load(folder, "cpu")
    methods = (recognizer.predict, recognizer.enhance, recognizer.embed, recognizer.predict_windows)
    for call in (partial(sertool.predict, model=folder), partial(sertool.enhance, model=folder), *methods):
        with pytest.raises(InputError, match="the rate of the samples was not given"):
            call(noise(8000))
    with pytest.raises(InputError, match="utterance 0: the rate of the samples was not given"):
        recognizer.predict_many([noise(8000)])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_a_tensor_in_gives_a_tensor_out(folder, dtype):
    import sertool

    recognizer = load(folder, "cpu")
    tensor = torch.from_numpy(noise(4000, 2)).to(dtype)
    array = tensor.float().numpy()
    expected = recognizer.enhance(array, 22_050)
    by_call, rate = sertool.enhance(tensor, 22_050, model=folder, device="cpu")
    for found in (recognizer.enhance(tensor, 22_050), by_call):
        assert found.dtype == dtype and found.shape == (4000, 2)
        torch.testing.assert_close(found, torch.from_numpy(expected).to(dtype), atol=0, rtol=0)
    assert rate == 22_050 and isinstance(expected, np.ndarray)
    assert recognizer.predict(tensor, 22_050) == recognizer.predict(array, 22_050)
    features = recognizer.embed(tensor, 22_050)
    torch.testing.assert_close(features, torch.from_numpy(recognizer.embed(array, 22_050)).to(dtype), atol=0, rtol=0)
    assert list(recognizer.predict_windows(tensor, 22_050)) == list(recognizer.predict_windows(array, 22_050))


def test_the_methods_take_a_files_name(folder, tmp_path):
    recognizer = load(folder, "cpu")
    soundfile.write(tmp_path / "a.wav", noise(8000, 2), 44_100, subtype="FLOAT")
    np.testing.assert_array_equal(
        recognizer.enhance(str(tmp_path / "a.wav")), recognizer.enhance(noise(8000, 2), 44_100)
    )
    assert recognizer.predict(tmp_path / "a.wav") == recognizer.predict(noise(8000, 2), 44_100)


def test_samples_in_another_shape_than_ours_are_refused_by_every_method(folder):
    recognizer = load(folder, "cpu")
    calls = (recognizer.predict, recognizer.enhance, recognizer.embed, recognizer.predict_windows)
    for samples, words in ((torch.zeros(1, 8000), "transpose"), (np.zeros(100, np.int16), "divide them by 32768")):
        for call in calls:
            with pytest.raises(InputError, match=words):
                call(samples, 16_000)


def test_the_shipped_model_is_loaded_by_name_and_where_there_is_no_run(folder, tmp_path, monkeypatch):
    import sertool

    monkeypatch.setattr(locate, "SHIPPED", tmp_path / "package")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(InputError, match="no model ships with this version yet"):
        load()
    shutil.copytree(folder / "model", tmp_path / "package")
    assert load().model_id == load("shipped").model_id == load(folder).model_id
    samples = noise(3000)
    np.testing.assert_array_equal(sertool.enhance(samples, 16_000)[0], load(folder).enhance(samples, 16_000))


def test_many_threads_get_what_one_would(folder):
    """Every kind of call at once on one model: each thread's results are those of a call alone."""
    recognizer = load(folder, "cpu")
    signals = [noise(2000 + 700 * index, 1 + index % 2) for index in range(4)]

    def work(samples):
        return (
            recognizer.enhance(samples, 16_000),
            recognizer.predict(samples, 16_000),
            recognizer.embed(samples, 16_000),
            recognizer.predict_many([samples, samples[:1500]], 16_000),
        )

    alone = [work(samples) for samples in signals]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, [*signals, *signals]))
    for found, expected in zip(together, [*alone, *alone], strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[2], expected[2])
        assert (found[1], found[3]) == (expected[1], expected[3])


def test_the_working_check_works_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    inference.check_model("cpu")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.gpu
def test_cuda_and_cpu_agree(folder):
    samples = noise(20_000)
    on_cpu, on_cuda = load(folder, "cpu"), load(folder, "cuda")
    np.testing.assert_allclose(on_cuda.enhance(samples, 16_000), on_cpu.enhance(samples, 16_000), atol=1e-3)
    cpu, cuda = (list(r.predict(samples, 16_000).probabilities.values()) for r in (on_cpu, on_cuda))
    np.testing.assert_allclose(cuda, cpu, atol=1e-3)
