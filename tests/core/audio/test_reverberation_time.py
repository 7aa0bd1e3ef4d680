"""Reverberation time: known decays, and another implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.audio.reverberation_time import reverberation_time

RATE = 16_000


def _decay(rt60_s, rate=RATE, seconds=2.0):
    time = np.arange(round(seconds * rate)) / rate
    return 10 ** (-3 * time / rt60_s)  # 60 dB down after rt60_s


@given(rt60_s=st.floats(0.05, 1.5), gain=st.floats(1e-3, 10), delay=st.integers(0, 500))
def test_an_exponential_decay_has_the_time_it_was_made_with(rt60_s, gain, delay):
    response = np.concatenate([np.zeros(delay), gain * _decay(rt60_s)])
    assert reverberation_time(response, RATE) == pytest.approx(rt60_s, rel=0.02)


def test_noise_that_decays_is_measured_as_another_implementation_does():
    acoustics = pytest.importorskip("pyroomacoustics")
    response = np.random.default_rng(0).standard_normal(32_000) * _decay(0.4)
    response[0] = 8.0
    assert reverberation_time(response, RATE) == pytest.approx(0.4, rel=0.1)
    theirs = acoustics.experimental.measure_rt60(response, fs=RATE, decay_db=20)
    assert reverberation_time(response, RATE) == pytest.approx(theirs, rel=0.03)


def test_silence_and_a_click_have_none():
    with pytest.raises(ValueError, match="silent"):
        reverberation_time(np.zeros(100), RATE)
    with pytest.raises(ValueError, match="a click"):
        reverberation_time(np.array([0.0, 1.0, 0.0]), RATE)
