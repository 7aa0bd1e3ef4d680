"""Energy variation: the definition by a loop, tones whose answer is known, gains, and what has none."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import spence

from sertool.core.audio.files import read_audio
from sertool.core.pretext.energy import energy_variation

RATE = 16_000


def _by_definition(samples):
    """25 ms every 10 ms at 16 kHz, RMS in dB after peak normalisation, not below -60 dB; population deviation."""
    scaled = [float(sample) / max(abs(float(sample)) for sample in samples) for sample in samples]
    levels = []
    for start in range(0, len(scaled) - 400 + 1, 160):
        rms = math.sqrt(sum(sample**2 for sample in scaled[start : start + 400]) / 400)
        levels.append(max(-60.0, 20 * math.log10(rms)) if rms else -60.0)
    mean = sum(levels) / len(levels)
    return math.sqrt(sum((level - mean) ** 2 for level in levels) / len(levels))


def _frame_by_frame(samples):
    """The same for longer signals: a frame at a time, numpy only within it."""
    scaled = samples.astype(np.float64) / np.abs(samples.astype(np.float64)).max()
    starts = range(0, len(scaled) - 399, 160)
    powers = [max(np.mean(scaled[start : start + 400] ** 2), 1e-6) for start in starts]
    return float(np.std([10 * math.log10(power) for power in powers]))


def _tone(envelope, *, hertz=200):
    """A tone of which 5 ms hold a whole number of periods, so that its level is its envelope's."""
    return envelope * np.sin(2 * np.pi * hertz * np.arange(len(envelope)) / RATE)


def _voice(seed, count):
    generator = np.random.default_rng(seed)
    loudness = np.repeat(generator.choice([0.0, 1e-4, 0.01, 0.1, 1.0], -(-count // 700)), 700)[:count]
    loudness[count // 3] = 0.5  # never silent
    return (0.3 * loudness * generator.standard_normal(count)).astype(np.float32)


@pytest.mark.parametrize("count", [560, 719, 720, 721, 1000])
def test_it_is_the_definition(count):
    voice = _voice(count, count)
    assert energy_variation(voice) == pytest.approx(_by_definition(voice), abs=1e-9)


@settings(max_examples=30)
@given(count=st.integers(560, 400_000), seed=st.integers(0, 100))
def test_it_is_the_definition_for_any_length_and_beyond_one_block(count, seed):
    voice = _voice(seed, count)
    assert energy_variation(voice) == pytest.approx(_frame_by_frame(voice), abs=1e-9)


def test_a_quiet_end_is_not_lost_behind_a_long_loud_beginning():
    voice = np.concatenate([_voice(1, 300_000), 3e-3 * _voice(2, 50_000)])
    assert energy_variation(voice) == pytest.approx(_frame_by_frame(voice), abs=1e-9)


def test_real_speech(shared_data):
    path = min((shared_data / "librispeech" / "train-clean-100").glob("*.flac"))
    speech = read_audio(path)[: 4 * RATE]
    assert energy_variation(speech) == pytest.approx(_frame_by_frame(speech), abs=1e-9)
    assert 5 < energy_variation(speech) < 30


def test_a_steady_tone_does_not_vary():
    assert energy_variation(_tone(np.ones(RATE))) == pytest.approx(0, abs=1e-9)


def test_a_tone_that_fades_by_so_many_db_a_second():
    fall_db = 30.0
    tone = _tone(10 ** (-fall_db * np.arange(RATE + 240) / RATE / 20))  # exactly 100 frames
    # Levels lie on a line, 0.3 dB apart: T equally spaced numbers have the variance (T² - 1) / 12.
    assert energy_variation(tone) == pytest.approx(0.01 * fall_db * math.sqrt((100**2 - 1) / 12), rel=1e-9)


def test_a_tone_that_swells_and_ebbs():
    depth, hertz, seconds = 0.8, 0.5, 40
    time = np.arange(seconds * RATE) / RATE
    variation = energy_variation(_tone((1 + depth * np.cos(2 * np.pi * hertz * time)) / 2))
    # ln(1 + m cos) = const + sum of 2 (-1)^(n+1) a^n cos(n.) / n with a = (1 - sqrt(1 - m²)) / m; its variance is
    # 2 Li2(a²), and Li2(z) is spence(1 - z).
    ratio = (1 - math.sqrt(1 - depth**2)) / depth
    assert variation == pytest.approx(20 / math.log(10) * math.sqrt(2 * spence(1 - ratio**2)), rel=2e-3)


@pytest.mark.parametrize(("quiet_db", "counts_as_db"), [(-20, -20), (-50, -50), (-80, -57), (-math.inf, -57)])
def test_half_loud_half_quiet_and_the_floor(quiet_db, counts_as_db):
    # A tone at peak 1 has the RMS -3.01 dB; what lies below -60 dB of full scale is 57 dB below the tone, not more.
    tone = _tone(np.repeat([1.0, 10 ** (quiet_db / 20)], 50 * RATE))
    expected = (-counts_as_db if counts_as_db > -57 else 60 - 10 * math.log10(2)) / 2
    assert energy_variation(tone) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=40)
@given(gain_db=st.floats(-3000, 3000), seed=st.integers(0, 20))
def test_gain_and_sign_change_nothing(gain_db, seed):
    voice = _voice(seed, 4000).astype(np.float64)
    gain = 10 ** (gain_db / 20)
    assert energy_variation(-gain * voice) == pytest.approx(energy_variation(voice), abs=1e-6)


def test_integers_are_samples_too():
    samples = np.tile(np.array([-32768, 120, 50, -7], np.int16), 500)
    samples[1000:] //= 100
    assert energy_variation(samples) == pytest.approx(_frame_by_frame(samples), abs=1e-9)


def test_nothing_is_made_of_silence_or_of_fewer_than_two_frames():
    assert energy_variation(np.zeros(RATE, np.float32)) is None
    assert energy_variation(np.zeros(0, np.float32)) is None
    assert energy_variation(np.ones(559, np.float32)) is None
    assert energy_variation(np.ones(560, np.float32)) == 0.0
    short = np.ones(560)
    short[400:] = 0.1  # frame 2: 240 samples of 1, 160 of 0.1
    assert energy_variation(short) == pytest.approx(-10 * math.log10((240 + 1.6) / 400) / 2, abs=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [10, 2000])
def test_what_is_not_finite_is_refused(value, count):
    samples = np.ones(count)
    samples[7] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        energy_variation(samples)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="one channel"):
        energy_variation(np.ones((1000, 2)))


def test_a_long_recording_is_not_copied_whole():
    recording = np.random.default_rng(0).standard_normal(120 * RATE).astype(np.float32)
    tracemalloc.start()
    energy_variation(recording)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < recording.nbytes  # frames of 400 in float64 would be five times as much
