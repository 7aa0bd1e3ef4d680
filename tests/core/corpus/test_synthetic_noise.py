"""Synthetic noise: each family is what it says, of any length, the same for the same generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers
from scipy.signal import welch

from sertool.core.corpus.synthetic_noise import EQ_HZ, bursts, coloured, gusts, hiss, synthetic_noise, tones


@settings(max_examples=40, deadline=None)
@given(num_samples=integers(1, 9000), seed=integers(0, 10_000))
def test_noise_of_any_length_has_variance_one_and_is_drawn_alone(num_samples, seed):
    noise = synthetic_noise(num_samples, np.random.default_rng(seed))
    assert noise.shape == (num_samples,) and np.isfinite(noise).all()
    assert np.mean(np.square(noise)) == pytest.approx(1.0) or num_samples < 3
    assert np.array_equal(noise, synthetic_noise(num_samples, np.random.default_rng(seed)))


def test_colouring_gives_octaves_their_gains():
    gains_db = np.array([6.0, 6.0, 0.0, 0.0, -12.0, -12.0, 3.0, 3.0])
    white = np.random.default_rng(0).standard_normal(400_000)
    frequencies, before = welch(white, 16_000, nperseg=2048)
    _, after = welch(coloured(white, gains_db), 16_000, nperseg=2048)
    for centre, gain_db in zip(EQ_HZ[1:], gains_db[1:], strict=True):
        near = np.argmin(np.abs(frequencies - centre))
        assert 10 * np.log10(after[near] / before[near]) == pytest.approx(gain_db, abs=0.7)


def envelope_spread_db(noise: np.ndarray) -> float:
    levels = 10 * np.log10(np.square(noise[: len(noise) // 800 * 800]).reshape(-1, 800).mean(1) + 1e-12)
    return float(levels.std())


def flatness(noise: np.ndarray) -> float:
    power = welch(noise, 16_000, nperseg=4096)[1][10:-10]
    return float(np.exp(np.log(power + 1e-20).mean()) / power.mean())


def medians(family, measure) -> float:
    return float(np.median([measure(family(48_000, np.random.default_rng(seed))) for seed in range(15)]))


def test_families_differ_in_envelope_and_in_tone():
    assert medians(hiss, envelope_spread_db) < 2.0
    assert medians(gusts, envelope_spread_db) > 4.0
    assert medians(bursts, envelope_spread_db) > 4.0
    assert medians(tones, flatness) < 0.3 * medians(gusts, flatness)
