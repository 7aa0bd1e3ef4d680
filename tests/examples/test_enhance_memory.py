"""The example that measures memory: what it makes, what it reads of a process, what it draws."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("enhance_memory", EXAMPLES / "enhance_memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2)])
def test_noisy_speech_is_as_long_as_asked_and_the_same_every_time(example, rate, channels):
    first, again = (np.concatenate(list(example.noisy_speech(5.0, rate, channels))) for _ in range(2))
    assert first.shape == (5 * rate, channels) and (first.std(axis=0) > 1e-3).all()
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("with_psutil", [True, False])
def test_memory_is_that_of_a_process_and_its_children(example, monkeypatch, with_psutil):
    if with_psutil:
        pytest.importorskip("psutil")
    else:
        monkeypatch.setitem(sys.modules, "psutil", None)
    alone_mb = example.resident_mb(os.getpid())
    code = "x = b'1' * 50_000_000; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        together_mb = example.resident_mb(os.getpid())
        child.stdin.write("\n")
    assert together_mb > alone_mb + 45
    assert example.resident_mb(child.pid) == 0


def test_the_results_stay_below_the_limit_and_can_be_drawn(example, tmp_path):
    document = json.loads((EXAMPLES / "results" / "enhance-memory.json").read_text())
    for condition in document["conditions"]:
        assert condition["duration_s"] == 3600 and condition["peak_rss_mb"] < example.LIMIT_MB
        assert not any(part.startswith("/") for part in condition["command"])
    example.draw(document, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
