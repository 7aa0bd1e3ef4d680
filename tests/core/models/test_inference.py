"""A trained model put to use: same rate, shape and level; silence stays silence; blocks leave no seam."""

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.errors import InputError
from sertool.core.models import inference
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.inference import Recognizer, in_blocks, load
from sertool.core.models.shared import SharedModel

ENCODER = CompactConfig(mels=16, dim=16, layers=1, kernel=3)
EMOTION = EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal", "valence"), hidden=8)
ENHANCEMENT = EnhancementConfig(projection=8, hidden=8, layers=1)


def tiny(**heads) -> SharedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedModel(SharedConfig(encoder=ENCODER, **heads))


def recognizer_of(model) -> Recognizer:
    return Recognizer(model, folder=Path("tiny"), device=torch.device("cpu"), model_id="0")


class Through(torch.nn.Module):
    """A model whose enhancement changes nothing."""

    config = SharedConfig(enhancement=ENHANCEMENT)

    def enhance(self, waveform, lengths):
        assert waveform.shape == (1, int(lengths[0]))
        return waveform


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return recognizer_of(tiny(emotion=EMOTION, enhancement=ENHANCEMENT))


@pytest.fixture
def folder(tmp_path) -> Path:
    tiny(emotion=EMOTION, enhancement=ENHANCEMENT).save_pretrained(tmp_path / "run" / "model")
    return tmp_path / "run"


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(len(shape)).standard_normal(shape)).astype(np.float32)


def test_a_prediction_is_what_the_model_says(recognizer):
    samples = noise(8000)
    with torch.no_grad():
        output = recognizer.model(torch.from_numpy(samples)[None], torch.tensor([8000]))
    expected = torch.softmax(output.category_logits[0], 0)
    heard = recognizer.predict(samples)
    assert list(heard.probabilities) == list(EMOTION.categories)
    np.testing.assert_allclose(list(heard.probabilities.values()), expected, rtol=1e-5)
    assert heard.label == EMOTION.categories[int(expected.argmax())]
    np.testing.assert_allclose(list(heard.attributes.values()), output.attributes[0], rtol=1e-5)
    assert sum(heard.probabilities.values()) == pytest.approx(1)


def test_dropout_is_off(recognizer):
    assert not any(module.training for module in recognizer.model.modules())
    assert recognizer.predict(noise(4000)) == recognizer.predict(noise(4000))


@pytest.mark.parametrize("length", [1, 2, 159, 400, 8001])
def test_any_length_has_an_emotion_and_an_enhancement(recognizer, length):
    assert np.isfinite(list(recognizer.predict(noise(length)).probabilities.values())).all()
    assert recognizer.enhance(noise(length), 16_000).shape == (length,)


def test_another_rate_and_more_channels_are_brought_to_what_the_model_hears(recognizer):
    samples = noise(9600, 2)
    heard = recognizer.predict(soxr.resample(samples.mean(axis=1), 48_000, 16_000, quality="HQ"))
    assert recognizer.predict(samples, 48_000) == heard


def test_a_model_for_attributes_alone_has_no_label():
    model = tiny(emotion=EmotionConfig(attributes=("arousal",), hidden=8))
    heard = recognizer_of(model).predict(noise(4000))
    assert (heard.label, heard.probabilities, list(heard.attributes)) == (None, {}, ["arousal"])


def test_models_without_a_head_say_so():
    with pytest.raises(InputError, match="not trained to enhance"):
        recognizer_of(tiny(emotion=EMOTION)).enhance(noise(100), 16_000)
    with pytest.raises(InputError, match="not trained for emotion"):
        recognizer_of(tiny(enhancement=ENHANCEMENT)).predict(noise(100))


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 44_100, 192_000]),
    length=st.integers(1, 30_000),
    channels=st.sampled_from([None, 1, 6]),
)
def test_the_output_has_the_inputs_shape(rate, length, channels):
    samples = noise(length) if channels is None else noise(length, channels)
    enhanced = recognizer_of(Through()).enhance(samples, rate)
    assert enhanced.shape == samples.shape and enhanced.dtype == np.float32
    assert np.isfinite(enhanced).all()


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000, 192_000])
def test_a_model_that_changes_nothing_gives_speech_back(rate):
    time = np.arange(2 * rate) / rate
    tones = np.stack([0.3 * np.sin(2 * np.pi * f * time) for f in (220, 3000)], axis=1).astype(np.float32)
    enhanced = recognizer_of(Through()).enhance(tones, rate)
    edge = rate // 50  # a resampler's filter reaches over the ends
    np.testing.assert_allclose(enhanced[edge:-edge], tones[edge:-edge], atol=2e-3)


def test_nothing_above_8_khz_comes_back():
    time = np.arange(48_000) / 48_000
    tone = (0.3 * np.sin(2 * np.pi * 12_000 * time)).astype(np.float32)
    enhanced = recognizer_of(Through()).enhance(tone, 48_000)
    assert np.abs(enhanced[1000:-1000]).max() < 1e-3


def test_channels_do_not_feel_each_other(recognizer):
    both = noise(6000, 2)
    alone = recognizer.enhance(both[:, 1], 16_000)
    np.testing.assert_array_equal(recognizer.enhance(both, 16_000)[:, 1], alone)


def test_silence_stays_silence(recognizer):
    samples = np.zeros((16_000, 2), np.float32)
    np.testing.assert_array_equal(recognizer.enhance(samples, 8000), samples)
    one_silent = noise(6000, 2)
    one_silent[:, 0] = 0
    assert not recognizer.enhance(one_silent, 16_000)[:, 0].any()


@pytest.mark.parametrize("gain", [1e-3, 10.0])
def test_the_level_is_kept(recognizer, gain):
    samples = noise(8000)
    enhanced = recognizer.enhance(samples, 16_000)
    np.testing.assert_allclose(recognizer.enhance(gain * samples, 16_000), gain * enhanced, rtol=0.05, atol=1e-3 * gain)


def test_dry_mixes_the_original_back(recognizer):
    samples = noise(6000, 2)
    wet = recognizer.enhance(samples, 44_100)
    np.testing.assert_array_equal(recognizer.enhance(samples, 44_100, dry=1.0), samples)
    np.testing.assert_allclose(recognizer.enhance(samples, 44_100, dry=0.25), 0.75 * wet + 0.25 * samples, atol=1e-7)


@pytest.mark.parametrize("dry", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range(recognizer, dry):
    with pytest.raises(InputError, match="dry share"):
        recognizer.enhance(noise(100), 16_000, dry=dry)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((0, 2)), np.zeros((2, 2, 2)), np.array([0.0, np.nan])])
def test_samples_that_cannot_be_used(recognizer, samples):
    with pytest.raises(InputError, match="samples"):
        recognizer.enhance(samples, 16_000)
    with pytest.raises(InputError, match="samples"):
        recognizer.predict(samples)


@settings(deadline=None)
@given(length=st.integers(1, 500), block=st.integers(2, 60), data=st.data())
def test_blocks_leave_no_seam(length, block, data):
    overlap = data.draw(st.integers(0, block - 1))
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    longest = []

    def keep(part):
        longest.append(len(part))
        return part

    np.testing.assert_allclose(in_blocks(samples, keep, block=block, overlap=overlap), samples, rtol=1e-6, atol=1e-6)
    assert max(longest) <= block


def test_one_block_fades_into_the_next():
    levels = iter([1.0, 3.0])
    out = in_blocks(np.zeros(150, np.float32), lambda part: part + next(levels), block=100, overlap=50)
    assert (out[:50] == 1).all() and (out[100:] == 3).all()
    np.testing.assert_allclose(np.diff(out[50:100]), 2 / 50, rtol=1e-4)  # linear


def test_long_audio_is_heard_in_blocks(monkeypatch):
    monkeypatch.setattr(inference, "BLOCK_S", 0.5)
    monkeypatch.setattr(inference, "OVERLAP_S", 0.1)
    model = Through()
    lengths = []
    model.enhance = lambda waveform, n: lengths.append(int(n[0])) or waveform
    samples = noise(40_000)
    np.testing.assert_allclose(recognizer_of(model).enhance(samples, 16_000), samples, atol=1e-6)
    assert lengths == [8000] * 6


def test_threads_take_turns(recognizer):
    inputs = [noise(3000 + 500 * index) for index in range(6)]
    expected = [recognizer.predict(samples) for samples in inputs]
    heard = [None] * len(inputs)

    def work(index):
        heard[index] = recognizer.predict(inputs[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == expected


def test_load_reads_a_run_or_its_model_folder(folder):
    by_run, by_model = load(folder, "cpu"), load(str(folder / "model"), "cpu")
    digest = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert by_run.model_id == by_model.model_id == digest[:12]
    samples = noise(5000)
    expected = recognizer_of(tiny(emotion=EMOTION, enhancement=ENHANCEMENT)).enhance(samples, 16_000)
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
