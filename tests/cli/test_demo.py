"""`sertool demo` at the command line: what it prints of a finished demo, and what it refuses."""

import dataclasses
import json

import pytest

from sertool.core.demo import LAYOUT, MODELS, Settings


@pytest.fixture
def finished(tmp_path):
    """A folder that says of itself that the demo with seed 3 is finished: `shown` in the working folder."""
    folder = tmp_path / "shown"
    folder.mkdir()
    speech = {"pesq_wb": {"unprocessed": 1.234, "enhanced": None}, "si_sdr": {"unprocessed": 0.01, "enhanced": 2.34}}
    table = [
        {"model": name, "condition": condition, "n": 32, "f1_macro": 0.123, "ua": 0.456, **speech}
        for name in MODELS
        for condition in ("clean", "0 dB")
    ]
    settings = dataclasses.asdict(Settings(seed=3))
    record = {"made_by": "sertool demo", "state": "finished", "settings": settings, "table": table, "example": "m4"}
    (folder / "demo.json").write_text(json.dumps(record))
    return folder


def test_a_finished_demo_is_shown_again(sertool, finished):
    done = sertool("demo", "-o", "shown", "--seed", 3)
    assert done.exit_code == 0
    assert "is finished" in done.stderr
    rows = [line for line in done.stdout.splitlines() if " 32 " in line and "→" in line]
    assert [row.split()[0] for row in rows] == ["clean", "clean", "in", "in"]
    assert all({"0.12", "0.46", "1.23", "0.0", "2.3", "–"} <= set(row.split()) for row in rows)
    assert all(len(line) <= 80 for line in rows)
    assert "supports no claim" in done.stdout and "32 test utterances" in done.stdout
    assert all(f"shown/{name}" in done.stdout for name in LAYOUT)


def test_json_gives_a_line_a_row(sertool, finished):
    done = sertool("demo", "-o", "shown", "--seed", 3, "--json")
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows == json.loads((finished / "demo.json").read_text())["table"]


def test_another_seed_in_the_same_folder_is_refused(sertool, finished, assert_one_line):
    done = sertool("demo", "-o", "shown", "--seed", 4)
    assert done.exit_code == 2
    assert "seed differ" in done.stderr and "--overwrite" in done.stderr
