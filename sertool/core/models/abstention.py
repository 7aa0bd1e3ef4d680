"""Abstention: no emotion is named where nobody speaks, in silence or in noise alone.

Ours, chosen on the dev speakers of RAVDESS in the dev part of the seen noises; `examples/abstention.py` measures it
and the other scores it was chosen from. The enhancement head of a shared model detects speech at no further cost: it
keeps what it takes for speech and damps the rest. In the half second it hears best, speech at 0 dB loses about 1 dB and
speech at -5 dB about 3; noise on its own mostly loses 6 dB and more in every half second. Half seconds, not the whole
recording, are looked at, so that a word in a long recording of noise is not lost.

What it cannot do: a model without enhancement head finds silence only. Babble is speech and taken for speech, and so is
about half of the music, the barks and the bangs; some speech at -5 dB, and more below, is taken for noise. A threshold
for one model is none for another, since a head that damps less keeps more: it is a setting of the model.
"""

from dataclasses import dataclass

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.corpus.noise_stretch import SILENCE_DBFS
from sertool.core.models.config import SPEECH_KEPT_DB as SPEECH_KEPT_DB

LOUD_DB = 30.0
"""How far below the loudest half second, in dB, another may lie to be looked at: what a head does with near-silence
says nothing. Speech that much quieter than a bang in the same recording is lost."""

STRETCH_S = 4.0
"""Seconds that are looked at first of an utterance, the loudest: mostly there is speech in them, and that will do."""

WINDOW_S, HOP_S = 0.5, 0.01
"""The half seconds begin every 10 ms; a shorter recording is looked at as a whole."""

LOWEST_DB = -100.0
"""What a score is never below, so that silence has one too."""

SILENCE_ONLY = "silence only"
NOISE_ONLY = "noise only, no speech was found in it"


@dataclass(frozen=True)
class SpeechPresence:
    """Whether there is speech in a recording, and how much speaks for it.

    Attributes:
        level_db: mean power of the loudest half second, in dB re a full-scale square wave, at least -100.
        kept_db: the largest share of the energy that the enhancement head keeps in a half second, in dB, at least -100;
            None in silence, and where a model has no such head.
        score: more means more likely speech: `kept_db` where the model has an enhancement head (-100 in silence), else
            `level_db`. Scores of the two kinds are not to be compared.
        reason: why no emotion should be named, `SILENCE_ONLY` or `NOISE_ONLY`; None where there is speech.
    """

    level_db: float
    kept_db: float | None
    score: float
    reason: str | None


def speech_presence(
    samples: np.ndarray,
    enhanced: np.ndarray | None = None,
    rate: int = SAMPLE_RATE,
    *,
    threshold_db: float = SPEECH_KEPT_DB,
) -> SpeechPresence:
    """Return whether there is speech in a recording.

    Silence is what lies below -70 dB re full scale in every half second, a constant offset not counted: about ten steps
    of 16-bit audio, and the level below which noise counts as silent when it is mixed.

    Args:
        samples: what the model hears, shape (S,), nominally in [-1, 1].
        enhanced: the same as its enhancement head gives it back, shape (S,); None where it has none.
        rate: of both, in Hz.
        threshold_db: the least share of the energy that is kept of speech, in dB; see `SharedConfig.speech_kept_db`.

    Raises:
        ValueError: the shapes differ or are not (S,), there are no samples, or some are not finite.
    """
    power = _half_second_powers(samples, rate)  # (W,)
    level_db = _decibels(power.max())
    if level_db < SILENCE_DBFS:
        score = level_db if enhanced is None else LOWEST_DB
        return SpeechPresence(level_db=level_db, kept_db=None, score=score, reason=SILENCE_ONLY)
    if enhanced is None:
        return SpeechPresence(level_db=level_db, kept_db=None, score=level_db, reason=None)
    if np.shape(enhanced) != np.shape(samples):
        raise ValueError(f"{np.shape(samples)} samples but {np.shape(enhanced)} enhanced: give the same recording")
    loud = power >= power.max() * 10.0 ** (-LOUD_DB / 10.0)
    kept_db = _decibels((_half_second_powers(enhanced, rate)[loud] / power[loud]).max())
    reason = NOISE_ONLY if kept_db < threshold_db else None
    return SpeechPresence(level_db=level_db, kept_db=kept_db, score=kept_db, reason=reason)


def no_speech(samples: np.ndarray, enhanced: np.ndarray | None = None, rate: int = SAMPLE_RATE) -> str | None:
    """Return why no emotion should be named in a recording, in words; None where there is speech in it.

    Args:
        samples: as in `speech_presence`.
        enhanced: as in `speech_presence`.
        rate: as in `speech_presence`.
    """
    return speech_presence(samples, enhanced, rate).reason


def loudest_stretch(samples: np.ndarray) -> np.ndarray:
    """Return the `STRETCH_S` seconds in the middle of which lies the loudest half second of a signal (S,) at 16 kHz."""
    length = round(STRETCH_S * SAMPLE_RATE)
    if len(samples) <= length:
        return samples
    middle = round((int(_half_second_powers(samples, SAMPLE_RATE).argmax()) * HOP_S + WINDOW_S / 2) * SAMPLE_RATE)
    start = min(max(middle - length // 2, 0), len(samples) - length)
    return samples[start : start + length]


def _half_second_powers(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the mean power of every half second of a signal (S,), its mean taken off, float64, (W,)."""
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"samples {samples.shape} are not finite numbers of one channel (S,), S > 0: check the input")
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples - samples.mean()))])
    size = min(round(WINDOW_S * rate), len(samples))
    starts = np.arange(0, len(samples) - size + 1, max(round(HOP_S * rate), 1))
    return (energy[starts + size] - energy[starts]) / size


def _decibels(power: float) -> float:
    return float(10.0 * np.log10(max(power, 10.0 ** (LOWEST_DB / 10.0))))
