"""Degradations: what they promise of length, level, decay and loss, against definitions and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from sertool.core.audio.degradations import (
    PACKET_S,
    clipped,
    loudest_part,
    reverberated,
    room_response,
    silence,
    white_noise,
    with_gain,
    with_packet_loss,
)
from sertool.core.audio.reverberation_time import reverberation_time

RATE = 16_000
PACKET = 320
SPEECH = (0.1 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)


def _generator(seed=0):
    return np.random.default_rng(seed)


EVERY = {
    "gain": lambda samples: with_gain(samples, 20.0),
    "clipping": lambda samples: clipped(samples, 12.0),
    "packet loss": lambda samples: with_packet_loss(samples, 0.1, _generator()),
    "bursts": lambda samples: with_packet_loss(samples, 0.2, _generator(), burst=5.0),
    "silence": silence,
    "white noise": lambda samples: white_noise(samples, _generator()),
    "faint noise": lambda samples: white_noise(samples, _generator(), level_db=-80.0),
    "reverberation": lambda samples: reverberated(samples, 0.3, _generator()),
}


@pytest.mark.parametrize("degrade", EVERY.values(), ids=EVERY)
@given(length=st.integers(1, 3000), silent=st.booleans())
def test_samples_stay_as_many_finite_and_the_same_every_time(degrade, length, silent):
    samples = np.zeros(length, np.float32) if silent else SPEECH[:length]
    given_samples = samples.copy()
    degraded = degrade(samples)
    assert degraded.shape == samples.shape
    assert degraded.dtype == np.float32
    assert np.isfinite(degraded).all()
    assert degraded.tobytes() == degrade(samples).tobytes()
    assert samples.tobytes() == given_samples.tobytes()


@pytest.mark.parametrize(("gain_db", "factor"), [(20.0, 10.0), (-20.0, 0.1), (-40.0, 0.01)])
def test_gain_is_in_decibels_of_amplitude_and_clips_nothing(gain_db, factor):
    np.testing.assert_allclose(with_gain(SPEECH * 5, gain_db), SPEECH * 5 * factor, rtol=1e-6)


@given(over_db=st.floats(0.0, 40.0))
def test_clipping_cuts_what_is_beyond_full_scale_and_leaves_the_rest(over_db):
    result = clipped(SPEECH, over_db)
    peak, cut = np.abs(SPEECH).max(), np.abs(result).max()
    assert 20 * np.log10(peak / cut) == pytest.approx(over_db, abs=1e-4)
    below = np.abs(SPEECH) < cut
    assert np.array_equal(result[below], SPEECH[below])
    assert np.array_equal(np.sign(result), np.sign(SPEECH))


def test_speech_below_full_scale_is_no_clipping():
    with pytest.raises(ValueError, match="not clipped"):
        clipped(SPEECH, -1.0)


def _losses(share, *, packets=20_000, burst=None, seed=3):
    """Return which packets of a long signal were lost, (packets,)."""
    received = with_packet_loss(np.ones(packets * PACKET, np.float32), share, _generator(seed), burst=burst)
    received = received.reshape(packets, PACKET)
    assert ((received.min(axis=1) == received.max(axis=1)) & np.isin(received[:, 0], (0.0, 1.0))).all()  # whole packets
    return received[:, 0] == 0.0


def _mean_run(lost):
    """Return the mean length of the runs of lost packets."""
    return lost.sum() / (np.diff(lost.astype(int), prepend=0) == 1).sum()


@pytest.mark.parametrize(("share", "burst"), [(0.05, None), (0.1, None), (0.2, None), (0.2, 5.0)])
def test_the_share_of_packets_asked_for_is_lost_in_runs_as_long_as_asked_for(share, burst):
    assert round(PACKET_S * RATE) == PACKET
    lost = _losses(share, burst=burst)
    assert lost.mean() == pytest.approx(share, rel=0.08)
    assert _mean_run(lost) == pytest.approx(burst or 1 / (1 - share), rel=0.06)


def test_independent_losses_are_independent():
    lost = _losses(0.2)
    after_a_loss, after_none = lost[1:][lost[:-1]].mean(), lost[1:][~lost[:-1]].mean()
    assert after_a_loss == pytest.approx(after_none, abs=0.015)


def test_the_first_packet_is_lost_as_often_as_others():
    first = [
        with_packet_loss(np.ones(1, np.float32), 0.2, _generator(seed), burst=5.0)[0] == 0.0 for seed in range(2000)
    ]
    assert np.mean(first) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(("share", "burst"), [(1.0, None), (-0.1, None), (0.5, 0.5), (0.9, 1.0)])
def test_losses_no_chain_has_are_refused(share, burst):
    with pytest.raises(ValueError, match="lost"):
        with_packet_loss(SPEECH, share, _generator(), burst=burst)


@given(start=st.integers(0, 11_999), length=st.integers(1, 4000))
def test_the_loudest_part_is_found_wherever_it_is(start, length):
    samples = np.full(16_000, 1e-3, np.float32)
    samples[start : start + length] = 0.5
    part = loudest_part(samples, 0.25)
    energies = fftconvolve(np.square(samples.astype(np.float64)), np.ones(4000), mode="valid")
    assert len(part) == 4000
    assert np.square(part.astype(np.float64)).sum() == pytest.approx(energies.max(), rel=1e-6)


@given(length=st.integers(1, 8000))
def test_speech_shorter_than_the_part_asked_for_is_all_of_it(length):
    assert loudest_part(SPEECH[:length], 0.5).tobytes() == SPEECH[:length].tobytes()


def test_silence_is_digital_zeros():
    assert not silence(SPEECH).any()


@pytest.mark.parametrize("level_db", [-80.0, -30.0, None])
def test_white_noise_is_white_and_at_its_level(level_db):
    noise = white_noise(SPEECH, _generator(), level_db=level_db).astype(np.float64)
    expected = 10 * np.log10(np.mean(SPEECH.astype(np.float64) ** 2)) if level_db is None else level_db
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(expected, abs=1e-3)
    power = np.square(np.abs(np.fft.rfft(noise)))[1:-2].reshape(-1, 1333)  # six bands
    assert power.mean(axis=1) == pytest.approx(np.full(len(power), power.mean()), rel=0.15)
    assert not np.array_equal(noise, white_noise(SPEECH, _generator(1), level_db=level_db))


@pytest.mark.parametrize("rt60_s", [0.3, 0.6, 1.0])
def test_a_statistical_room_decays_as_asked_for_after_its_direct_sound(rt60_s):
    response = room_response(rt60_s, _generator(5))
    assert reverberation_time(response, RATE) == pytest.approx(rt60_s, rel=0.06)
    # Schroeder's curve itself, from 5 to 35 dB down, by another line than that of `reverberation_time`.
    remaining = 10 * np.log10(np.cumsum(np.square(response[::-1]))[::-1])
    remaining -= remaining[0]
    first, last = (int(np.argmax(remaining < level)) for level in (-5.0, -35.0))
    assert (last - first) / RATE * 2 == pytest.approx(rt60_s, rel=0.06)
    assert response[0] == 1.0
    assert np.argmax(np.abs(response)) == 0
    assert not response[1:40].any()
    assert np.square(response[1:]).sum() == pytest.approx(1.0)  # direct-to-reverberant ratio 0 dB


def test_a_room_that_does_not_sound_is_refused():
    with pytest.raises(ValueError, match="no room"):
        room_response(0.0, _generator())


def test_reverberant_speech_is_the_convolution_with_its_energy_and_without_delay():
    heard = reverberated(SPEECH, 0.6, _generator(2)).astype(np.float64)
    expected = fftconvolve(SPEECH.astype(np.float64), room_response(0.6, _generator(2)))[: len(SPEECH)]
    assert np.corrcoef(heard, expected)[0, 1] == pytest.approx(1.0, abs=1e-9)
    assert np.square(heard).sum() == pytest.approx(np.square(SPEECH.astype(np.float64)).sum(), rel=1e-5)
    lags = fftconvolve(heard, SPEECH[::-1].astype(np.float64))
    assert np.argmax(np.abs(lags)) == len(SPEECH) - 1
