"""How many processes a command works in unasked, and that a second one changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.cli import processes
from sertool.cli.inputs import Input
from sertool.core import engine


@pytest.fixture
def inputs(tmp_path) -> list[Input]:
    """Ten files of a million bytes each, as far as anyone looks."""
    found = []
    for number in range(10):
        path = tmp_path / f"{number}.wav"
        with open(path, "wb") as file:
            file.truncate(1_000_000)
        found.append(Input(path=path, name=path.name))
    return found


@pytest.fixture(autouse=True)
def cores(monkeypatch) -> None:
    monkeypatch.setattr(engine, "default_workers", lambda: 16)
    monkeypatch.setattr(processes, "_may_have_accelerator", lambda: False)


def test_what_is_asked_for_holds(inputs):
    assert processes.workers_for(inputs[:1], 7, "cpu") == 7


def test_a_process_begins_where_it_has_enough_to_do(inputs, monkeypatch):
    assert [processes.workers_for(inputs[:count], None, "auto") for count in (0, 1, 4, 7, 8, 10)] == [1, 1, 1, 1, 2, 2]
    monkeypatch.setattr(processes, "WORTH_A_PROCESS", 1_000_000)
    assert processes.workers_for(inputs, None, "cpu") == processes.MOST_UNASKED
    assert processes.workers_for(inputs[:3], None, "cpu") == 3
    monkeypatch.setattr(processes, "WORTH_A_PROCESS", 1)
    assert processes.workers_for(inputs[:2], None, "cpu") == 2  # never more than files
    monkeypatch.setattr(engine, "default_workers", lambda: 1)
    assert processes.workers_for(inputs, None, "cpu") == 1


def test_an_accelerator_is_one_process_own(inputs, monkeypatch):
    assert processes.workers_for(inputs, None, "cuda") == 1
    monkeypatch.setattr(processes, "_may_have_accelerator", lambda: True)
    assert processes.workers_for(inputs, None, "auto") == 1
    assert processes.workers_for(inputs, None, "cpu") == 2


def test_files_that_are_not_there_count_nothing():
    assert processes.workers_for([Input(path=Path("absent.wav"), name="absent.wav")], None, "cpu") == 1


def test_predict_in_two_processes_tells_the_same_in_the_same_order(sertool, run):
    for number in range(3):
        samples = 0.1 * np.random.default_rng(number).standard_normal(3000 + number)
        soundfile.write(f"{number}.wav", samples, 16_000, subtype="FLOAT")
    Path("bad.wav").write_text("no audio")
    arguments = ("predict", "2.wav", "bad.wav", "0.wav", "1.wav", "--model", run, "--json")
    one, two = sertool(*arguments), sertool(*arguments, "--workers", 2)
    assert (two.exit_code, two.stderr) == (one.exit_code, one.stderr) and one.exit_code == 1
    records, again = ([json.loads(line) for line in each.stdout.splitlines()] for each in (one, two))
    assert [record["file"] for record in again] == ["2.wav", "0.wav", "1.wav"]
    for first, second in zip(records, again, strict=True):
        assert second["probabilities"] == pytest.approx(first["probabilities"], abs=1e-6)
        assert {**second, "probabilities": 0, "attributes": 0} == {**first, "probabilities": 0, "attributes": 0}


def test_what_hands_out_the_work_does_not_wait_for_torch():
    """Where several processes work, the first one needs none of what they compute with, which takes seconds to load."""
    code = (
        "import sys, sertool.cli.main, sertool.cli.watch, sertool.core.engine, sertool.core.models.locate\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
