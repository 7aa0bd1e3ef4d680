"""What happens to speech between a talker and a model, one pure function each: rooms, gain, clipping, lost packets.

All take and return samples at 16 kHz, float32, shape (S,), S at least 1. Those that draw random numbers are given the
generator. Codecs and the telephone band are in `sertool.core.audio.codecs`.
"""

import math

import numpy as np
from scipy.signal import oaconvolve

from sertool.core.audio.files import SAMPLE_RATE

PACKET_S = 0.02
"""Speech in a packet, in seconds: what RFC 3551 (section 4.2) has as the default of voice over IP."""

GAP_S = 0.0025
"""Between the direct sound and the first reflection, in seconds: where direct sound ends (Zahorik, JASA 2002)."""

DECAY_DB = 60.0
"""Reverberation is followed until it is so far down: the definition of the reverberation time (ISO 3382-1)."""


def with_gain(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """Return samples made louder or softer by so many dB; float32 samples beyond [-1, 1] stay as they are."""
    return (samples.astype(np.float64) * 10.0 ** (gain_db / 20.0)).astype(np.float32)


def clipped(samples: np.ndarray, over_db: float) -> np.ndarray:
    """Return samples as a recorder leaves them whose full scale lies so many dB below their peak.

    Everything beyond peak / 10^(over_db / 20) is cut off there (hard clipping). The level of what is not cut stays as
    it was, so that clipping is all that changes.

    Args:
        samples: speech, (S,).
        over_db: how far the peak is beyond full scale, at least 0.

    Raises:
        ValueError: `over_db` is negative.
    """
    if not over_db >= 0.0:
        raise ValueError(f"a peak {over_db} dB over full scale is not clipped: give 0 or more")
    most = np.float32(float(np.abs(samples).max(initial=0.0)) * 10.0 ** (-over_db / 20.0))
    return np.clip(samples, -most, most).astype(np.float32)


def with_packet_loss(
    samples: np.ndarray, share: float, generator: np.random.Generator, *, burst: float | None = None
) -> np.ndarray:
    """Return samples with packets of 20 ms lost, each filled with zeros: nothing is done to conceal a loss.

    Losses follow Gilbert's chain of two states (Bell System Technical Journal 1960): a lost packet is followed by a
    lost one with probability 1 - 1/burst, a received one with q = share / (burst · (1 - share)), so that in the long
    run `share` are lost, `burst` in a row on average. The first packet is drawn from the long run too.

    Args:
        samples: speech, (S,); the last packet may be shorter.
        share: of the packets that are lost, 0 to less than 1.
        generator: draws one number a packet.
        burst: mean number of packets lost in a row; None for independent losses, 1 / (1 - share).

    Raises:
        ValueError: there is no such chain.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"a share of {share} cannot be lost: give 0 to less than 1")
    burst = 1.0 / (1.0 - share) if burst is None else burst
    begins = share / (burst * (1.0 - share)) if burst >= 1.0 else math.inf
    if begins > 1.0:
        raise ValueError(f"{share} of the packets cannot be lost {burst} in a row: give longer bursts")
    packet = round(PACKET_S * SAMPLE_RATE)
    draws = generator.uniform(size=-(-len(samples) // packet))
    lost = np.empty(len(draws), bool)
    is_lost = None
    for place, draw in enumerate(draws):
        is_lost = draw < (share if is_lost is None else 1.0 - 1.0 / burst if is_lost else begins)
        lost[place] = is_lost
    return np.where(np.repeat(lost, packet)[: len(samples)], np.float32(0.0), samples).astype(np.float32)


def loudest_part(samples: np.ndarray, seconds: float) -> np.ndarray:
    """Return the stretch of so many seconds that holds the most energy, the first of several; all of shorter speech.

    The choice is ours: many recordings begin and end in silence, and an early stretch would hold no speech.

    Args:
        samples: speech, (S,).
        seconds: how much to keep; at least one sample is kept.

    Returns:
        Samples, (min(S, 16000 · seconds),).
    """
    length = max(1, round(seconds * SAMPLE_RATE))
    if len(samples) <= length:
        return samples.astype(np.float32)
    total = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(total[length:] - total[:-length]))
    return samples[start : start + length].astype(np.float32)


def silence(samples: np.ndarray) -> np.ndarray:
    """Return digital silence of the same length."""
    return np.zeros(len(samples), np.float32)


def white_noise(samples: np.ndarray, generator: np.random.Generator, *, level_db: float | None = None) -> np.ndarray:
    """Return white Gaussian noise of the same length in place of the samples.

    Args:
        samples: speech, (S,).
        generator: draws the noise.
        level_db: its RMS level in dB re full scale (a square wave at ±1 has 0 dB); None for that of the samples.
    """
    drawn = generator.standard_normal(len(samples))
    power = float(np.mean(np.square(samples, dtype=np.float64))) if level_db is None else 10.0 ** (level_db / 10.0)
    return (drawn * math.sqrt(power / float(np.mean(np.square(drawn))))).astype(np.float32)


def room_response(rt60_s: float, generator: np.random.Generator) -> np.ndarray:
    """Return a statistical room response: direct sound, then Gaussian noise that decays exponentially (Polack 1988).

    h(0) = 1 and h(t) = b(t) exp(-3 ln(10) t / RT60) from 2.5 ms on, b white and Gaussian. Ours: what follows the direct
    sound has its energy, a direct-to-reverberant ratio of 0 dB, as at the critical distance of any room.

    Args:
        rt60_s: reverberation time in seconds, at least 0.01.
        generator: draws the noise.

    Returns:
        The response, float64, (N,), its direct sound first; it ends where the decay has reached 60 dB.

    Raises:
        ValueError: the time is too short for a decay to be seen.
    """
    if not rt60_s >= 0.01:
        raise ValueError(f"a reverberation time of {rt60_s} s is no room's: give 0.01 s or more")
    time_s = np.arange(round(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    decay = 10.0 ** (-DECAY_DB / 20.0 * time_s / rt60_s)
    tail = np.where(time_s >= GAP_S, generator.standard_normal(len(time_s)) * decay, 0.0)
    response = tail / math.sqrt(float(np.square(tail).sum()))
    response[0] = 1.0
    return response


def reverberated(samples: np.ndarray, rt60_s: float, generator: np.random.Generator) -> np.ndarray:
    """Return speech through a statistical room response: not delayed, its end cut, with the energy it had.

    Args:
        samples: speech, (S,).
        rt60_s: see `room_response`.
        generator: draws the room.
    """
    heard = oaconvolve(samples.astype(np.float64), room_response(rt60_s, generator))[: len(samples)]
    before, after = (float(np.square(one, dtype=np.float64).sum()) for one in (samples, heard))
    return (heard * (math.sqrt(before / after) if after > 0.0 else 1.0)).astype(np.float32)
