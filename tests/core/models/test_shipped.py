"""The model that comes with the package: small, documented, sane where nobody trained it."""

import json

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors import safe_open

from sertool.core.audio.files import read_audio
from sertool.core.corpus.fixed_mixtures import mixture_of, read_fixed_mixtures
from sertool.core.corpus.sample import sample_manifest, sample_noise
from sertool.core.evaluation.leaks import run_of
from sertool.core.metrics.si_sdr import si_sdr
from sertool.core.models.abstention import NOISE_ONLY, SILENCE_ONLY
from sertool.core.models.inference import load
from sertool.core.models.locate import SHIPPED, find_model
from sertool.core.models.storage import WEIGHTS_NAME

RATE = 16_000


@pytest.fixture(scope="module")
def shipped():
    return load("shipped", "cpu")


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    """Six synthetic voices of the sample corpus."""
    return [read_audio(path) for path in sorted((sample_manifest().parent / "speech").rglob("*.*"))[::30]]


def distortion(clean: np.ndarray, estimate: np.ndarray) -> float:
    """Return the SI-SDR of one estimate, in dB."""
    pair = (torch.from_numpy(np.asarray(one, np.float64))[None] for one in (clean, estimate))
    return si_sdr(*pair, torch.tensor([len(clean)])).item()


def test_it_is_what_is_taken_where_no_run_is_at_hand(tmp_path):
    assert find_model(tmp_path) == find_model(tmp_path, enhances=True) == SHIPPED


def test_it_is_small_and_says_what_it_is():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 12e6
    with safe_open(SHIPPED / WEIGHTS_NAME, "pt") as weights:
        large = [name for name in weights.keys() if np.prod(weights.get_slice(name).get_shape()) > 4096]  # noqa: SIM118
        assert {weights.get_slice(name).get_dtype() for name in large if "filters" not in name} == {"F16"}
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for word in ("CC BY-NC-SA 4.0", "## What is known to go wrong", "EB0", "F1-macro", "female", "seed 0"):
        assert word in card


def test_it_tells_what_it_has_heard(shipped):
    run = run_of(shipped)
    assert len(run.seen_audio) > 2000 and len(run.noise["file_digests"]) > 100
    assert json.loads((SHIPPED / "run.json").read_text())["state"] == "finished"


def test_silence_and_noise_alone_are_told(shipped):
    generator = np.random.default_rng(0)
    white = (0.1 * generator.standard_normal(3 * RATE)).astype(np.float32)
    assert shipped.predict(np.zeros(RATE, np.float32), RATE).no_speech == SILENCE_ONLY
    assert shipped.predict(white, RATE).no_speech == NOISE_ONLY
    refused = [shipped.predict(path).no_speech is not None for path in sorted(sample_noise("unseen").rglob("*.*"))]
    assert np.mean(refused) >= 0.5


def test_noise_is_taken_out_and_a_voice_left(shipped, voices):
    generator = np.random.default_rng(0)
    for voice in voices:
        white = generator.standard_normal(len(voice)).astype(np.float32)
        noisy = voice + white * np.sqrt(np.square(voice).mean() / np.square(white).mean())
        assert distortion(voice, shipped.enhance(noisy, RATE)) > 3.0
        assert distortion(voice, shipped.enhance(voice, RATE)) > 6.0


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_other_rates_change_little(shipped, voices, rate):
    for voice in voices[:3]:
        # What 8 kHz cannot hold is no fault of the model's.
        heard = soxr.resample(soxr.resample(voice, RATE, min(rate, RATE)), min(rate, RATE), RATE)
        once, again = (
            shipped.predict(*one).probabilities for one in ((heard, RATE), (soxr.resample(heard, RATE, rate), rate))
        )
        assert max(abs(once[name] - again[name]) for name in once) < 0.1


def test_the_level_changes_nothing(shipped, voices):
    once, again = (shipped.predict(gain * voices[0], RATE).probabilities for gain in (1.0, 0.05))
    assert max(abs(once[name] - again[name]) for name in once) < 1e-3


def test_a_clip_of_400_ms_has_an_answer(shipped, voices):
    middle = len(voices[0]) // 2
    prediction = shipped.predict(voices[0][middle - 3200 : middle + 3200], RATE)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_fixed_mixtures_come_out_clearer(shipped, shared_data):
    """A quarter of the mixtures at 0 dB: a bound far below what the results say, for a model that is broken."""
    rows = [row for row in read_fixed_mixtures(shared_data / "reference" / "mixtures.csv").rows if row.snr_db == 0][::4]
    gains = []
    for row in rows:
        noisy, clean = mixture_of(row)
        gains.append(distortion(clean, shipped.enhance(noisy, RATE)) - distortion(clean, noisy))
    assert np.mean(gains) > 5.0


def test_emotions_of_strangers_are_told_better_than_by_chance(shipped, shared_data):
    names = {"01": "neutral", "02": "calm", "03": "happiness", "04": "sadness"}
    names |= {"05": "anger", "06": "fear", "07": "disgust", "08": "surprise"}
    paths = sorted((shared_data / "ravdess").glob("Actor_0[12]/*.flac"))[::2]
    right = [
        prediction.label == names[path.stem.split("-")[2]]
        for path, prediction in zip(paths, shipped.predict_many(paths), strict=True)
    ]
    assert np.mean(right) > 0.3


def test_ten_minutes_are_one_recording(shipped, shared_data, tmp_path):
    clips = [read_audio(path) for path in sorted((shared_data / "ravdess" / "Actor_01").glob("*.flac"))]
    long = np.resize(np.concatenate(clips), 600 * RATE)
    soundfile.write(tmp_path / "long.wav", long, RATE)
    prediction = shipped.predict(tmp_path / "long.wav")
    assert prediction.no_speech is None and max(prediction.probabilities.values()) < 1
