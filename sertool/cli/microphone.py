"""`sertool enhance --microphone`: what the microphone hears, enhanced, on the headphones: a live try."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from sertool.cli import console
from sertool.cli.inputs import STDIN
from sertool.cli.outputs import refuse_losses
from sertool.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

BLOCK = 256
"""Samples taken from the microphone at once (ours): 16 ms, which a causal model answers with as many."""


class Enhancing(Protocol):
    """What enhances a signal (n,) at 16 kHz as it comes: an `EnhancementStream`."""

    def push(self, samples: "np.ndarray") -> "np.ndarray":
        """Take the next samples; return those that are enhanced by now."""

    def flush(self) -> "np.ndarray":
        """Return the enhanced samples that are still to come."""


class Duplex(Protocol):
    """A microphone and headphones at once: a `sounddevice.Stream`. Blocks are float32, (n, 1)."""

    def read(self, frames: int) -> tuple["np.ndarray", bool]:
        """Wait for so many samples; also say whether some were lost before them."""

    def write(self, data: "np.ndarray") -> bool:
        """Play samples; say whether there was a gap before them."""


def listen(output: str | None, *, model: str | None, device: str, seconds: float | None, overwrite: bool) -> None:
    """Enhance what the microphone hears, block by block, until the time is over or Ctrl-C.

    Args:
        output: a file to keep the enhanced speech in, .wav or .flac; None to keep nothing.
        model: a run; None for what is at hand.
        device: where the model computes.
        seconds: how long; None for until Ctrl-C.
        overwrite: replace the file if it exists.

    Raises:
        InputError: sounddevice or a microphone is missing, the model is not causal, or the file's place is taken.
    """
    expect_file(output, overwrite=overwrite)
    sounddevice = import_sounddevice()
    from sertool.core.audio.files import SAMPLE_RATE
    from sertool.core.models.inference import load
    from sertool.core.models.locate import find_model
    from sertool.core.models.streaming import LATENCY_MS

    enhancing = load(model or find_model(enhances=True), device).stream()
    left = None if seconds is None else round(seconds * SAMPLE_RATE)
    console.if_interrupted(f"{output} holds what was heard" if output else "run the same command to listen again")
    with _kept(output, SAMPLE_RATE) as keep, _opened(sounddevice, SAMPLE_RATE) as audio:
        ends = "Ctrl-C ends it" if seconds is None else f"for {seconds:g} s"
        console.note(f"listening, {LATENCY_MS:.0f} ms behind and what the sound card adds; headphones on; {ends}")
        lost = enhance_live(enhancing, audio, keep, samples=left)
    if lost:
        console.warn(
            f"{lost} blocks were lost or late: this computer is busy; end other programs, or take a smaller model"
        )
    if output:
        console.result(output)


def enhance_live(
    enhancing: Enhancing, audio: Duplex, keep: Callable[["np.ndarray"], None], *, samples: int | None
) -> int:
    """Enhance block by block from the microphone to the headphones; return how many blocks were lost or late.

    Args:
        enhancing: enhances.
        audio: microphone and headphones.
        keep: is given all that was enhanced, (n,) at a time. Ctrl-C leaves nothing out that had been heard before.
        samples: how many to hear; None for without end.
    """
    lost, playing = 0, False
    try:
        while samples is None or samples > 0:
            block, overflowed = audio.read(BLOCK if samples is None else min(BLOCK, samples))
            samples = None if samples is None else samples - len(block)
            enhanced = enhancing.push(block[:, 0])
            keep(enhanced)
            late = audio.write(enhanced[:, None]) if len(enhanced) else False
            # Before the first of it there was nothing to play, as the stream's latency wants it.
            lost += bool(overflowed or (late and playing))
            playing = playing or len(enhanced) > 0
    finally:
        rest = enhancing.flush()
        keep(rest)
    if len(rest):
        audio.write(rest[:, None])
    return lost


def import_sounddevice() -> ModuleType:
    """Return sounddevice; raise InputError where it, or the PortAudio library it needs, is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise InputError(
            "--microphone needs sounddevice, which is not installed: run `pip install 'sertool[live]'`"
        ) from error
    except OSError as error:
        raise InputError(
            f"sounddevice finds no PortAudio ({error}); expected this library: install it (Debian and Ubuntu: "
            "`apt install libportaudio2`)"
        ) from error
    return sounddevice


def expect_file(output: str | None, *, overwrite: bool) -> None:
    """Raise InputError where the enhanced speech cannot be kept."""
    if output is None:
        return
    if output == STDIN or Path(output).suffix.lower() not in (".wav", ".flac"):
        raise InputError(f"{output}: cannot keep what is heard; expected a file in .wav or .flac: name one with -o")
    refuse_losses([Path(output)], overwrite=overwrite)


@contextlib.contextmanager
def _opened(sounddevice: ModuleType, rate: int) -> Iterator[Duplex]:
    """Give the system's own microphone and headphones, opened; as one line what goes wrong with them."""
    try:
        with sounddevice.Stream(samplerate=rate, blocksize=BLOCK, channels=1, dtype="float32", latency="low") as audio:
            yield audio
    except sounddevice.PortAudioError as error:
        reason = str(error.args[0] if error.args else error)
        raise InputError(
            f"no sound at {rate} Hz ({reason}); expected a microphone and headphones: connect them, and choose them in "
            "the system's settings"
        ) from error


@contextlib.contextmanager
def _kept(output: str | None, rate: int) -> Iterator[Callable[["np.ndarray"], None]]:
    """Give what appends samples to a file, or what forgets them.

    The file holds them at the end, be it by Ctrl-C or because the microphone is gone.
    """
    if output is None:
        yield lambda samples: None
        return
    from sertool.core.audio.blocks import audio_writer

    ended, kept = None, 0
    with audio_writer(output, rate=rate, channels=1, frames=0) as write:

        def keep(samples: "np.ndarray") -> None:
            nonlocal kept
            write(samples)
            kept += len(samples)

        try:
            yield keep
        except (KeyboardInterrupt, InputError) as error:
            if isinstance(error, InputError) and not kept:
                raise  # before anything was heard: there is nothing to keep
            ended = error
    if isinstance(ended, InputError):
        console.note(f"{output} holds what was heard until then")
    if ended is not None:
        raise ended
