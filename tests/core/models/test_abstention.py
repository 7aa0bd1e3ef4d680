"""Abstention: made-up heads that keep what they should, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.models.abstention import NOISE_ONLY, SILENCE_ONLY, no_speech, speech_presence

RATE = 16_000


def _noise(seconds, level_db, seed=0):
    return 10 ** (level_db / 20) * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def _case(speech_db, *, damped_db=-30.0, seed=0):
    """Three seconds of noise at -30 dB with a second of speech in the middle, and what a head would make of it."""
    speech = np.zeros(3 * RATE)
    speech[RATE : 2 * RATE] = _noise(1.0, speech_db, seed + 1)
    noise = _noise(3.0, -30.0, seed)
    return speech + noise, speech + 10 ** (damped_db / 20) * noise


def test_speech_in_noise_is_heard_and_noise_alone_is_not():
    for snr_db in (20.0, 0.0, -3.0):
        samples, enhanced = _case(-30.0 + snr_db)
        assert no_speech(samples, enhanced) is None
    samples, enhanced = _case(-200.0)
    assert no_speech(samples, enhanced) == NOISE_ONLY


@pytest.mark.parametrize("share_db", [-20.0, -6.5, -5.5, -1.0, 0.0])
def test_the_score_is_the_energy_kept_and_a_quarter_decides(share_db):
    noise = _noise(2.0, -25.0)
    presence = speech_presence(noise, 10 ** (share_db / 20) * noise)
    assert presence.kept_db == presence.score == pytest.approx(share_db, abs=1e-6)
    assert presence.reason == (NOISE_ONLY if share_db < -6 else None)
    assert presence.level_db == pytest.approx(-25.0, abs=0.3)


def test_the_score_is_the_best_half_second_by_definition():
    samples, enhanced = _case(-34.0, damped_db=-12.0)
    shares = []
    for start in range(0, 3 * RATE - RATE // 2 + 1, 160):
        windows = (signal - signal.mean() for signal in (samples, enhanced))
        heard, kept = (np.mean(window[start : start + RATE // 2] ** 2) for window in windows)
        shares.append(10 * np.log10(kept / heard))
    assert speech_presence(samples, enhanced).score == pytest.approx(max(shares), abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(gain_db=st.floats(-30, 30), speech_db=st.floats(-60, -10), damped_db=st.floats(-40, 0))
def test_the_gain_does_not_matter_down_to_silence(gain_db, speech_db, damped_db):
    samples, enhanced = _case(speech_db, damped_db=damped_db)
    gain = 10 ** (gain_db / 20)
    as_it_was, louder = speech_presence(samples, enhanced), speech_presence(gain * samples, gain * enhanced)
    assert louder.score == pytest.approx(as_it_was.score, abs=1e-6)
    assert louder.level_db == pytest.approx(as_it_was.level_db + gain_db, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(speech_db=st.floats(-50, -20), extra_s=st.floats(0, 10))
def test_noise_before_and_after_does_not_hide_speech(speech_db, extra_s):
    samples, enhanced = _case(speech_db)
    more = _noise(extra_s, -30.0, seed=7)
    longer = speech_presence(
        np.concatenate([more, samples, more]), 0.9999 * np.concatenate([0 * more, enhanced, 0 * more])
    )
    assert longer.score == pytest.approx(speech_presence(samples, enhanced).score, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(speech_db=st.floats(-60, -10), less_db=st.floats(-20, 0))
def test_a_head_that_keeps_less_speaks_for_as_much_less(speech_db, less_db):
    samples, enhanced = _case(speech_db)
    fainter = speech_presence(samples, 10 ** (less_db / 20) * enhanced)
    assert fainter.score == pytest.approx(speech_presence(samples, enhanced).score + less_db, abs=1e-6)


@pytest.mark.parametrize("offset", [0.0, 0.02])
@pytest.mark.parametrize(("level_db", "reason"), [(-300.0, SILENCE_ONLY), (-72.0, SILENCE_ONLY), (-68.0, None)])
def test_silence_is_found_with_and_without_an_enhancement_head(level_db, reason, offset):
    samples = _noise(1.0, level_db) + offset
    alone, both = speech_presence(samples), speech_presence(samples, samples)
    assert alone.reason == both.reason == reason
    assert alone.kept_db is None and alone.score == alone.level_db == pytest.approx(max(level_db, -100.0), abs=0.5)
    assert both.score == (-100.0 if reason else pytest.approx(0.0))


def test_digital_silence_has_a_score():
    presence = speech_presence(np.zeros(RATE), np.zeros(RATE))
    assert (presence.score, presence.level_db, presence.reason) == (-100.0, -100.0, SILENCE_ONLY)


def test_a_loud_half_second_in_silence_is_not_silence():
    samples = np.zeros(5 * RATE)
    samples[RATE : RATE + RATE // 2] = _noise(0.5, -50.0)
    assert no_speech(samples, samples) is None
    samples[:] *= 0.05
    assert no_speech(samples, samples) == SILENCE_ONLY


def test_what_a_head_does_with_near_silence_does_not_matter():
    noise = np.concatenate([_noise(1.0, -20.0), _noise(1.0, -55.0, seed=1)])
    enhanced = np.concatenate([0.01 * noise[:RATE], noise[RATE:]])
    assert speech_presence(noise, enhanced).reason == NOISE_ONLY


def test_a_head_that_gives_nothing_back_has_found_no_speech():
    presence = speech_presence(_noise(1.0, -20.0), np.zeros(RATE))
    assert (presence.score, presence.reason) == (-100.0, NOISE_ONLY)


def test_shorter_than_half_a_second_is_judged_as_a_whole():
    click = _noise(0.01, -20.0)
    assert speech_presence(click, 0.5 * click).score == pytest.approx(20 * np.log10(0.5))
    assert speech_presence(np.array([0.5])).reason == SILENCE_ONLY  # one sample is an offset, no sound


def test_another_rate_is_another_number_of_samples():
    samples, enhanced = _case(-30.0)
    double = speech_presence(np.repeat(samples, 2), np.repeat(enhanced, 2), 2 * RATE)
    assert double.score == pytest.approx(speech_presence(samples, enhanced).score, abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "enhanced", "words"),
    [
        (np.zeros((2, 9)), None, "one channel"),
        (np.zeros(0), None, "S > 0"),
        (np.array([0.1, np.nan]), None, "finite"),
        (np.array([0.5, -0.5]), np.array([0.5, np.inf]), "finite"),
        (np.array([0.5, -0.5]), np.array([0.5]), "same recording"),
    ],
)
def test_bad_samples_are_errors(samples, enhanced, words):
    with pytest.raises(ValueError, match=words):
        speech_presence(samples, enhanced)
