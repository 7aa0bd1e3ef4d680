"""Active speech level: the definition by hand and by a loop that follows the standard, gains, silence."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.audio.files import read_audio
from sertool.core.audio.speech_level import speech_level
from sertool.core.errors import InputError

RATE = 16_000


def _by_the_standard(samples, rate, *, peak, steps):
    """ITU-T P.56, 7: sample by sample, counter by counter; thresholds in powers of two below `peak`."""
    decay = math.exp(-1 / (rate * 0.03))
    hangover = math.ceil(0.2 * rate)
    thresholds = [peak * 2.0**-step for step in range(steps, 0, -1)]
    active, quiet = [0] * steps, [hangover] * steps
    first = second = energy = 0.0
    for sample in samples.astype(np.float64).tolist():
        energy += sample * sample
        first = decay * first + (1 - decay) * abs(sample)
        second = decay * second + (1 - decay) * first
        for j, threshold in enumerate(thresholds):
            if second >= threshold:
                active[j] += 1
                quiet[j] = 0
            elif quiet[j] < hangover:
                active[j] += 1
                quiet[j] += 1
    before = None
    for j, threshold in enumerate(thresholds):
        level = 10 * math.log10(energy / active[j])
        excess = level - 20 * math.log10(threshold) - 15.9
        if excess <= 0:
            old_level, old_excess = before
            return old_level + (level - old_level) * old_excess / (old_excess - excess)
        before = level, excess
    raise AssertionError("no level")


def _voice(seed=0, seconds=2.0, rate=RATE):
    """Bursts of noise of changing loudness with pauses and a faint background."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    bursts = np.maximum(0, np.sin(2 * np.pi * 1.3 * time + seed))
    loudness = 0.2 * bursts * generator.uniform(0.3, 1, 20)[(time * 5).astype(int) % 20] + 1e-4
    return (loudness * generator.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_it_is_what_a_loop_over_the_samples_gives(rate):
    voice = _voice(seconds=1.5, rate=rate)
    level = speech_level(voice, rate)
    expected = _by_the_standard(voice, rate, peak=float(np.abs(voice).max()), steps=24)
    assert level.active_db == pytest.approx(expected, abs=1e-6)
    energy_db = 10 * np.log10(np.mean(voice.astype(float) ** 2))
    assert level.utterance_db == pytest.approx(energy_db, abs=1e-6)
    # Energy is the same counted either way: the active level lasts for the active share of the time.
    assert level.active_db + 10 * np.log10(level.activity) == pytest.approx(energy_db, abs=1e-9)


def test_thresholds_below_full_scale_as_in_16_bit_meters_hardly_differ():
    for seed in range(3):
        voice = _voice(seed)
        expected = _by_the_standard(voice, RATE, peak=1.0, steps=15)
        assert speech_level(voice).active_db == pytest.approx(expected, abs=0.3)


def test_on_real_speech_both_agree_too(shared_data):
    for path in sorted((shared_data / "librispeech" / "train-clean-100").glob("*.flac"))[:2]:
        speech = read_audio(path)[: 3 * RATE]
        level = speech_level(speech)
        own = _by_the_standard(speech, RATE, peak=float(np.abs(speech).max()), steps=24)
        assert level.active_db == pytest.approx(own, abs=1e-6)
        assert level.active_db == pytest.approx(_by_the_standard(speech, RATE, peak=1.0, steps=15), abs=0.3)
        assert 0.2 < level.activity <= 1.0 and level.active_db >= level.utterance_db


def test_a_gated_tone_has_the_level_of_the_tone():
    time = np.arange(40 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    tone[(time % 8) >= 4] = 0  # four seconds on, four seconds off: half of the time
    level = speech_level(tone)
    # Active for the half it sounds, and 0.2 s of hangover and the fall of the envelope after each of five bursts.
    assert 0.5 + 5 * 0.2 / 40 <= level.activity <= 0.5 + 5 * 0.4 / 40
    tone_db = 20 * np.log10(0.5 / np.sqrt(2))
    assert level.active_db == pytest.approx(tone_db + 10 * np.log10(0.5 / level.activity), abs=1e-3)
    assert level.active_db == pytest.approx(-9.03, abs=0.35)
    assert level.utterance_db == pytest.approx(-9.03 - 3.01, abs=0.01)


@settings(max_examples=25)
@given(gain_db=st.floats(-80, 12), seed=st.integers(0, 3))
def test_a_gain_moves_the_level_by_exactly_itself(gain_db, seed):
    voice = _voice(seed, seconds=0.7).astype(np.float64)
    moved = speech_level(voice * 10 ** (gain_db / 20))
    assert moved.active_db == pytest.approx(speech_level(voice).active_db + gain_db, abs=1e-6)
    assert moved.activity == pytest.approx(speech_level(voice).activity, abs=1e-7)


def test_silence_around_speech_hardly_changes_its_active_level():
    voice = _voice(seconds=6.0)
    padded = np.concatenate([np.zeros(RATE, np.float32), voice, np.zeros(5 * RATE, np.float32)])
    alone, among = speech_level(voice), speech_level(padded)
    assert among.active_db == pytest.approx(alone.active_db, abs=0.3)
    assert among.utterance_db == pytest.approx(alone.utterance_db + 10 * np.log10(6 / 12), abs=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(16_000), np.zeros(0)])
def test_silence_has_no_level(samples):
    with pytest.raises(InputError, match=r"silent audio.*; expected audible speech: leave it out"):
        speech_level(samples)


def test_a_click_and_a_moment_are_no_speech():
    click = np.zeros(RATE)
    click[5000] = 1.0
    for sound in (click, 0.1 * np.ones(300)):
        with pytest.raises(InputError, match="no active speech was found"):
            speech_level(sound)


def test_several_channels_are_refused():
    with pytest.raises(ValueError, match="one channel"):
        speech_level(np.zeros((100, 2)))
