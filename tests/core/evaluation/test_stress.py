"""Stress tests: which there are, what each does to speech, the same every time and in every process."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.audio.codecs import offered_codecs
from sertool.core.audio.files import write_audio
from sertool.core.corpus.mixing import Mixer, SnrChoice, measure_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import RirSet
from sertool.core.errors import InputError
from sertool.core.evaluation import stress as stress_module
from sertool.core.evaluation.stress import make_stress, stress_rows
from sertool.core.evaluation.system import System
from sertool.core.models.abstention import no_speech
from sertool.core.training.stress_limits import STRESSES

RATE = 16_000
SPEECH = (0.1 * np.random.default_rng(1).standard_normal(RATE) * np.hanning(RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def noise_set(noise):
    return NoiseSet.read(noise)


@pytest.fixture(scope="module")
def rirs(tmp_path_factory):
    """Two places of a room, from which sound arrives late."""
    folder = tmp_path_factory.mktemp("rooms")
    for number in range(2):
        response = np.zeros(2000)
        response[300], response[700 + 50 * number :: 400] = 0.9, 0.3
        (folder / "hall").mkdir(exist_ok=True)
        write_audio(folder / "hall" / f"{number}.wav", response, RATE)
    return RirSet.read(folder)


@pytest.fixture(scope="module")
def stress(noise_set, rirs):
    return make_stress(noise=noise_set, snrs=(0.0, 10.0), rirs=rirs, seed=3)


def _named(stress):
    return {one.name: one for one in stress.stressors}


def test_every_stress_test_is_there_in_the_order_they_are_told(stress):
    tests = list(dict.fromkeys(one.stress for one in stress.stressors))
    assert sorted(tests, key=STRESSES.index) == tests
    assert set(tests) == set(STRESSES)
    assert len(_named(stress)) == len(stress.stressors)
    assert {one.stress for one in stress.stressors if not one.has_emotion} == {"silence only", "noise only"}


def test_every_kind_of_noise_is_heard_at_every_snr_and_every_codec_there_is(stress):
    names = list(_named(stress))
    assert names[:4] == ["noise: hiss 10 dB", "noise: hiss 0 dB", "noise: hum 10 dB", "noise: hum 0 dB"]
    assert [name for name in names if name.startswith("codec")] == [f"codec: {one.name}" for one in offered_codecs()]


def test_without_noise_and_rooms_what_needs_them_is_left_out_by_name():
    stress = make_stress()
    assert not {"noise", "babble"} & {one.stress for one in stress.stressors}
    assert "reverberation: rooms" not in _named(stress)
    assert stress.left_out == {"noise": "no noise was named", "noise only: recorded": "no noise was named"}


def test_codecs_this_libsndfile_lacks_are_left_out_by_name(monkeypatch):
    monkeypatch.setattr(stress_module, "missing_codecs", lambda: ("mu-law",))
    monkeypatch.setattr(stress_module, "offered_codecs", tuple)
    stress = make_stress()
    assert not {"codec", "telephone band"} & {one.stress for one in stress.stressors}
    assert {"codec: mu-law", "telephone band"} <= set(stress.left_out)


@settings(max_examples=8)
@given(length=st.integers(1, 4000), start=st.integers(0, 12_000))
def test_under_every_stressor_speech_keeps_its_length_and_is_the_same_every_time(stress, length, start):
    again = pickle.loads(pickle.dumps(stress))
    samples = SPEECH[start : start + length] + np.float32(1e-4)
    before = samples.copy()
    for one, other in zip(stress.stressors, again.stressors, strict=True):
        heard = stress.heard(samples, "a/b.wav", one)
        assert heard.shape == samples.shape, one.name  # a short clip of speech that short is all of it
        assert heard.dtype == np.float32, one.name
        assert np.isfinite(heard).all(), one.name
        assert heard.tobytes() == again.heard(samples, "a/b.wav", other).tobytes(), one.name
    assert samples.tobytes() == before.tobytes()


def test_what_is_drawn_depends_on_the_seed_and_on_the_utterance(stress, noise_set, rirs):
    other_seed = make_stress(noise=noise_set, snrs=(0.0, 10.0), rirs=rirs, seed=4)
    drawn = [
        "noise: hiss 0 dB",
        "reverberation: RT60 0.6 s",
        "packet loss: 20%",
        "packet loss: 20% in bursts",
        "silence only: -80 dBFS",
        "noise only: recorded",
        "noise only: white",
    ]
    for name in drawn:
        heard = stress.heard(SPEECH, "a", _named(stress)[name]).tobytes()
        assert heard != stress.heard(SPEECH, "b", _named(stress)[name]).tobytes(), name
        assert heard != other_seed.heard(SPEECH, "a", _named(other_seed)[name]).tobytes(), name
    for one in stress.stressors:
        if not one.needs:
            assert stress.heard(SPEECH, "a", one).tobytes() == stress.heard(SPEECH, "b", one).tobytes()


def test_noise_is_what_the_mixer_of_that_kind_makes_of_it(stress, noise_set):
    hiss = NoiseSet.of(file for file in noise_set.files if file.kind == "hiss")
    mixture = Mixer(hiss, SnrChoice((0.0,)), seed=3).mix(SPEECH, "a", snr_db=10.0)
    heard = stress.heard(SPEECH, "a", _named(stress)["noise: hiss 10 dB"])
    np.testing.assert_array_equal(heard, mixture.noisy)
    assert measure_snr(heard, mixture.speech) == pytest.approx(10.0, abs=0.01)
    louder = stress.heard(SPEECH, "a", _named(stress)["noise: hiss 0 dB"]) - SPEECH
    assert np.corrcoef(louder, heard - SPEECH)[0, 1] > 0.999


@pytest.mark.parametrize("gain", [1.0, 10.0])
def test_noise_alone_is_at_the_level_of_the_speech_and_holds_none_of_it(stress, gain):
    speech = (SPEECH / np.abs(SPEECH).max() * 0.1 * gain).astype(np.float32)
    for name in ("noise only: recorded", "noise only: white"):
        heard = stress.heard(speech, "a", _named(stress)[name])
        assert np.square(heard).mean() == pytest.approx(np.square(speech).mean(), rel=1e-3)
        assert abs(np.corrcoef(heard, speech)[0, 1]) < 0.05


def test_in_rooms_the_direct_sound_is_not_late(stress):
    click = np.zeros(4000, np.float32)
    click[1000] = 1.0
    heard = stress.heard(click, "a", _named(stress)["reverberation: rooms"])
    assert np.argmax(np.abs(heard)) == 1000
    assert np.square(heard).sum() == pytest.approx(1.0, rel=1e-5)
    assert np.abs(heard[1390:1460]).max() > 0.2


def test_levels_are_what_they_are_called(stress):
    heard = {name: stress.heard(SPEECH, "a", one) for name, one in _named(stress).items()}
    assert len(heard["short clip: 0.5 s"]) == RATE // 2
    np.testing.assert_allclose(heard["gain: -40 dB"], SPEECH / 100, rtol=1e-6)
    np.testing.assert_allclose(heard["gain: +20 dB"], SPEECH * 10, rtol=1e-6)
    assert np.abs(SPEECH).max() / np.abs(heard["clipping: 20 dB over"]).max() == pytest.approx(10.0, rel=1e-5)
    assert not heard["silence only: digital"].any()
    assert 10 * np.log10(np.square(heard["silence only: -80 dBFS"]).mean()) == pytest.approx(-80, abs=0.01)


def test_silent_speech_is_an_error_where_noise_has_no_snr(stress):
    with pytest.raises(InputError, match="silent"):
        stress.heard(np.zeros(4000, np.float32), "a", _named(stress)["noise: hum 0 dB"])


def test_rows_are_what_the_system_hears_first_of_the_utterance_as_it_is(stress, run):
    listener = System(run).open()
    few = dataclasses.replace(stress, stressors=stress.stressors[::9])
    rows = stress_rows(SPEECH, "a", listener, few)
    assert [(row["stress"], row["level"]) for row in rows] == [
        ("none", ""),
        *((one.stress, one.level) for one in few.stressors),
    ]
    heard = [SPEECH, *(stress.heard(SPEECH, "a", one) for one in few.stressors)]
    for row, samples in zip(rows, heard, strict=True):
        prediction, enhanced = listener.hear(samples, enhance=True)
        shares = {f"p_{name}": share for name, share in prediction.probabilities.items()}
        assert row["predicted"] == prediction.label
        assert {name: value for name, value in row.items() if name.startswith("p_")} == shares
        assert row["abstained"] is (no_speech(samples, enhanced) is not None)
    assert json.loads(json.dumps(rows)) == rows


def test_silence_is_abstained_from(stress, run):
    silent = dataclasses.replace(stress, stressors=(_named(stress)["silence only: digital"],))
    assert stress_rows(SPEECH, "a", System(run).open(), silent)[1]["abstained"] is True


def test_the_identity_is_that_of_all_that_decides_what_is_heard(stress, noise_set, rirs):
    settings_of = {"noise": noise_set, "snrs": (0.0, 10.0), "rirs": rirs, "seed": 3}
    assert make_stress(**settings_of).identity == stress.identity
    assert json.loads(json.dumps(stress.identity)) == stress.identity
    hum = NoiseSet.of(file for file in noise_set.files if file.kind == "hum")
    for change in ({"seed": 4}, {"snrs": (0.0,)}, {"rirs": None}, {"noise": hum}, {"level": "active"}):
        assert make_stress(**settings_of | change).identity != stress.identity


def test_a_model_of_no_categories_is_refused(stress, save_model, tmp_path):
    listener = System(save_model(tmp_path / "model", categories=(), attributes=("arousal",))).open()
    with pytest.raises(InputError, match="recognises no categories"):
        stress_rows(SPEECH, "a", listener, stress)
