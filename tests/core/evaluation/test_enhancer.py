"""Enhancers: a command and a run answer alike, can be sent to other processes, and tell what they are."""

import json
import pickle
import sys

import numpy as np
import pytest

from sertool.core.engine import map_tasks
from sertool.core.errors import InputError
from sertool.core.evaluation.enhancer import CommandEnhancer, RunEnhancer, read_enhancer
from sertool.core.models.inference import load

SIGNALS = [
    (0.1 * np.random.default_rng(n).standard_normal(size)).astype(np.float32) for n, size in enumerate((900, 5000))
]


def test_a_command_enhances_every_signal_by_itself():
    enhancer = read_enhancer("cp {in} {out}")
    assert isinstance(enhancer, CommandEnhancer)
    assert enhancer.name == "cp"
    for samples, enhanced in zip(SIGNALS, enhancer.enhance(SIGNALS), strict=True):
        assert np.array_equal(samples, enhanced)


def test_a_run_gives_what_its_model_gives(run):
    enhancer = read_enhancer(str(run))
    assert isinstance(enhancer, RunEnhancer)
    assert enhancer.name == "tiny"
    recognizer = load(run, "cpu")
    for samples, enhanced in zip(SIGNALS, enhancer.enhance(SIGNALS), strict=True):
        assert np.array_equal(enhanced, recognizer.enhance(samples, 16_000))
    assert read_enhancer(str(run / "model")).identity == enhancer.identity


def test_enhancers_can_be_sent_to_other_processes(run):
    for enhancer in (read_enhancer("cp {in} {out}"), read_enhancer(str(run))):
        sent = pickle.loads(pickle.dumps(enhancer))
        assert sent == enhancer
        assert np.array_equal(sent.enhance(SIGNALS)[0], enhancer.enhance(SIGNALS)[0])


def test_a_worker_process_enhances_as_this_one_does():
    enhancer = read_enhancer("cp {in} {out}")
    outcomes = list(map_tasks(enhancer.enhance_signal, SIGNALS, workers=2))
    assert all(np.array_equal(outcome.value, samples) for outcome, samples in zip(outcomes, SIGNALS, strict=True))


def test_a_failing_command_is_an_error_of_the_utterance():
    with pytest.raises(InputError, match="enhancer false: ended with status 1"):
        read_enhancer("false {in} {out}").enhance(SIGNALS)


def test_the_time_limit_can_be_set():
    enhancer = read_enhancer("sh -c 'sleep 60' {in} {out}", time_limit_s=0.1)
    with pytest.raises(InputError, match=r"after 0\.1 s"):
        enhancer.enhance(SIGNALS[:1])
    with pytest.raises(InputError, match="expected seconds above 0"):
        read_enhancer("cp {in} {out}", time_limit_s=0)


def test_the_identity_is_json_without_a_path_and_changes_with_the_script(tmp_path):
    script = tmp_path / "denoise.py"
    script.write_text("1\n")
    before = read_enhancer(f"{sys.executable} {script} {{in}} {{out}}")
    assert before.name == "denoise.py"
    assert str(tmp_path) not in json.dumps(before.identity)
    script.write_text("2\n")
    assert read_enhancer(f"{sys.executable} {script} {{in}} {{out}}").identity != before.identity


def test_the_identity_of_a_run_is_that_of_its_weights(run, make_run, tmp_path):
    twin = make_run(tmp_path / "tiny")
    identity = RunEnhancer.read(run).identity
    assert RunEnhancer.read(twin).identity == identity
    weights = next((twin / "model").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert RunEnhancer.read(twin).identity != identity
    assert str(tmp_path) not in json.dumps(identity)


def test_what_does_not_enhance_is_refused(make_run, tmp_path):
    with pytest.raises(InputError, match="has no enhancement head; expected"):
        read_enhancer(str(make_run(tmp_path / "deaf", enhances=False)))
    with pytest.raises(InputError, match=r"is no folder; expected a command such as .* or the folder of a run"):
        read_enhancer("runs/mistyped")
    with pytest.raises(InputError, match="there is no program 'xx"):
        read_enhancer("x" * 5000 + " {in} {out}")
    with pytest.raises(InputError, match="empty"):
        read_enhancer("")
