"""`sertool enhance --watch`: what comes is enhanced, what cannot be is one line, and Ctrl-C ends it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core import watching
from sertool.core.models.inference import load


class Clock:
    """Time that passes only while the watch rests; after the last event, and time to answer it, Ctrl-C is pressed."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self.now, self.events = 0.0, list(events)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        before, self.now = self.now, self.now + seconds
        if before // 5 == self.now // 5:
            return
        if not self.events:
            raise KeyboardInterrupt
        self.events.pop(0)()


def write(name: str, seed: int = 0) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(3000 + seed), 16_000, subtype="PCM_16")


@pytest.fixture
def watch(sertool, run, monkeypatch, tmp_path):
    """Watch `in/` while something happens in it every five seconds."""
    (tmp_path / "in").mkdir()

    def call(*events: Callable[[], object], options: tuple[object, ...] = ()):
        monkeypatch.setattr(watching, "time", Clock(*events))
        return sertool("enhance", "--watch", "in", "--model", run, *options)

    return call


def ended(result, *failures: str) -> bool:
    """Whether stderr says that the watch began, what failed, and that Ctrl-C ended it."""
    begin, *middle, end = result.stderr.splitlines()
    said = [any(line.startswith("failed: ") and words in line for line in middle) for words in failures]
    interrupted = end.startswith("error: interrupted: what is written is whole")
    return result.exit_code == 130 and "watching in" in begin and interrupted and len(middle) == len(said) and all(said)


def test_what_comes_is_enhanced_beside_its_input(watch, run):
    write("in/there.wav")
    result = watch(lambda: write("in/a.wav"), lambda: [write("in/deep/b.flac"), write("in/other.enhanced.wav")])
    assert ended(result), result.stderr
    # Neither what was there at the start, nor outputs, own ones and another process's, that come into the same folder.
    assert result.stdout.splitlines() == ["in/a.enhanced.wav", "in/deep/b.enhanced.flac"]
    assert sorted(path.name for path in Path("in").iterdir()) == [
        *("a.enhanced.wav", "a.wav", "deep", "other.enhanced.wav", "there.wav")
    ]
    samples, _ = soundfile.read("in/a.wav", dtype="float32")
    written, _ = soundfile.read("in/a.enhanced.wav", dtype="float32")
    np.testing.assert_array_equal(written, load(run).enhance(samples, 16_000))


@pytest.mark.parametrize("out", ["out", "in/out"])
def test_outputs_go_where_they_are_told_and_are_no_inputs(watch, out):
    result = watch(
        *(lambda: write("in/deep/a.ogg.wav"), lambda: None, lambda: write("in/b.wav")), options=("-o", out, "--json")
    )
    assert ended(result), result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["output"] for record in records] == [f"{out}/deep/a.ogg.wav", f"{out}/b.wav"]
    assert [record["file"] for record in records] == ["in/deep/a.ogg.wav", "in/b.wav"]


def test_bad_files_cost_a_line_each_and_may_come_again(watch):
    result = watch(
        lambda: Path("in/bad.wav").write_text("no audio"), lambda: write("in/good.wav"), lambda: write("in/bad.wav", 1)
    )
    assert ended(result, "in/bad.wav: cannot be read"), result.stderr
    assert result.stdout.splitlines() == ["in/good.enhanced.wav", "in/bad.enhanced.wav"]


def test_outputs_of_others_stay_and_own_ones_follow_their_input(watch):
    write("in/a.enhanced.wav", 5)
    before = Path("in/a.enhanced.wav").read_bytes()
    result = watch(lambda: write("in/a.wav"), lambda: write("in/b.wav", 1), lambda: write("in/b.wav", 2))
    assert ended(result, "in/a.wav: its output in/a.enhanced.wav exists already"), result.stderr
    assert Path("in/a.enhanced.wav").read_bytes() == before
    assert result.stdout.splitlines() == ["in/b.enhanced.wav"] * 2
    assert soundfile.info("in/b.enhanced.wav").frames == 3002
    assert watch(lambda: write("in/a.wav", 3), options=("--overwrite",)).stdout == "in/a.enhanced.wav\n"


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_two_inputs_never_share_an_output(watch, options):
    result = watch(lambda: write("in/a.wav", 1), lambda: write("in/a.aiff", 2), options=options)
    words = "in/a.aiff: its output in/a.enhanced.wav is that of in/a.wav: rename"
    assert ended(result, words), result.stderr
    assert result.stdout == "in/a.enhanced.wav\n" and soundfile.info("in/a.enhanced.wav").frames == 3001


def test_what_came_is_never_replaced(watch):
    result = watch(lambda: write("in/b/a.wav", 1), lambda: write("in/a.wav"), options=("-o", "in/b", "--overwrite"))
    assert ended(result, "in/a.wav: its output in/b/a.wav is an input itself"), result.stderr
    assert result.stdout == "in/b/b/a.wav\n" and soundfile.info("in/b/a.wav").frames == 3001


def test_a_full_disk_ends_the_watch(watch, full_disk):
    with full_disk(8000):
        result = watch(lambda: write("in/a.wav", 1), lambda: write("in/b.wav"))
    assert result.exit_code == 2 and result.stdout == ""
    assert "cannot be written" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--watch", "absent"], "absent: no such folder; expected a folder to watch"),
        (["--watch", "in", "noisy.wav"], "noisy.wav beside --watch"),
        (["--watch", "in", "--list", "list.txt"], "list.txt beside --watch"),
        (["--watch", "in", "-o", "in"], "is the folder that is watched"),
        (["--watch", "in", "-o", "-"], "cannot go to stdout"),
        (["--watch", "in", "-o", "all.wav"], "all.wav: is one file"),
        (["--watch", "in", "--seconds", "3"], "--seconds without --microphone"),
        (["--watch", "in", "--microphone"], "exclude each other"),
        (["--watch", "in", "--workers", "2"], "--workers is for files"),
        (["--watch", "in", "--skip-existing"], "--skip-existing is for files"),
    ],
)
def test_calls_that_make_no_sense(sertool, run, arguments, words, assert_one_line):
    Path("in").mkdir()
    assert_one_line(sertool("enhance", *arguments, "--model", run), words)


def test_a_model_that_does_not_enhance(sertool, tmp_path, assert_one_line):
    from sertool.core.models.config import CompactConfig, EmotionConfig, SharedConfig
    from sertool.core.models.shared import SharedModel

    Path("in").mkdir()
    emotion = EmotionConfig(categories=("anger", "neutral"), hidden=8)
    SharedModel(SharedConfig(encoder=CompactConfig(mels=8, dim=8, layers=1), emotion=emotion)).save_pretrained("m")
    assert_one_line(sertool("enhance", "--watch", "in", "--model", "m"), "m: ", "not trained to enhance")
