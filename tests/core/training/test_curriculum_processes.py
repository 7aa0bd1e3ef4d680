"""By a curriculum several processes train what one does, sharded or not, stopped and gone on with in any number."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from safetensors.torch import load_file

RATE = 16000
SHARDED = ("--set", "optimisation.sharding=fsdp")
IN_STEPS = ("--set", "optimisation.accumulation=2")
SELF_PACED = ("--curriculum", "self-paced", "--set", "checkpoint_updates=1")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Nine utterances to learn from, with scores, five to choose by, and a recipe of three stages and two bins."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    rows, scores = ["file_name,speaker,split,emotion,arousal"], ["file_name,score"]
    for i in range(14):
        split, emotion = ("train" if i < 9 else "dev"), ("anger", "neutral")[i % 2]
        samples = 0.1 * generator.standard_normal(int(RATE * generator.uniform(0.3, 0.8)))
        soundfile.write(folder / f"{i}.wav", samples, RATE)
        rows.append(f"{i}.wav,{split},{split},{emotion},{generator.uniform(1, 7):.2f}")
        scores.append(f"{i}.wav,{generator.uniform()}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    (folder / "scores.csv").write_text("\n".join(scores) + "\n")
    recipe = {
        "device": "cpu",
        "schedule": "cascade",
        "data": {"manifests": [str(folder / "metadata.csv")], "workers": 0, "speed_change": 0.1},
        "encoder": {"compact": {"dim": 8, "layers": 2, "kernel": 3, "dropout": 0.0}},
        "emotion": {"hidden": 8, "dropout": 0.0, "attributes": ["arousal"]},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.2},
        "curriculum": {"bins": 2, "epochs_per_bin": 1},
        "optimisation": {"epochs": 3, "batch_size": 5, "warmup_updates": 0},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="module")
def runs(corpus):
    """The folder of all trainings, and the exit codes of each by name. Updates: 1, then 2 and 2 of all."""
    scores = ("--curriculum", str(corpus / "scores.csv"))
    jobs = [
        *_jobs(corpus, "easy", [1], *scores),
        *_jobs(corpus, "easy-in-steps", [2], *scores, *IN_STEPS),
        *_jobs(corpus, "own", [1], *SELF_PACED),
        *_jobs(corpus, "own-wandering", [(2, 2, 1, signal.SIGKILL), 1], *SELF_PACED),
        *_jobs(corpus, "own-sharded", [(2, 2, 0, signal.SIGINT), 2], *SELF_PACED, *SHARDED),
    ]
    path = corpus / "jobs.json"
    path.write_text(json.dumps(jobs))
    subprocess.run([sys.executable, Path(__file__).with_name("in_processes.py"), path], check=True, timeout=240)
    codes = zip(jobs, json.loads(path.read_text()), strict=True)
    return SimpleNamespace(folder=corpus, codes={Path(job["log"]).name: ends for job, ends in codes})


def _jobs(corpus, name, steps, *flags):
    """Yield a training started once a step: so many processes, and maybe what happens to one of them."""
    arguments = ["train", "--recipe", str(corpus / "recipe.yaml"), "-o", str(corpus / name), *flags]
    for number, step in enumerate(steps):
        processes, *disturbance = step if isinstance(step, tuple) else (step,)
        job = {"arguments": arguments, "processes": processes, "log": str(corpus / f"{name}.{number}")}
        if disturbance:
            job["disturbance"] = dict(zip(("updates", "rank", "signal"), disturbance, strict=True))
        yield job


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _state(folder, part):
    names = json.loads((folder / "last" / "state.json").read_text())["files"]
    return load_file(folder / "last" / names[part])


@pytest.mark.parametrize(
    ("name", "one"),
    [("easy-in-steps", "easy"), ("own-wandering", "own"), ("own-sharded", "own")],
)
def test_each_follows_one_process(runs, name, one):
    found, wanted = runs.folder / name, runs.folder / one
    for line, other in zip(_lines(wanted), _lines(found), strict=True):
        assert line["updates"] == other["updates"]
        for group in ("train", "bins", "dev"):
            assert other[group] == pytest.approx(line[group], abs=1e-4)
    assert {"loss_1", "loss_2"} <= _lines(found)[-1]["bins"].keys()
    for part in ("model", "optimizer"):
        tensors, others = _state(wanted, part), _state(found, part)
        assert tensors.keys() == others.keys()
        for key, tensor in tensors.items():
            # Adam makes steps of the rounding errors of gradients that are zero.
            np.testing.assert_allclose(others[key].numpy(), tensor.numpy(), atol=2e-4, err_msg=key)


@pytest.mark.parametrize("name", ["own-wandering", "own-sharded"])
def test_losses_are_measured_alike_in_any_number(runs, name):
    found, wanted = (json.loads((runs.folder / run / "last" / "self_paced.json").read_text()) for run in (name, "own"))
    assert found["epoch"] == wanted["epoch"] == 1
    assert found["losses"] == pytest.approx(wanted["losses"], abs=1e-4) and len(set(wanted["losses"])) == 9


def test_they_were_stopped_as_planned(runs):
    ends = {name: codes for name, codes in runs.codes.items() if set(codes) != {0}}
    assert ends == {"own-wandering.0": [2, -signal.SIGKILL], "own-sharded.0": [130, 130]}
