"""Audio files: read as float32, resampled to the rate the models hear; written whole or not at all."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from sertool.core.audio.blocks import FileSource, audio_writer

SAMPLE_RATE = 16_000
"""The rate every model of sertool hears, in Hz."""

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".w64", ".rf64"})
"""Suffixes taken for audio when a folder is searched."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: frames per channel, rate in Hz, channels."""

    frames: int
    rate: int
    channels: int

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.frames / self.rate


def audio_info(path: Path | str) -> AudioInfo:
    """Return what the header of an audio file says, without decoding it.

    Raises:
        AudioError: the file is missing, its header cannot be read, or says what no recording is.
    """
    source = FileSource(path)
    return AudioInfo(frames=source.announced, rate=source.rate, channels=source.channels)


def read_audio_native(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a file as it is: all channels, at its own rate.

    Returns:
        Samples, float32, shape (S, channels), nominally in [-1, 1]; and the rate in Hz.

    Raises:
        AudioError: the file is missing, is not audio, is cut off before its header's end, holds no samples, or holds
            samples that are not finite numbers.
    """
    source = FileSource(path)
    samples, start = np.empty((source.announced, source.channels), np.float32), 0
    for block in source.blocks():
        samples[start : start + len(block)] = block
        start += len(block)
    return samples, source.rate


def read_audio(path: Path | str, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read a file as one channel at the rate asked for.

    Channels are averaged, then resampled.

    Args:
        path: any file libsndfile reads.
        sample_rate: rate to return, in Hz.

    Returns:
        Samples, float32, shape (S,).

    Raises:
        AudioError: as `read_audio_native`.
    """
    samples, rate = read_audio_native(path)
    return resample(samples.mean(axis=1), rate, sample_rate)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Return samples (S,) or (S, channels) at another rate, float32 (soxr, high quality; at least one sample)."""
    if rate == new_rate:
        return samples.astype(np.float32, copy=False)
    resampled = soxr.resample(samples.astype(np.float32, copy=False), rate, new_rate, quality="HQ")
    if len(resampled) == 0:
        # A file of a sample or two rounds to nothing at a lower rate; it still is an utterance.
        return samples[:1].astype(np.float32, copy=False)
    return resampled


def write_audio(path: Path | str, samples: np.ndarray, rate: int) -> None:
    """Write samples to a new file under a temporary name, then rename it: 24-bit FLAC, or float WAV, by suffix.

    Args:
        path: where to write; `.flac` or `.wav`.
        samples: shape (S,) or (S, channels), nominally in [-1, 1]; FLAC clips what lies beyond, float WAV keeps it.
        rate: in Hz.

    Raises:
        AudioError: the suffix is another one, or libsndfile takes no such rate or so many channels.
        OutputError: the file cannot be written.
    """
    samples = np.asarray(samples)
    channels = samples.shape[1] if samples.ndim == 2 else 1
    with audio_writer(path, rate=rate, channels=channels, frames=len(samples)) as write:
        write(samples)


def audio_digest(path: Path | str) -> str:
    """Return a digest of the decoded samples, so that a copy in another lossless format counts as the same audio.

    The samples are rounded to 16 bits, at the file's own rate, channels interleaved. 128 bits of SHA-256 in hex.

    Raises:
        AudioError: as `read_audio_native`.
    """
    samples, _ = read_audio_native(path)
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
    return hashlib.sha256(pcm.tobytes()).hexdigest()[:32]


def find_audio(folder: Path | str) -> list[Path]:
    """Return the audio files beneath a folder, by suffix, sorted; hidden files and folders are left out.

    A folder that is gone before it has been looked into holds none: others may be at work there.
    """
    paths = []
    # Path.rglob raises an error of a folder that vanishes meanwhile.
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
