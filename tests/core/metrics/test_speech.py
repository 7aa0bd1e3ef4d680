"""Speech scores against torchmetrics, the published values of fixed mixtures, and the signals no measure can score."""

import csv
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from sertool.core.audio.files import read_audio
from sertool.core.metrics import speech
from sertool.core.metrics.speech import si_sdr, speech_scores

RATE = 16_000


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz of changing pitch and level, which PESQ takes for speech; float32 (S,)."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 1.3 * time)) / RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 12)) * np.abs(np.sin(2 * np.pi * 2 * time))
    return (0.2 * buzz + 0.002 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


def with_noise(clean: np.ndarray, level: float = 0.05, seed: int = 1) -> np.ndarray:
    """The signal with white noise added."""
    return (clean + level * np.random.default_rng(seed).standard_normal(len(clean))).astype(np.float32)


def test_published_values_of_fixed_mixtures(shared_data):
    with open(shared_data / "reference" / "mixtures.csv", newline="") as file:
        rows = list(csv.DictReader(file))[::16]
    for row in rows:
        clean, noise = read_audio(shared_data / row["clip"]), read_audio(shared_data / row["noise"])
        noise = np.resize(np.roll(noise, -int(row["noise_offset_samples"])), len(clean))
        clean, noise = float(row["gain"]) * clean, float(row["gain"]) * float(row["noise_gain"]) * noise
        scores = speech_scores(clean, clean + noise)
        assert scores["pesq_wb"] == pytest.approx(float(row["unprocessed_pesq"]), abs=0.002)
        assert scores["stoi"] == pytest.approx(float(row["unprocessed_stoi"]), abs=0.0002)
        assert scores["si_sdr"] == pytest.approx(float(row["unprocessed_sisdr"]), abs=0.01)
        assert scores["reasons"] == {}


def test_more_noise_scores_lower_on_every_measure():
    clean = voice(2.0)
    measures = ("pesq_wb", "stoi", "estoi", "si_sdr")
    little = speech_scores(clean, with_noise(clean, 0.01), measures=measures)
    much = speech_scores(clean, with_noise(clean, 0.1), measures=measures)
    for name in measures:
        assert little[name] > much[name]


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_si_sdr_is_that_of_torchmetrics_with_zero_mean(offset):
    clean = voice(1.0) + offset
    estimate = 0.4 * with_noise(clean)
    theirs = scale_invariant_signal_distortion_ratio(
        torch.from_numpy(estimate).double(), torch.from_numpy(clean).double(), zero_mean=True
    )
    assert si_sdr(clean, estimate) == pytest.approx(theirs.item(), abs=1e-6)


def test_si_sdr_by_hand():
    # Orthogonal noise of a tenth of the amplitude: 20 dB exactly.
    time = np.arange(1600) / 1600
    clean, noise = np.sin(2 * np.pi * 5 * time), np.cos(2 * np.pi * 5 * time)
    assert si_sdr(clean, clean + 0.1 * noise) == pytest.approx(20.0, abs=1e-9)


@given(scale=st.floats(1e-3, 1e3), reference_scale=st.floats(1e-3, 1e3), shift=st.floats(-1, 1))
def test_si_sdr_ignores_scale_and_offset(scale, reference_scale, shift):
    clean = voice(0.1)
    estimate = with_noise(clean)
    expected = si_sdr(clean, estimate)
    moved = scale * (estimate.astype(np.float64) + shift)
    assert si_sdr(reference_scale * clean.astype(np.float64), moved) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("clean", "estimate", "reasons"),
    [
        (np.zeros(RATE), voice(1.0), dict.fromkeys(speech.MEASURES, speech.SILENT_CLEAN)),
        (np.full(RATE, 0.1, np.float32), voice(1.0), dict.fromkeys(speech.MEASURES, speech.SILENT_CLEAN)),
        (voice(1.0), np.zeros(RATE), dict.fromkeys(speech.MEASURES, speech.SILENT_ESTIMATE)),
        (voice(1.0), np.full(RATE, np.nan), dict.fromkeys(speech.MEASURES, speech.NOT_FINITE)),
        (np.zeros(0), np.zeros(0), dict.fromkeys(speech.MEASURES, speech.NO_SAMPLES)),
        (voice(0.2), with_noise(voice(0.2)), {"pesq_wb": speech.PESQ_SHORT, "stoi": speech.STOI_SHORT}),
        (voice(0.01), with_noise(voice(0.01)), {"pesq_wb": speech.PESQ_SHORT, "stoi": speech.STOI_SHORT}),
        (voice(0.3), with_noise(voice(0.3)), {"stoi": speech.STOI_SHORT}),
        (voice(1.0), 0.7 * voice(1.0), {"si_sdr": speech.IDENTICAL}),
        (voice(20.1), with_noise(voice(20.1)), {"pesq_wb": speech.PESQ_LONG}),
    ],
    ids=[
        "silent-reference",
        "constant-reference",
        "silent-estimate",
        "nan-estimate",
        "empty",
        "0.2s",
        "0.01s",
        "0.3s",
        "identical-up-to-scale",
        "long",
    ],
)
def test_what_cannot_be_scored_is_none_with_a_reason(clean, estimate, reasons):
    scores = speech_scores(clean, estimate)
    assert scores["reasons"] == reasons
    for name in speech.MEASURES:
        assert (scores[name] is None) == (name in reasons)


def test_a_click_between_long_pauses_has_no_utterance_for_pesq_and_too_little_speech_for_stoi():
    clean = np.zeros(3 * RATE, np.float32)
    clean[RATE : RATE + 2000] = voice(2000 / RATE)
    scores = speech_scores(clean, with_noise(clean, 0.001))
    assert scores["reasons"] == {"pesq_wb": speech.PESQ_NO_SPEECH, "stoi": speech.STOI_SHORT}
    assert scores["si_sdr"] is not None


def test_no_warning_leaves_and_the_filters_stay():
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        speech_scores(voice(0.3), with_noise(voice(0.3)))
    assert caught == []
    assert warnings.filters == before


def test_estoi_is_seeded_and_leaves_the_global_generator_alone():
    clean = voice(1.0)
    np.random.seed(3)
    expected = np.random.standard_normal(3)
    np.random.seed(3)
    first = speech_scores(clean, with_noise(clean), seed=5, measures=("estoi",))
    assert np.array_equal(np.random.standard_normal(3), expected)
    assert first == speech_scores(clean, with_noise(clean), seed=5, measures=("estoi",))


def test_misuse_is_an_error():
    clean = voice(0.5)
    with pytest.raises(ValueError, match="16000"):
        speech_scores(clean, clean, rate=8000)
    with pytest.raises(ValueError, match="shape"):
        speech_scores(clean, clean[:-1])
    with pytest.raises(ValueError, match="not finite"):
        speech_scores(np.full(RATE, np.inf), np.zeros(RATE))
    with pytest.raises(ValueError, match="unknown measures"):
        speech_scores(clean, clean, measures=("mos",))
