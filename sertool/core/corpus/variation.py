"""How training mixtures are varied beyond noise and SNR: other noise than was recorded, and worse recordings.

What is drawn depends on (seed, epoch, file) alone. Everything off, mixtures are those of the mixer, to the bit. The
clean reference follows what an enhancer is not asked to undo: the level, and the band. It does not follow clipping,
coding and noise.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.signal import firwin, oaconvolve

from sertool.core.audio.codecs import offered_codecs, telephone_filter, through_codec
from sertool.core.audio.degradations import clipped, with_gain
from sertool.core.audio.files import SAMPLE_RATE, resample
from sertool.core.corpus.mixing import Level, Mixture, add_noise
from sertool.core.corpus.synthetic_noise import EQ_HZ, coloured, synthetic_noise

MOST_CLIPPED_DB = 12.0
"""Peaks lie up to so far above where they are cut."""

LOW_PASS_HZ = (2000, 7500)
"""Between these a low-pass filter cuts, at a multiple of 250 Hz, where speech is not on a telephone."""

SPEED = (0.6, 1.6)
"""Recorded noise is played at between so much and so much of its speed, even in the logarithm."""

COLOUR_DB = 6.0
"""Standard deviation of the gains that colour noise, octave by octave."""


@dataclass(frozen=True)
class Variation:
    """Shares of the utterances that are varied in each way, each drawn by itself; all off without a word.

    Attributes:
        altered_share: of the noisy ones, whose noise is played slower or faster, half of the time backwards.
        coloured_share: of the noisy ones, whose noise goes through a random filter, ±6 dB an octave.
        synthetic_share: of the noisy ones, whose noise is synthetic, or half of the time has some added.
        level_db: gains are drawn from here, lowest and highest in dB; None for none.
        band_share: of those whose upper band is missing, half of them on a telephone line's band.
        clip_share: of those that are clipped, by up to 12 dB.
        codec_share: of those that went through a codec, any this libsndfile has.
    """

    altered_share: float = 0.0
    coloured_share: float = 0.0
    synthetic_share: float = 0.0
    level_db: tuple[float, float] | None = None
    band_share: float = 0.0
    clip_share: float = 0.0
    codec_share: float = 0.0


def with_other_noise(
    mixture: Mixture, variation: Variation, level: Level, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy speech at the SNR of a mixture in noise that is varied, and its clean reference, float32, (S,)."""
    alter_draw, speed_draw, turn_draw, colour_draw, synthetic_draw, kind_draw, ratio_draw = generator.uniform(size=7)
    alter = alter_draw < variation.altered_share
    colour, synthesise = colour_draw < variation.coloured_share, synthetic_draw < variation.synthetic_share
    if not alter and not colour and not synthesise:
        return mixture.noisy, mixture.clean
    noise = mixture.noisy.astype(np.float64) - mixture.speech
    if alter:
        noise = at_speed(noise, SPEED[0] * (SPEED[1] / SPEED[0]) ** speed_draw)
        noise = noise[::-1] if turn_draw < 0.5 else noise
    if colour:
        noise = coloured(noise, generator.normal(0.0, COLOUR_DB, len(EQ_HZ)))
    if synthesise:
        other = synthetic_noise(len(noise), generator)
        if kind_draw < 0.5:
            ratio_db = 20.0 * ratio_draw - 10.0
            own = np.sqrt(np.mean(np.square(noise)))
            other = noise + other * own * 10.0 ** (ratio_db / 20.0)
        noise = other
    if not np.any(noise):
        return mixture.noisy, mixture.clean
    peak = float(np.abs(mixture.clean).max(initial=0.0))
    noisy, _, gain_db = add_noise(mixture.speech, noise, snr_db=mixture.snr_db, level=level, peak=peak)
    return noisy, (mixture.clean * 10.0 ** (gain_db / 20.0)).astype(np.float32)


def at_speed(noise: np.ndarray, speed: float) -> np.ndarray:
    """Return noise (S,) at a multiple of its speed, its pitch with it, begun again where it ends too soon, (S,)."""
    return np.resize(resample(noise, round(SAMPLE_RATE * speed), SAMPLE_RATE), len(noise)).astype(np.float64)


def recorded(
    noisy: np.ndarray, clean: np.ndarray, variation: Variation, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy speech as a worse recorder leaves it, and the clean reference at its level and in its band."""
    level_draw, band_draw, band_kind, clip_draw, over_draw, codec_draw, codec_kind = generator.uniform(size=7)
    if variation.level_db is not None:
        low, high = variation.level_db
        gain_db = low + level_draw * (high - low)
        noisy, clean = with_gain(noisy, gain_db), with_gain(clean, gain_db)
    if band_draw < variation.band_share:
        taps = telephone_filter() if band_kind < 0.5 else low_pass(_cut_hz(2.0 * band_kind - 1.0))
        noisy, clean = _filtered(noisy, taps), _filtered(clean, taps)
    if clip_draw < variation.clip_share:
        noisy = clipped(noisy, MOST_CLIPPED_DB * over_draw)
    if codec_draw < variation.codec_share and (codecs := offered_codecs()):
        codec = codecs[int(codec_kind * len(codecs))]
        noisy = through_codec(noisy, codec)
        if codec.rate < SAMPLE_RATE:
            narrow = resample(resample(clean, SAMPLE_RATE, codec.rate), codec.rate, SAMPLE_RATE)[: len(clean)]
            clean = np.pad(narrow, (0, len(clean) - len(narrow))).astype(np.float32)
        # What a codec cuts off no mask brings back: to ask for it would teach to make what is left there louder.
        if codec.upper_hz is not None:
            clean = _filtered(clean, low_pass(codec.upper_hz))
    return noisy, clean


@lru_cache
def low_pass(cut_hz: int) -> np.ndarray:
    """Return the taps of a low-pass filter at 16 kHz, (129,), linear phase."""
    return firwin(129, cut_hz, fs=SAMPLE_RATE)


def _cut_hz(draw: float) -> int:
    low, high = LOW_PASS_HZ
    return low + 250 * int(draw * ((high - low) // 250 + 1))


def _filtered(samples: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Return samples (S,) through a filter of linear phase, its delay taken out, float32, (S,)."""
    delay = len(taps) // 2
    return oaconvolve(samples.astype(np.float64), taps)[delay : delay + len(samples)].astype(np.float32)
