"""Killed twenty times and more and run again, a command ends with the bytes it would have had (`tests/kills.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "kills.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        *(("train", 20), ("train-ahead", 4), ("pretrain", 20)),
        *(("mix-noise", 20), ("mix-noise-workers", 4), ("evaluate", 20)),
    ],
)
def test_killed_and_run_again_it_ends_with_the_same_bytes(tmp_path, name, kills):
    call = [sys.executable, SCRIPT, "--kills", str(kills), "--only", name, "-o", tmp_path / "kills.json"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "kills.json").read_text())
    tally = told["commands"][name]
    assert told["faults"] == 0 and tally["faults"] == []
    assert tally["kills"] >= kills and tally["ends"] >= 1 and tally["files_compared"] >= 2
    assert str(tmp_path) not in json.dumps(told)
    for fault in told["faults_found_and_mended"]:
        file, _, test = fault["test"].partition("::")
        assert f"def {test}(" in (SCRIPT.parents[1] / file).read_text(encoding="utf-8"), fault["test"]
