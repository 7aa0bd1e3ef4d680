"""Hostile files, the short part of the campaign: a few hundred mutants of every format end in no fault.

The long part is `campaign.py`; what it found has a test beside the module it was mended in, or here.
"""

import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bench import Bench, build
from calls import Call
from campaign import plan
from checks import is_audio
from examiner import Examiner
from faults_mended import FAULTS_MENDED
from flac_mutators import block as flac_block
from flac_mutators import bomb, constant_frame, streaminfo
from mutators import ATTACKS, make_mutant
from wav_mutators import chunk, fmt, riff, tone

MUTANTS = 200
HANG_S = 120  # far beyond what any command takes here: no test is timed
SEED = 2026


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A small corpus, noise, a run, an interrupted run and mixtures."""
    return build(tmp_path_factory.mktemp("hostile") / "bench")


@pytest.fixture
def examiner(bench: Bench, tmp_path: Path):
    """The judge of the campaign, in this process; a command that hangs ends in an error, and names where."""

    def hangs(number: int, frame: object) -> None:
        raise TimeoutError("a command hangs on a hostile file")

    before = signal.signal(signal.SIGALRM, hangs)
    examiner = Examiner(bench, tmp_path / "mutants", begin=lambda name: signal.alarm(HANG_S))
    yield examiner
    examiner.close()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("format_", ATTACKS)
def test_mutants_end_in_no_fault(bench, examiner, format_):
    numbers = [number for name, number in plan(MUTANTS) if name == format_]
    # From a place of the list that the seed decides, so that the attacks of a long list have their turn over the years.
    for number in numbers:
        mutant = make_mutant(format_, number + SEED, SEED, bench.sources)
        _, faults = examiner.examine(mutant, seed=SEED, slow=0.15)
        assert not faults, f"{format_} {number + SEED} ({mutant.attack})"


def test_mutants_depend_on_their_number_and_the_seed_alone(bench):
    for format_ in ATTACKS:
        one, again, other = (make_mutant(format_, 7, seed, bench.sources) for seed in (1, 1, 2))
        assert one == again
        assert other.attack == one.attack
    made = {make_mutant("wav", number, 1, bench.sources).data for number in range(50)}
    assert len(made) > 45


def test_frames_made_by_hand_are_flac(tmp_path):
    """What the bombs are made of is no damaged file: libFLAC decodes every sample of it."""
    frames = [constant_frame(0, channels=2, length=4096, value=-5), constant_frame(1, channels=2, length=1000, value=8)]
    info = streaminfo(blocks=(1000, 4096), channels=2, samples=5096)
    (tmp_path / "a.flac").write_bytes(b"fLaC" + flac_block(0, info, last=True) + b"".join(frames))
    samples, rate = soundfile.read(tmp_path / "a.flac", dtype="int16")
    assert rate == 16_000
    assert np.array_equal(samples, np.repeat([-5, 8], [4096, 1000])[:, None].repeat(2, axis=1))
    (tmp_path / "bomb.flac").write_bytes(bomb(3))
    assert len(bomb(3)) < 300
    assert soundfile.info(tmp_path / "bomb.flac").frames == 3 * 65_535


def test_headers_made_by_hand_are_wav(tmp_path):
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", fmt()), chunk(b"data", tone(100))))
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert (len(samples), rate, samples[0]) == (100, 16_000, 0)
    assert is_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (Call("c", ("predict", "missing.wav"), codes=(0,)), "exit code"),
        (Call("c", ("corpus", "check", "--help"), examine=lambda text, at: "a score of nothing"), "invented"),
        (Call("c", ("corpus", "check", "--help"), codes=(2,)), "accepted"),
    ],
)
def test_the_judge_sees_a_fault(examiner, tmp_path, call, kind):
    *_, faults = examiner._call(call, tmp_path)
    assert [fault.kind for fault in faults] == [kind]


def test_the_judge_sees_a_traceback_and_what_is_left_behind(examiner, bench, tmp_path, monkeypatch):
    from sertool.cli import main

    def evil() -> None:
        (bench.keep / "code").touch()
        (tmp_path / ".x.partial-1.wav").touch()
        (bench.keep / "canary.flac").unlink()
        _ = bytearray(1_200_000_000)
        raise KeyError("a score")

    monkeypatch.setattr(main.app, "registered_commands", list(main.app.registered_commands))
    main.app.command("evil")(evil)
    *_, faults = examiner._call(Call("c", ("evil",)), tmp_path)
    assert {fault.kind for fault in faults} == {
        "traceback",
        "code run",
        "good file lost",
        "partial file left",
        "memory",
    }
    assert (bench.keep / "canary.flac").is_file()


def test_every_fault_that_was_mended_has_its_test():
    root = Path(__file__).resolve().parents[2]
    for fault in FAULTS_MENDED:
        file, _, name = fault["test"].partition("::")
        assert f"def {name}(" in (root / file).read_text(encoding="utf-8"), fault["test"]
