"""Noise that was never recorded, so that a model hears more kinds of it than any set of recordings holds.

Ours: four families that between them vary what tells noises apart, their spectrum, their envelope, and whether they
are tonal. All parameters are drawn anew each time; nothing imitates a particular recording.
"""

import numpy as np
from scipy.signal import lfilter

from sertool.core.audio.files import SAMPLE_RATE

EQ_HZ = 62.5 * 2.0 ** np.arange(8)
"""Centres of the octaves whose gains are drawn, 62.5 Hz to 8 kHz; between them gains are linear in the logarithm."""


def synthetic_noise(num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return noise of a family drawn at random, float64, (num_samples,), of variance 1."""
    families = (hiss, gusts, tones, bursts)
    noise = families[int(generator.integers(len(families)))](num_samples, generator)
    # Long enough, each of them sounds; of a burst or two nothing may fall into a short stretch.
    power = float(np.mean(np.square(noise)))
    return noise / np.sqrt(power) if power > 1e-12 else hiss(num_samples, generator)


def hiss(num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return stationary noise whose spectrum falls or rises by -9 to 3 dB an octave, octaves varied besides."""
    slope_db = generator.uniform(-9.0, 3.0) * np.arange(len(EQ_HZ))
    noise = coloured(generator.standard_normal(num_samples), slope_db + generator.normal(0.0, 4.0, len(EQ_HZ)))
    return noise / np.sqrt(np.mean(np.square(noise)) + 1e-30)


def gusts(num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return noise that swells and sinks by 6 to 12 dB (standard deviation), 0.5 to 8 times a second."""
    rate_hz = np.exp(generator.uniform(np.log(0.5), np.log(8.0)))
    points = generator.normal(0.0, generator.uniform(6.0, 12.0), 2 + int(num_samples / SAMPLE_RATE * rate_hz))
    position = np.linspace(0.0, len(points) - 1.0, num_samples)
    return hiss(num_samples, generator) * 10.0 ** (np.interp(position, np.arange(len(points)), points) / 20.0)


def tones(num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return one to eight harmonics of 80 Hz to 2 kHz that sweep up and down, over soft hiss."""
    time_s = np.arange(num_samples) / SAMPLE_RATE
    pitch_hz = np.exp(generator.uniform(np.log(80.0), np.log(2000.0)))
    octaves, rate_hz = generator.uniform(0.0, 0.7), np.exp(generator.uniform(np.log(0.1), np.log(6.0)))
    bend = octaves * np.sin(2 * np.pi * (rate_hz * time_s + generator.uniform()))
    phase = 2 * np.pi * np.cumsum(pitch_hz * 2.0**bend) / SAMPLE_RATE
    noise = 0.05 * hiss(num_samples, generator)
    for harmonic in range(1, 1 + int(generator.integers(1, 9))):
        if harmonic * pitch_hz * 2.0**octaves < SAMPLE_RATE / 2:
            noise += np.sin(harmonic * phase + generator.uniform(0, 2 * np.pi)) * generator.uniform() / harmonic**0.5
    return noise


def bursts(num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return bangs that decay by 60 dB in 20 to 500 ms, half one to twenty a second, regularly or not."""
    rate_hz = np.exp(generator.uniform(np.log(0.5), np.log(20.0)))
    jitter = generator.uniform(0.0, 0.5)
    period = SAMPLE_RATE / rate_hz
    count = 1 + int(num_samples / period)
    starts = (np.arange(count) + generator.uniform() + jitter * generator.normal(size=count)) * period
    envelope = np.zeros(num_samples)
    inside = starts.astype(int)[(starts >= 0) & (starts < num_samples)]
    envelope[inside] = generator.uniform(0.3, 1.0, len(inside))
    decay = np.exp(generator.uniform(np.log(0.02), np.log(0.5))) * SAMPLE_RATE
    # One pole, as the sum of what is left of all bangs so far: 60 dB is a factor of 1000.
    envelope = lfilter([1.0], [1.0, -(1000.0 ** (-1.0 / decay))], envelope)
    return envelope * hiss(num_samples, generator)


def coloured(noise: np.ndarray, gains_db: np.ndarray) -> np.ndarray:
    """Return noise (S,) with gains in dB at EQ_HZ, (8,); what lies outside has the gain of the nearest octave."""
    size = len(noise)
    octave = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE), 1.0) / EQ_HZ[0])
    gain = 10.0 ** (np.interp(octave, np.arange(len(EQ_HZ)), gains_db) / 20.0)
    return np.fft.irfft(np.fft.rfft(noise) * gain, n=size)
