"""Mixing: the SNR asked for, the same samples always, silence passed over, peaks scaled, draws that can be replayed."""

import hashlib
import json
import pickle
import random
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sertool.core.audio.files import read_audio, write_audio
from sertool.core.audio.speech_level import speech_level
from sertool.core.corpus.mixing import (
    Draw,
    Mixer,
    SilentNoiseError,
    SnrChoice,
    add_noise,
    draw_generator,
    draw_noise,
    measure_snr,
    parse_snr,
)
from sertool.core.corpus.noise import NoiseFile, NoiseSet
from sertool.core.corpus.noise_stretch import noise_stretch
from sertool.core.engine import map_tasks
from sertool.core.errors import InputError

SPEECH = np.random.default_rng(7).standard_normal(12_000).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def noise_folder(tmp_path_factory) -> Path:
    """Two kinds: one recording of wind, six of rain; one longer than the speech, the others shorter."""
    folder = tmp_path_factory.mktemp("noise")
    names = ["wind/0.flac", *(f"rain/{number}.flac" for number in range(6))]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        samples = np.random.default_rng(number).standard_normal(20_000 if number == 0 else 5000 + 100 * number)
        write_audio(folder / name, 0.05 * samples, 16_000)
    return folder


@pytest.fixture(scope="module")
def mixer(noise_folder) -> Mixer:
    return Mixer(NoiseSet.read(noise_folder), parse_snr(["-5:15"]), seed=3)


def _same(one, other) -> bool:
    return one.noisy.tobytes() == other.noisy.tobytes() and one.clean.tobytes() == other.clean.tobytes()


SAMPLES = hnp.arrays(np.float32, 500, elements=st.floats(-1, 1, width=32))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(SAMPLES, SAMPLES, st.floats(-40, 60), st.floats(-60, 0))
def test_the_snr_of_the_float32_samples_is_the_one_asked_for(speech, noise, snr_db, level_db):
    speech = np.concatenate([speech, [np.float32(0.3)]]) * np.float32(10 ** (level_db / 20))
    noise = np.concatenate([noise, [np.float32(0.2)]])
    noisy, clean, gain_db = add_noise(speech, noise, snr_db=snr_db)
    assert noisy.dtype == clean.dtype == np.float32
    # By definition, in float64 and without our own measure.
    error = noisy.astype(np.float64) - clean.astype(np.float64)
    measured = 10 * np.log10(np.sum(clean.astype(np.float64) ** 2) / np.sum(error**2))
    assert measured == pytest.approx(snr_db, abs=0.01)
    assert measure_snr(noisy, clean) == pytest.approx(measured, abs=1e-9)
    assert max(np.abs(noisy).max(), np.abs(clean).max()) <= 1
    np.testing.assert_allclose(clean, speech * 10 ** (gain_db / 20), rtol=1e-5, atol=1e-12)


def test_a_mixture_that_fits_is_not_scaled():
    noisy, clean, gain_db = add_noise(np.float32([0.5, -0.5]), np.float32([0.1, 0.1]), snr_db=6.0206)
    assert gain_db == 0.0
    np.testing.assert_allclose(noisy, [0.75, -0.25], rtol=1e-5)
    assert (clean == np.float32([0.5, -0.5])).all()


def test_a_mixture_that_would_clip_is_scaled_with_its_speech():
    noisy, clean, gain_db = add_noise(np.float32([0.9, -0.9]), np.float32([0.1, 0.1]), snr_db=0.0)
    np.testing.assert_allclose(noisy, [1.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(clean, [0.5, -0.5], atol=1e-5)
    assert gain_db == pytest.approx(20 * np.log10(0.5 / 0.9), abs=1e-4)


def test_noise_that_cancels_a_peak_does_not_let_the_speech_clip():
    noisy, clean, gain_db = add_noise(np.float32([1.5, -0.1]), np.float32([-1.0, 0.0]), snr_db=3.0)
    assert np.abs(noisy).max() < 1 and np.abs(clean).max() <= 1 and gain_db < 0


def test_silent_speech_has_no_snr(mixer):
    for speech in (np.zeros(100, np.float32), np.full(100, 1e-9, np.float32)):
        with pytest.raises(InputError, match=r"speech is silent.*expected audible speech: leave it out"):
            mixer.mix(speech, "a/b.wav", snr_db=0)


@pytest.mark.parametrize("snr_db", [float("nan"), float("inf"), 200.0])
def test_an_snr_float32_cannot_hold_is_an_error(snr_db):
    with pytest.raises(ValueError, match="outside ±100 dB"):
        add_noise(SPEECH, SPEECH, snr_db=snr_db)


def test_shapes_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="share one shape"):
        add_noise(SPEECH, SPEECH[1:], snr_db=0)
    with pytest.raises(ValueError, match="share one shape"):
        add_noise(SPEECH[None], SPEECH[None], snr_db=0)


@settings(max_examples=30)
@given(keys=st.lists(st.text(max_size=12), min_size=2, max_size=6, unique=True), shuffle=st.randoms())
def test_the_order_of_mixing_changes_nothing(mixer, keys, shuffle: random.Random):
    expected = {key: mixer.mix(SPEECH, key) for key in keys}
    shuffled = list(keys)
    shuffle.shuffle(shuffled)
    for key in shuffled:
        again = pickle.loads(pickle.dumps(mixer)).mix(SPEECH, key)
        assert _same(again, expected[key]) and again.noise_file == expected[key].noise_file


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_give_the_same_samples(mixer, workers):
    keys = [f"speaker/{number}.wav" for number in range(8)]
    # `Mixer.mix` itself is sent to the workers: bound to the mixer, it must survive the journey.
    outcomes = map_tasks(partial(mixer.mix, SPEECH), keys, workers=workers)
    for key, outcome in zip(keys, outcomes, strict=True):
        assert _same(outcome.value, mixer.mix(SPEECH, key))


def test_the_noise_is_the_same_at_every_snr(mixer):
    for key in ("a/1.wav", "a/2.wav", "b/1.wav"):
        mixtures = [mixer.mix(SPEECH, key, snr_db=snr_db) for snr_db in (-5.0, 0.0, 20.0)]
        assert len({(mixture.noise_file, mixture.noise_offset_s) for mixture in mixtures}) == 1
        noises = [(one.noisy.astype(float) - one.clean) / 10 ** (one.gain_db / 20) for one in mixtures]
        np.testing.assert_allclose(noises[0] / 10 ** (5 / 20), noises[1], atol=1e-6)


def test_seed_epoch_key_and_set_each_change_the_draw(mixer, noise_folder):
    other_set = Mixer(NoiseSet.read(noise_folder, kinds=["rain"]), mixer.snr_db, mixer.seed)
    other_seed = Mixer(mixer.noise_set, mixer.snr_db, mixer.seed + 1)
    draws = [
        mixer.draw(12_000, "a/1.wav"),
        mixer.draw(12_000, "a/1.wav", epoch=1),
        mixer.draw(12_000, "a/2.wav"),
        other_seed.draw(12_000, "a/1.wav"),
        other_set.draw(12_000, "a/1.wav"),
    ]
    assert len({(draw.offset, draw.snr_db) for draw in draws}) == len(draws)


def test_a_draw_can_be_stored_and_replayed(mixer):
    draw = mixer.draw(len(SPEECH), "a/1.wav", epoch=4)
    replayed = Draw(**json.loads(json.dumps(asdict(draw))))
    assert replayed == draw
    assert _same(mixer.apply(SPEECH, replayed), mixer.mix(SPEECH, "a/1.wav", epoch=4))


def test_a_mixture_is_speech_plus_the_stretch_its_columns_name(mixer):
    mixture = mixer.mix(SPEECH, "a/1.wav", snr_db=-3.0)
    noise = noise_stretch(read_audio(mixture.noise_file), round(mixture.noise_offset_s * 16_000), len(SPEECH))
    gain = np.sqrt(np.sum(SPEECH.astype(float) ** 2) / np.sum(noise.astype(float) ** 2) / 10**-0.3)
    expected = (SPEECH + gain * noise) * 10 ** (mixture.gain_db / 20)
    np.testing.assert_allclose(mixture.noisy, expected, atol=1e-6)
    assert mixture.kind == mixture.noise_file.parent.name


def test_the_draws_are_those_of_every_version():
    """What is drawn is part of the contract: mixtures made elsewhere, or earlier, must be made again the same."""
    names = [
        NoiseFile(Path(f"/nowhere/{kind}/{n}"), f"{kind}/{n}", kind, f"{n:064d}") for kind in "ab" for n in range(5)
    ]
    noise_set = NoiseSet.of(names)
    assert noise_set.digest == "37300bfac31c38027a5253b6de42bef6925c1196861c49598e5e7dfb47cb0903"
    generators = [
        draw_generator("noise", seed, 0, key, noise_set.digest) for seed in (0, 1) for key in ("a/1.wav", "é/2.wav")
    ]
    assert [generator.integers(1_000_000) for generator in generators] == [847693, 342888, 517550, 616253]


def test_the_mixtures_are_those_of_every_version(tmp_path):
    """The samples themselves, with all options off, as the first version made them: results are kept under them."""

    def steps(seed: int, count: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(-6000, 6001, count) / 32768

    for number, (name, count) in enumerate([("rain/a.flac", 5000), ("rain/b.flac", 20_000), ("wind/a.flac", 7001)]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_audio(tmp_path / name, steps(number, count), 16_000)
    noise_set = NoiseSet.read(tmp_path)
    assert noise_set.digest == "fed5b91ebdf3398e483835585a020a2f87ae98ac95c705bc3522221e616827b8"
    mixer, speech = Mixer(noise_set, parse_snr(["-5:15"]), seed=3), steps(9, 12_000).astype(np.float32)
    digest = hashlib.sha256()
    for key in ("a/1.wav", "a/2.wav", "b/1.wav"):
        for choice in ({}, {"epoch": 2}, {"snr_db": -10.0}):
            mixture = mixer.mix(speech, key, **choice)
            digest.update(mixture.noisy.tobytes())
            digest.update(mixture.clean.tobytes())
            assert mixture.speech is mixture.clean
    assert digest.hexdigest() == "aa49325cd88295416d594c5d8c4de884ddd4ca60af0de75bbdf0b23add7719ac"


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 50), st.floats(-40, 40), st.floats(-60, 0), st.floats(0.1, 0.9))
def test_at_the_active_level_the_snr_is_of_the_active_speech(seed, snr_db, level_db, pause):
    generator = np.random.default_rng(seed)
    speech, noise = generator.standard_normal((2, 16_000)).astype(np.float32)
    speech[: round(pause * 16_000)] = 0.0
    speech *= np.float32(10 ** (level_db / 20))
    noisy, clean, _ = add_noise(speech, noise, snr_db=snr_db, level="active")
    error = noisy.astype(np.float64) - clean.astype(np.float64)
    noise_db = 10 * np.log10(np.mean(error**2))
    assert speech_level(clean).active_db - noise_db == pytest.approx(snr_db, abs=0.01)
    assert measure_snr(noisy, clean, level="active") == pytest.approx(snr_db, abs=0.01)
    # Pauses count in the level of the utterance only.
    assert measure_snr(noisy, clean) <= snr_db + 0.01
    assert max(np.abs(noisy).max(), np.abs(clean).max()) <= 1


def test_speech_that_is_never_active_has_no_active_level():
    click = np.zeros(8000, np.float32)
    click[4000] = 0.5
    with pytest.raises(InputError, match="no active speech was found"):
        add_noise(click, np.ones(8000), snr_db=0, level="active")


def test_whatever_is_scaled_along_fits_too():
    noisy, clean, gain_db = add_noise(np.float32([0.1, -0.1]), np.float32([0.1, 0.1]), snr_db=0.0, peak=2.0)
    assert gain_db == pytest.approx(-6.0206, abs=1e-3) and np.abs(noisy).max() == pytest.approx(0.1, abs=1e-5)
    np.testing.assert_allclose(clean, [0.05, -0.05], rtol=1e-4)


def test_kinds_are_equally_likely_and_so_are_the_recordings_of_one(mixer):
    drawn = [draw_noise(mixer.noise_set, 1000, key=f"s/{number}.wav")[0] for number in range(1200)]
    kinds = [mixer.noise_set.files[index].kind for index in drawn]
    assert 0.45 < kinds.count("wind") / len(kinds) < 0.55  # one recording of wind against six of rain
    rain = [drawn.count(index) for index in mixer.noise_set.by_kind["rain"]]
    assert min(rain) > 60 and max(rain) < 140


def test_offsets_cover_the_recording(mixer):
    offsets = [draw_noise(mixer.noise_set, 100, key=f"s/{number}.wav")[1] for number in range(400)]
    assert min(offsets) < 300 and max(offsets) > 17_000


def _one_recording(folder: Path, samples: np.ndarray, name: str = "kind/a.flac") -> NoiseSet:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_audio(folder / name, samples, 16_000)
    return NoiseSet.read(folder)


def test_a_silent_stretch_is_drawn_again_and_always_the_same(tmp_path):
    samples = np.zeros(80_000)
    samples[40_000:44_000] = 0.3 * np.random.default_rng(0).standard_normal(4000)
    noise_set = _one_recording(tmp_path, samples)
    for number in range(60):
        index, offset = draw_noise(noise_set, 8000, key=f"s/{number}.wav")
        stretch = noise_stretch(samples, offset, 8000)
        assert np.mean(stretch**2) > np.mean(samples**2) / 100
        assert draw_noise(noise_set, 8000, key=f"s/{number}.wav") == (index, offset)


def test_silent_recordings_are_passed_over(tmp_path):
    _one_recording(tmp_path, np.zeros(8000), "kind/silent.flac")
    noise_set = _one_recording(tmp_path, SPEECH, "kind/loud.flac")
    drawn = {draw_noise(noise_set, 100, key=f"s/{number}.wav")[0] for number in range(40)}
    assert {noise_set.files[index].path.name for index in drawn} == {"loud.flac"}


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_a_set_where_nothing_is_audible_is_an_error(tmp_path, level):
    mixer = Mixer(_one_recording(tmp_path, np.full(8000, level)), SnrChoice(values=(0.0,)))
    with pytest.raises(SilentNoiseError, match=r"nothing audible.*; expected recordings of noise: remove"):
        mixer.mix(SPEECH, "a/1.wav")


def test_the_gain_of_the_noise_is_that_of_the_fixed_mixtures(shared_data):
    """Mixtures made by others, with the gain of the noise that gave their SNR."""
    rows = pd.read_csv(shared_data / "reference" / "mixtures.csv")
    for row in rows.iloc[::8].itertuples():
        clean, noise = read_audio(shared_data / row.clip), read_audio(shared_data / row.noise)
        stretch = np.resize(np.roll(noise, -row.noise_offset_samples), len(clean))
        noisy, speech, gain_db = add_noise(clean, stretch, snr_db=row.snr_db)
        added = (noisy.astype(float) - speech) / 10 ** (gain_db / 20)
        assert added @ stretch / (stretch.astype(float) @ stretch) == pytest.approx(row.noise_gain, rel=1e-4)


def test_mixed_files_of_24_bits_keep_the_snr(mixer, tmp_path):
    for number, snr_db in enumerate((-5.0, 0.0, 20.0)):
        mixture = mixer.mix(SPEECH, f"a/{number}.wav", snr_db=snr_db)
        write_audio(tmp_path / "noisy.flac", mixture.noisy, 16_000)
        write_audio(tmp_path / "clean.flac", mixture.clean, 16_000)
        measured = measure_snr(read_audio(tmp_path / "noisy.flac"), read_audio(tmp_path / "clean.flac"))
        assert measured == pytest.approx(snr_db, abs=0.01)


def test_real_noise_with_digital_silence_is_mixed_audibly(shared_data):
    noise_set = NoiseSet.read(shared_data / "noise" / "unseen", kinds=["dog_bark", "gun_shot", "sea_waves"])
    mixer = Mixer(noise_set, parse_snr(["0"]))
    for number in range(60):
        mixture = mixer.mix(SPEECH, f"a/{number}.wav")
        assert measure_snr(mixture.noisy, mixture.clean) == pytest.approx(0.0, abs=0.01)
        assert np.isfinite(mixture.noisy).all() and np.abs(mixture.noisy).max() <= 1
