"""Audio files: read as float32, resampled to the rate the models hear; written whole or not at all."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sertool.core.errors import AudioError

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
        AudioError: the file is missing or its header cannot be read.
    """
    try:
        with soundfile.SoundFile(_existing(path)) as file:
            return AudioInfo(frames=file.frames, rate=file.samplerate, channels=file.channels)
    except (soundfile.SoundFileError, TypeError) as error:
        raise _unreadable(path, error) from error


def read_audio_native(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a file as it is: all channels, at its own rate.

    Returns:
        Samples, float32, shape (S, channels), nominally in [-1, 1]; and the rate in Hz.

    Raises:
        AudioError: the file is missing, is not audio, is cut off before its header's end, holds no samples, or holds
            samples that are not finite numbers.
    """
    try:
        with soundfile.SoundFile(_existing(path)) as file:
            rate, announced = file.samplerate, file.frames
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError) as error:
        raise _unreadable(path, error) from error
    missing_bytes = _bytes_cut_off(path)
    if missing_bytes:
        raise AudioError(
            f"{path}: is cut off, {missing_bytes} bytes its header announces are missing: copy the whole file again"
        )
    if len(samples) == 0:
        raise AudioError(f"{path}: holds no samples; expected at least one: record or export it again")
    if len(samples) < announced:
        raise AudioError(
            f"{path}: ends after {len(samples)} of the {announced} samples it announces: copy the whole file again"
        )
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds samples that are not numbers (NaN or infinite): export it again as PCM")
    return samples, rate


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
        AudioError: the suffix is another one.
        OSError: the file cannot be written.
    """
    path = Path(path)
    subtypes = {".flac": "PCM_24", ".wav": "FLOAT"}
    if path.suffix.lower() not in subtypes:
        raise AudioError(f"{path}: cannot write '{path.suffix}' files; expected .wav or .flac: choose one of these")
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        soundfile.write(partial, samples, rate, subtype=subtypes[path.suffix.lower()])
        partial.replace(path)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{path}: cannot be written ({error}): check the folder, the disk's free space and the rate"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


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
    """Return the audio files beneath a folder, by suffix, sorted; hidden files are left out."""
    return sorted(
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _existing(path: Path | str) -> str:
    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path}: is a folder; expected an audio file: name a file in it")
    if not path.exists():
        raise AudioError(f"{path}: no such file: check the spelling and the folder")
    return str(path)


def _bytes_cut_off(path: Path | str) -> int:
    """Return how many bytes of samples a WAV or AIFF file announces beyond its end.

    libsndfile reads such a file without complaint as if it were shorter, so its header is read here. A size of about
    2 or 4 GiB is what programs write that stream to a pipe and cannot know the length: it announces nothing.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        form = file.read(12)
        order = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big"}.get(form[:4])
        if order is None or form[8:] not in (b"WAVE", b"AIFF", b"AIFC"):
            return 0
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[4:], order)
            if header[:4] in (b"data", b"SSND"):
                return max(0, file.tell() + length - size) if length < 0x7FFF_0000 else 0
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _unreadable(path: Path | str, error: Exception) -> AudioError:
    reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".")
    return AudioError(
        f"{path}: cannot be read as audio ({reason}); expected WAV, FLAC, Ogg, Opus or MP3: convert it first"
    )
