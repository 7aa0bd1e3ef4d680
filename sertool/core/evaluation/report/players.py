"""Sound inside the page: short clips as data, small enough to be sent by mail."""

import base64
import io

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.evaluation.report.markup import Html, tag

LONGEST_S = 8.0
"""Seconds that are shown and played of an utterance."""

PEAK = 0.98
"""The loudest sample a player gets; louder clips of one utterance are all turned down alike."""


def cap(samples: np.ndarray) -> np.ndarray:
    """Return the first seconds of an utterance (S,), see `LONGEST_S`."""
    return np.asarray(samples, dtype=np.float32)[: int(LONGEST_S * SAMPLE_RATE)]


def common_gain(signals: list[np.ndarray]) -> float:
    """Return the factor, at most 1, by which none of the signals clips: the same for all, so that they compare."""
    peak = max((float(np.abs(signal).max()) for signal in signals if len(signal)), default=0.0)
    return min(1.0, PEAK / peak) if peak > 0 else 1.0


def player(samples: np.ndarray, name: str) -> Html:
    """Return an element that plays samples (S,) at 16 kHz, called by a name for who cannot see it."""
    kind, data = encode(samples)
    source = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return tag("audio", controls=True, preload="metadata", src=source, aria_label=name)


def encode(samples: np.ndarray) -> tuple[str, bytes]:
    """Return the media type and the bytes of samples (S,) at 16 kHz.

    MP3, which every browser plays, where the installed libsndfile writes it; else FLAC, without loss and larger.
    """
    import soundfile

    if "MP3" in soundfile.available_formats():
        return "audio/mpeg", _written(samples, format="MP3", subtype="MPEG_LAYER_III")
    return "audio/flac", _written(samples, format="FLAC", subtype="PCM_16")


def _written(samples: np.ndarray, **how: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), SAMPLE_RATE, **how)
    return buffer.getvalue()
