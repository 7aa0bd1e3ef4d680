"""`sertool enhance --microphone`: blocks in, enhanced blocks out, with a sound card that only pretends."""

import builtins
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from sertool.cli import microphone
from sertool.core.errors import InputError
from sertool.core.models.recognizer import Recognizer


class Halving:
    """Halves the signal, one block late, and remembers how it was cut."""

    def __init__(self) -> None:
        self.waiting, self.sizes = np.zeros(0, np.float32), []

    def push(self, samples: np.ndarray) -> np.ndarray:
        assert samples.ndim == 1 and samples.dtype == np.float32
        self.sizes.append(len(samples))
        out, self.waiting = self.waiting, 0.5 * samples
        return out

    def flush(self) -> np.ndarray:
        return self.waiting


class Card:
    """A sound card: a signal comes in, what goes out is kept; Ctrl-C is pressed where the signal ends."""

    def __init__(self, signal: np.ndarray, lost_at: tuple[int, ...] = ()) -> None:
        self.signal, self.place, self.played, self.lost_at = signal, 0, [], lost_at

    def read(self, frames: int) -> tuple[np.ndarray, bool]:
        if self.place >= len(self.signal):
            raise KeyboardInterrupt
        block = self.signal[self.place : self.place + frames, None]
        self.place += frames
        return block, self.place in self.lost_at

    def write(self, data: np.ndarray) -> bool:
        assert data.dtype == np.float32 and data.ndim == 2 and data.shape[1] == 1 and data.flags.c_contiguous
        self.played.append(data[:, 0])
        return False

    def __enter__(self) -> "Card":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def noise(length: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)


def test_all_that_is_heard_is_played_and_kept_in_order():
    card, kept, enhancing = Card(noise(2000)), [], Halving()
    assert microphone.enhance_live(enhancing, card, kept.append, samples=1000) == 0
    assert enhancing.sizes == [256, 256, 256, 232]  # not a sample more than was asked for
    for heard in (card.played, kept):
        np.testing.assert_array_equal(np.concatenate(heard), 0.5 * card.signal[:1000])


def test_lost_blocks_are_counted():
    card = Card(noise(2000), lost_at=(512, 768))
    assert microphone.enhance_live(Halving(), card, lambda samples: None, samples=1000) == 2


def test_nothing_is_late_before_anything_was_played():
    card = Card(noise(2000))
    card.write = lambda data: card.played.append(data[:, 0]) or len(card.played) in (1, 3)
    assert microphone.enhance_live(Halving(), card, lambda samples: None, samples=1500) == 1


def test_ctrl_c_leaves_out_nothing_that_was_heard():
    card, kept = Card(noise(700)), []
    with pytest.raises(KeyboardInterrupt):
        microphone.enhance_live(Halving(), card, kept.append, samples=None)
    np.testing.assert_array_equal(np.concatenate(kept), 0.5 * card.signal)


class PortAudioError(Exception):
    """As sounddevice has it."""


@pytest.fixture
def sound(monkeypatch):
    """Pretend that sounddevice is installed, with a card of ours; and that a model which halves has been found."""
    module = ModuleType("sounddevice")
    module.PortAudioError, module.opened = PortAudioError, []

    def connect(card: Card | Exception) -> ModuleType:
        def stream(**how: object) -> Card:
            module.opened.append(how)
            if isinstance(card, Exception):
                raise card
            return card

        module.Stream = stream
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        return module

    return connect


@pytest.fixture
def halving(monkeypatch) -> None:
    monkeypatch.setattr(Recognizer, "stream", lambda recognizer: Halving())


def test_a_minute_at_the_microphone(sertool, run, sound, halving):
    card = Card(noise(20_000))
    module = sound(card)
    result = sertool("enhance", "--microphone", "--seconds", 1, "-o", "heard.wav", "--model", run)
    assert (result.exit_code, result.stdout) == (0, "heard.wav\n"), result.stderr
    assert "headphones on; for 1 s" in result.stderr and "lost" not in result.stderr
    samples, rate = soundfile.read("heard.wav", dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, 0.5 * card.signal[:16_000])
    np.testing.assert_array_equal(np.concatenate(card.played), samples)
    (how,) = module.opened
    assert (how["samplerate"], how["channels"], how["dtype"]) == (16_000, 1, "float32")


class Unplugged(Card):
    """A card that is gone where its signal ends."""

    def read(self, frames: int) -> tuple[np.ndarray, bool]:
        if self.place >= len(self.signal):
            raise PortAudioError("Device unavailable")
        return super().read(frames)


def test_a_microphone_that_is_gone_leaves_what_was_heard(sertool, run, sound, halving):
    card = Unplugged(noise(5120))
    sound(card)
    result = sertool("enhance", "--microphone", "-o", "heard.wav", "--model", run)
    assert (result.exit_code, result.stdout) == (2, "")
    _, kept, error = result.stderr.splitlines()
    assert kept == "heard.wav holds what was heard until then" and "(Device unavailable)" in error
    np.testing.assert_array_equal(soundfile.read("heard.wav", dtype="float32")[0], 0.5 * card.signal)


def test_without_a_microphone_no_file_is_left(sertool, run, sound, halving, assert_one_line):
    sound(PortAudioError("no default device"))
    assert_one_line(sertool("enhance", "--microphone", "-o", "heard.wav", "--model", run), "(no default device)")
    assert not Path("heard.wav").exists()


@pytest.mark.parametrize("output", [(), ("-o", "heard.flac")])
def test_ctrl_c_ends_it_and_the_file_is_whole(sertool, run, sound, halving, output):
    sound(Card(noise(5000), lost_at=(512,)))
    result = sertool("enhance", "--microphone", "--model", run, *output)
    assert result.exit_code == 130 and result.stdout == ""
    listening, interrupted = result.stderr.splitlines()
    assert "Ctrl-C ends it" in listening and interrupted.startswith("error: interrupted: ")
    assert [path.name for path in Path().glob("heard*")] == list(output[1:])
    if output:
        assert "heard.flac holds what was heard" in interrupted and soundfile.info("heard.flac").frames == 5000


def test_what_was_lost_is_told(sertool, run, sound, halving):
    sound(Card(noise(9000), lost_at=(512, 1024)))
    result = sertool("enhance", "--microphone", "--seconds", 0.5, "--model", run)
    assert result.exit_code == 0 and "warning: 2 blocks were lost" in result.stderr


def test_no_microphone_is_one_line(sertool, run, sound, halving):
    sound(PortAudioError("Error querying device -1", -9996))
    result = sertool("enhance", "--microphone", "--model", run)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "no sound at 16000 Hz (Error querying device -1)" in result.stderr and "connect them" in result.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [(ImportError("no"), "pip install 'sertool[live]'"), (OSError("PortAudio library not found"), "libportaudio2")],
)
def test_what_is_not_installed_is_named(sertool, run, monkeypatch, assert_one_line, error, words):
    original = builtins.__import__

    def refuse(name, *rest, **how):
        if name == "sounddevice":
            raise error
        return original(name, *rest, **how)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert_one_line(sertool("enhance", "--microphone", "--model", run), words)


def test_a_model_that_needs_what_comes_after_cannot_be_used_live(sertool, run, sound, assert_one_line):
    sound(Card(noise(1000)))
    assert_one_line(sertool("enhance", "--microphone", "--model", run), "causal")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "out"], "out: cannot keep what is heard; expected a file"),
        (["-o", "-"], "cannot keep"),
        (["--seconds", "inf"], "--seconds"),
        (["-o", "there.wav"], "there.wav: exists already"),
        (["noisy.wav"], "noisy.wav beside --microphone"),
        (["--dry", "0.5"], "--dry, --upper-band and --json are for files"),
        (["--json"], "are for files"),
        (["--skip-existing"], "--skip-existing is for files"),
        (["--workers", "2"], "--workers is for files"),
    ],
)
def test_calls_that_make_no_sense(sertool, run, sound, arguments, words, assert_one_line):
    Path("there.wav").touch()
    sound(Card(noise(1000)))
    assert_one_line(sertool("enhance", "--microphone", *arguments, "--model", run), words)


def test_a_file_is_never_replaced_unasked():
    with pytest.raises(InputError, match=r"name one with -o"):
        microphone.expect_file("a.mp3", overwrite=True)
