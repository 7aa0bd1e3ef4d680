"""Stretches of noise: recordings read once a process, cut or looped without a click, and told from silence."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE, read_audio

CROSSFADE_S = 0.02
"""Length of the crossfade where a looped recording starts again, in seconds."""

SILENCE_DBFS = -70.0
"""A stretch of noise below this power (dB re a full-scale square wave) is silent."""

SILENCE_BELOW_RECORDING_DB = 20.0
"""So is one that lies this far below the mean power of its recording: scaled up, it would be hiss or a click."""

CACHE_BYTES = 512 * 2**20
"""Samples of noise a process keeps in memory; what was not heard for longest is forgotten first."""


@dataclass(frozen=True)
class Recording:
    """A recording of noise in memory.

    Attributes:
        samples: float32 at 16 kHz, shape (N,), not to be written to.
        power: mean square of the samples.
    """

    samples: np.ndarray
    power: float


class RecordingCache:
    """Recordings read before, by path and content, up to a number of bytes."""

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._held: OrderedDict[tuple[Path, str], Recording] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Path, digest: str) -> Recording:
        """Return a recording, from memory where it is held; the newest is held even if it alone is too large."""
        key = (path, digest)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        samples = read_audio(path)
        samples.flags.writeable = False
        recording = Recording(samples=samples, power=_power(samples))
        with self._lock:
            if key not in self._held:
                self._held[key] = recording
                self.held_bytes += samples.nbytes
            while self.held_bytes > self.most_bytes and len(self._held) > 1:
                _, forgotten = self._held.popitem(last=False)
                self.held_bytes -= forgotten.samples.nbytes
        return recording


_CACHE = RecordingCache(CACHE_BYTES)


def read_recording(path: Path, digest: str) -> Recording:
    """Return a recording of noise at 16 kHz, from this process's memory where it was read before.

    Args:
        path: the file.
        digest: of its content, so that a file that was replaced is read again.

    Raises:
        AudioError: the file cannot be read.
    """
    return _CACHE.read(path, digest)


def loop_samples(num_samples: int) -> int:
    """Return the period, in samples, with which a recording of so many samples repeats when it is looped."""
    return num_samples - _crossfade_samples(num_samples)


def noise_stretch(recording: np.ndarray, offset: int, num_samples: int) -> np.ndarray:
    """Cut a stretch of noise out of a recording, going round where it is too short.

    A stretch that fits in is cut as it is. Otherwise the recording's last 20 ms are crossfaded with its first 20 ms at
    equal power, each time round, so that no seam clicks; the loop is that much shorter than the recording.

    Args:
        recording: samples at 16 kHz, shape (N,).
        offset: sample the stretch begins on, from 0 to `loop_samples(N)` - 1.
        num_samples: length of the stretch, S.

    Returns:
        The stretch, float32, shape (S,).

    Raises:
        ValueError: the offset lies outside the loop.
    """
    period = loop_samples(len(recording))
    if not 0 <= offset < period:
        raise ValueError(f"offset {offset} is outside a loop of {period} samples: draw it with draw_noise")
    if offset + num_samples <= len(recording):
        return recording[offset : offset + num_samples]
    fade = len(recording) - period
    angle = (np.arange(fade) + 0.5) / max(fade, 1) * (np.pi / 2)
    seam = recording[period:] * np.cos(angle) + recording[:fade] * np.sin(angle)
    loop = np.concatenate([seam, recording[fade:period]]).astype(np.float32)  # (period,)
    first = recording[offset:period]
    times = -(-(num_samples - len(first)) // period)
    return np.concatenate([first, np.tile(loop, times)])[:num_samples]


def is_audible(stretch: np.ndarray, recording: Recording) -> bool:
    """Return whether a stretch of a recording, shape (S,), can be heard and is worth scaling to an SNR."""
    floor = 10.0 ** (SILENCE_DBFS / 10.0)
    return _power(stretch) >= max(floor, recording.power * 10.0 ** (-SILENCE_BELOW_RECORDING_DB / 10.0))


def _crossfade_samples(num_samples: int) -> int:
    # A recording shorter than two crossfades still keeps half of its own length as a loop.
    return min(round(CROSSFADE_S * SAMPLE_RATE), num_samples // 2)


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))
