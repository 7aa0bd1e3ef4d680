"""Audio block by block: files read with every check, written under a temporary name, resampled as they come."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import soxr

from sertool.core.audio.headers import bytes_cut_off
from sertool.core.errors import AudioError
from sertool.core.writing import whole_file

READ_FRAMES = 65_536
"""Frames read at once: small beside what a model needs, large enough that reading costs nothing."""

WAV_LIMIT_BYTES = 0xFFFF_0000 - 4096
"""Longest audio a WAV holds, whose sizes have 32 bits and whose header needs some room; longer ones become RF64."""


LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
"""Rates audio may have, in Hz. A header may say anything: at 1 Hz, a second of samples would be hours of audio."""

MOST_CHANNELS = 128
"""Channels audio may have: more than any array of microphones, and blocks of 33 MB."""

LOUDEST = 1e10
"""Largest sample: some programs write floats at the scale of 32-bit integers, and the squares of these are finite."""

UNPACKED_BYTES, UNPACKED_RATIO = 256_000_000, 1000
"""A file may hold so many bytes of samples, or so many times its own size if that is more: in a lossless format a few
kilobytes can say one value a billion times. Speech is packed to a fiftieth at most."""

_UNKNOWN_FRAMES = 2**40  # libsndfile says 2**63 - 1 where a header does not tell, as in FLAC that was piped somewhere


class AudioSource(Protocol):
    """Audio that can be gone through from its beginning, more than once, block by block."""

    rate: int
    channels: int

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 blocks (frames, channels), in order, all of them finite numbers."""


class ArraySource:
    """Samples in memory as a source.

    Args:
        samples: shape (S,) or (S, channels).
        rate: in Hz.

    Raises:
        AudioError: there are no samples, or some are not finite numbers.
    """

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim not in (1, 2) or samples.size == 0:
            raise AudioError(
                f"samples have the shape {samples.shape}; expected (S,) or (S, channels), S at least 1: check the array"
            )
        if not np.isfinite(samples).all():
            raise AudioError("some samples are not numbers (NaN or infinite): mend them first")
        self.columns = samples.reshape(len(samples), -1)
        self.rate = rate
        self.channels = self.columns.shape[1]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield views of the samples."""
        for start in range(0, len(self.columns), READ_FRAMES):
            yield self.columns[start : start + READ_FRAMES]


# What soundfile raises of a file it cannot make sense of: besides its own errors, bare ones of wrong numbers.
_READING_ERRORS = (soundfile.SoundFileError, TypeError, ValueError, OverflowError)


class _Stream(soundfile.SoundFile):
    """A file that is read on and on, and not wound back after each block, which some cannot be."""

    def seekable(self) -> bool:
        return False


class _Unsynced(soundfile.SoundFile):
    """A file whose closing does not wait for the disk: libsndfile hands all to the system then, and `whole_file` brings
    to the disk what is to be there. Waiting for each of a thousand small files costs more than enhancing them."""

    def flush(self) -> None:
        pass


class FileSource:
    """A file as a source. What is wrong with it is noticed where it is read, and by every reader in the same words.

    Raises:
        AudioError: the file is missing, is not audio, is cut off before its header's end, or its header says what no
            recording is.

    Attributes:
        rate: in Hz.
        channels: number of them.
        announced: frames, as the header says; counted where it does not.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        try:
            with soundfile.SoundFile(existing_file(path)) as file:
                self.rate, self.channels, self.announced = file.samplerate, file.channels, file.frames
        except _READING_ERRORS as error:
            raise unreadable(path, error) from error
        self._check_header()
        try:
            missing_bytes = bytes_cut_off(path)
        except OSError as error:  # gone, or taken away, since it was opened
            raise AudioError(f"{path}: cannot be read ({error.strerror}): check the spelling and the rights") from error
        if missing_bytes:
            raise AudioError(
                f"{path}: is cut off, {missing_bytes} bytes its header announces are missing: copy the whole file again"
            )
        self._state = self._stat()
        if self.announced >= _UNKNOWN_FRAMES:
            self.announced = sum(len(block) for block in self.blocks())
        self._check_unpacked(self.announced)

    def _check_header(self) -> None:
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise AudioError(
                f"{self.path}: has a rate of {self.rate} Hz; expected {LOWEST_RATE} to {HIGHEST_RATE}: its header is "
                "wrong, export it again"
            )
        if self.channels > MOST_CHANNELS:
            raise AudioError(
                f"{self.path}: has {self.channels} channels; expected at most {MOST_CHANNELS}: export those you need"
            )

    def _check_unpacked(self, frames: int) -> None:
        size, _ = self._state
        if frames * self.channels * 4 > max(UNPACKED_BYTES, UNPACKED_RATIO * size):
            raise AudioError(
                f"{self.path}: unpacks to more than {UNPACKED_RATIO} times its {size} bytes; expected a recording, "
                "which cannot be packed like that: look what it is"
            )

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of the file.

        Raises:
            AudioError: the file ends before its header says, holds no samples, or some that are not finite numbers or
                beyond all measure, or has changed since it was opened first.
        """
        path, total = self.path, 0
        try:
            with _Stream(existing_file(path)) as file:
                while len(block := file.read(READ_FRAMES, dtype="float32", always_2d=True)):
                    total += len(block)
                    self._check_block(block, total)
                    yield block
        except _READING_ERRORS as error:
            raise unreadable(path, error) from error
        if self._stat() != self._state:
            raise AudioError(f"{path}: has changed while it was read; expected it to stay: wait until it is written")
        if total == 0:
            raise AudioError(f"{path}: holds no samples; expected at least one: record or export it again")
        if total < self.announced < _UNKNOWN_FRAMES:
            raise AudioError(
                f"{path}: ends after {total} of the {self.announced} samples it announces: copy the whole file again"
            )

    def _check_block(self, block: np.ndarray, total: int) -> None:
        loudest = np.abs(block).max(initial=0.0)
        if not np.isfinite(loudest):
            raise AudioError(
                f"{self.path}: holds samples that are not numbers (NaN or infinite): export it again as PCM"
            )
        if loudest > LOUDEST:
            raise AudioError(
                f"{self.path}: holds samples of up to {loudest:g}; expected about -1 to 1: export it again as PCM"
            )
        if self.announced >= _UNKNOWN_FRAMES:
            self._check_unpacked(total)
        elif total > self.announced:
            raise AudioError(
                f"{self.path}: holds more than the {self.announced} samples it announces: export it again"
            )

    def _stat(self) -> tuple[int, int]:
        state = os.stat(existing_file(self.path))
        return state.st_size, state.st_mtime_ns


class RateConverter:
    """Resample a stream of blocks (n, channels): bit for bit what resampling the whole gives (soxr, high quality)."""

    def __init__(self, rate: int, new_rate: int, channels: int) -> None:
        self._channels = channels
        same = rate == new_rate
        self._stream = None if same else soxr.ResampleStream(rate, new_rate, channels, dtype="float32", quality="HQ")

    def push(self, block: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Return the samples that follow from those given so far; with `last`, all that are still to come."""
        if self._stream is None:
            return block
        block = np.ascontiguousarray(block, dtype=np.float32)
        if self._channels == 1:
            return self._stream.resample_chunk(block[:, 0], last=last)[:, None]
        return self._stream.resample_chunk(block, last=last)

    def finish(self) -> np.ndarray:
        """Return what is still to come."""
        return self.push(np.zeros((0, self._channels), np.float32), last=True)


@contextlib.contextmanager
def audio_writer(
    path: Path | str, *, rate: int, channels: int, frames: int
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a file block by block, whole or not at all: 24-bit FLAC, or float WAV, by suffix.

    A WAV of more than 4 GiB is written as RF64 (EBU Tech 3306), its 64-bit form, under the same suffix.

    Args:
        path: where to write; `.flac` or `.wav`. Missing folders are made.
        rate: in Hz.
        channels: of every block.
        frames: how many there will be.

    Yields:
        What appends a block (n,) or (n, channels), nominally in [-1, 1]; FLAC clips what lies beyond, WAV keeps it.

    Raises:
        AudioError: the suffix is another one, or the format cannot hold such audio.
        OutputError: the file cannot be written, as on a full disk.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    subtypes = {".flac": "PCM_24", ".wav": "FLOAT"}
    if suffix not in subtypes:
        raise AudioError(f"{path}: cannot write '{path.suffix}' files; expected .wav or .flac: choose one of these")
    large = suffix == ".wav" and frames * channels * 4 > WAV_LIMIT_BYTES
    kind = "RF64" if large else suffix[1:].upper()

    with whole_file(path, durable=False) as partial:
        try:
            file = _Unsynced(native_name(partial), "w", rate, channels, subtypes[suffix], format=kind)
        except soundfile.SoundFileError as error:
            raise _failure(error, partial, path) from error
        total = 0

        def write(block: np.ndarray) -> None:
            nonlocal total
            try:
                file.write(block)
            except (soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all was taken
                raise _failure(error, partial, path) from error
            total += len(block)

        with file:
            yield write
        try:
            _check_end(partial, total)
        except soundfile.SoundFileError as error:
            raise _failure(error, partial, path) from error
        if suffix == ".wav":
            _undate(partial)


def _check_end(partial: Path, total: int) -> None:
    """Read the last sample back: libsndfile closes a FLAC file whose last block found no room without a word."""
    with soundfile.SoundFile(native_name(partial)) as file:
        file.seek(max(0, total - 1))
        if total and len(file.read(1)) != 1:
            raise soundfile.SoundFileRuntimeError("its end is missing")


def _failure(error: Exception, partial: Path, path: Path) -> Exception:
    """Return why a file could not be written: libsndfile does not say, but who writes more to it learns."""
    try:
        with open(partial, "ab") as file:
            file.write(bytes(1 << 16))
    except OSError as reason:
        return reason
    return AudioError(f"{path}: cannot be written ({error}): check the rate and the channels")


def _undate(path: Path) -> None:
    """Take out the date libsndfile writes to a WAV's PEAK chunk: the same samples are to be the same bytes."""
    with open(path, "r+b") as file:
        file.seek(12)
        while len(header := file.read(8)) == 8 and header[:4] != b"data":
            if header[:4] == b"PEAK":
                file.seek(4, os.SEEK_CUR)  # its version
                file.write(bytes(4))
                return
            file.seek(int.from_bytes(header[4:], "little"), os.SEEK_CUR)


def existing_file(path: Path | str) -> str | bytes:
    """Return the path of a file that is there, as libsndfile takes it.

    Raises:
        AudioError: it is a folder, nothing, empty, or a pipe or a device, which might never end.
    """
    path = Path(path)
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError(f"{path}: no such file: check the spelling and the folder") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{path}: cannot be read ({reason}): check the spelling and the rights") from error
    if stat.S_ISDIR(state.st_mode):
        raise AudioError(f"{path}: is a folder; expected an audio file: name a file in it")
    if not stat.S_ISREG(state.st_mode):
        raise AudioError(f"{path}: is a pipe or a device; expected a file: save it first, or pipe it in as -")
    if state.st_size == 0:
        raise unreadable(path, "it is empty")
    return native_name(path)


def native_name(path: Path | str) -> str | bytes:
    """Return a file's name as soundfile takes it: as its bytes, since it refuses text where some are no characters."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def unreadable(path: Path | str, error: Exception | str) -> AudioError:
    """Return the error of a file libsndfile cannot read."""
    reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".")
    return AudioError(
        f"{path}: cannot be read as audio ({reason}); expected WAV, FLAC, Ogg, Opus or MP3: convert it first"
    )
