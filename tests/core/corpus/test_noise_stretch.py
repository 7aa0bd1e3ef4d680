"""Stretches of noise: cut, looped without a click, told from silence, held in memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.audio.files import write_audio
from sertool.core.corpus.noise_stretch import (
    Recording,
    RecordingCache,
    is_audible,
    loop_samples,
    noise_stretch,
)

FADE = 320  # 20 ms at 16 kHz


@given(st.integers(1, 2000), st.data())
def test_what_fits_is_cut_as_it_is(length, data):
    recording = np.arange(1, length + 1, dtype=np.float32)
    offset = data.draw(st.integers(0, loop_samples(length) - 1))
    num_samples = data.draw(st.integers(1, length - offset))
    assert (noise_stretch(recording, offset, num_samples) == recording[offset : offset + num_samples]).all()


@given(st.integers(1, 1500), st.integers(1, 6000), st.data())
def test_what_does_not_fit_is_the_loop_rolled_and_repeated(length, num_samples, data):
    recording = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    period = loop_samples(length)
    offset = data.draw(st.integers(0, period - 1))
    stretch = noise_stretch(recording, offset, num_samples)
    assert stretch.shape == (num_samples,) and stretch.dtype == np.float32
    # By hand: each pass starts with the crossfade of the recording's end (cosine) and its beginning (sine).
    fade = length - period
    expected = []
    for position in range(offset, offset + num_samples):
        place, turn = position % period, position // period
        value = float(recording[place])
        if place < fade and turn > 0 and offset + num_samples > length:
            angle = (place + 0.5) / fade * np.pi / 2
            value = np.cos(angle) * recording[period + place] + np.sin(angle) * value
        elif place < fade and turn > 0:
            value = float(recording[period + place])
        expected.append(value)
    np.testing.assert_allclose(stretch, expected, atol=1e-6)


@given(st.integers(700, 5000), st.floats(50, 2000), st.data())
def test_no_seam_clicks(length, frequency, data):
    sine = np.sin(2 * np.pi * frequency / 16_000 * np.arange(length)).astype(np.float32)
    offset = data.draw(st.integers(0, loop_samples(length) - 1))
    steps = np.abs(np.diff(noise_stretch(sine, offset, 4 * length)))
    # Two sines of one frequency at equal power add up to sqrt(2) at most; the fade itself moves by pi/2 in 20 ms.
    allowed = np.sqrt(2) * 2 * np.sin(np.pi * frequency / 16_000) + np.sqrt(2) * np.pi / 2 / FADE
    assert steps.max() <= allowed + 1e-5


def test_a_plain_repetition_would_click():
    wave = np.cos(2 * np.pi * 100 / 16_000 * np.arange(8080)).astype(np.float32)  # from 1 to -1
    assert np.abs(np.diff(np.tile(wave, 3))).max() > 1.9
    assert np.abs(np.diff(noise_stretch(wave, 0, 3 * 8080))).max() < 0.06


def test_the_seam_keeps_the_power_of_noise():
    noise = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    stretch = noise_stretch(noise, 0, 400_000)
    assert np.mean(stretch**2) == pytest.approx(np.mean(noise**2), rel=0.1)


@pytest.mark.parametrize("offset", [-1, 3680, 4000])
def test_an_offset_outside_the_loop_is_an_error(offset):
    with pytest.raises(ValueError, match="outside a loop of 3680"):
        noise_stretch(np.ones(4000, np.float32), offset, 10)


def _recording(samples) -> Recording:
    samples = np.asarray(samples, np.float32)
    return Recording(samples, float(np.mean(samples.astype(np.float64) ** 2)))


def test_silence_is_told_by_its_level_and_by_its_recording():
    burst = np.concatenate([np.zeros(16_000), np.full(1600, 0.5), np.zeros(16_000)])
    assert not is_audible(np.zeros(16_000), _recording(burst))
    assert is_audible(burst[4000:17_000], _recording(burst))  # mostly digital silence, with some of the burst
    assert not is_audible(burst[4000:16_001], _recording(burst))  # a single sample of it would become a click
    quiet = np.full(16_000, 10 ** (-60 / 20))
    assert is_audible(quiet, _recording(quiet))
    assert not is_audible(quiet, _recording(np.concatenate([quiet, np.full(16_000, 0.5)])))
    assert not is_audible(quiet * 10 ** (-11 / 20), _recording(quiet))


def test_the_cache_forgets_what_was_not_heard_for_longest(tmp_path):
    paths = [tmp_path / f"{i}.flac" for i in range(3)]
    for path in paths:
        write_audio(path, np.full(1000, 0.25), 16_000)
    cache = RecordingCache(most_bytes=2 * 4000)
    first = cache.read(paths[0], "a")
    second = cache.read(paths[1], "b")
    assert cache.read(paths[0], "a") is first
    cache.read(paths[2], "c")
    assert cache.held_bytes == 8000
    assert cache.read(paths[0], "a") is first
    assert cache.read(paths[1], "b") is not second
    assert first.power == pytest.approx(0.0625, rel=1e-5)
    assert cache.read(paths[1], "changed") is not cache.read(paths[1], "b")
    with pytest.raises(ValueError, match="read-only"):
        first.samples[0] = 1


def test_a_recording_too_large_for_the_cache_is_still_read(tmp_path):
    write_audio(tmp_path / "a.flac", np.full(1000, 0.25), 16_000)
    assert len(RecordingCache(most_bytes=10).read(tmp_path / "a.flac", "a").samples) == 1000
