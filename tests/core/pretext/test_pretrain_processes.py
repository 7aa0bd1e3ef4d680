"""Several processes pre-train what one does, sharded or not, stopped and gone on with in any number."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

IN_PROCESSES = Path(__file__).parents[1] / "training" / "in_processes.py"
TASKS = ("denoise", "energy", "action-units", "masked")
EVERY = ("--set", "checkpoint_updates=1")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")


@pytest.fixture(scope="module")
def runs(talking):
    """The folder of all trainings, and the exit codes of each by name; two updates an epoch."""
    recipe = {
        "device": "cpu",
        "data": {"workers": 0},
        "noise": {"source": str(talking / "noise"), "snr_db": ["10"], "dev_snr_db": ["10"]},
        "encoder": {"compact": {"dim": 8, "layers": 2, "kernel": 3, "dropout": 0.0}},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.2},
        "pretext": {"hidden": 8, "dropout": 0.0, "masked": {"clusters": 4, "projection": 8}},
        "optimisation": {"epochs": 2, "batch_size": 6, "warmup_updates": 0},
    }
    (talking / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    jobs = [
        *_jobs(talking, "one", [1]),
        *_jobs(talking, "in-steps", [2], "--set", "optimisation.accumulation=2"),
        *_jobs(talking, "wandering", [(2, 3, 1, signal.SIGKILL), 1], *EVERY),
        *_jobs(talking, "masked-one", [1], tasks=("masked",)),
        *_jobs(talking, "masked-two", [2], tasks=("masked",)),
        *_jobs(talking, "sharded", [(2, 1, 0, signal.SIGINT), 2], *EVERY, "--set", "optimisation.sharding=fsdp"),
    ]
    path = talking / "jobs.json"
    path.write_text(json.dumps(jobs))
    subprocess.run([sys.executable, IN_PROCESSES, path], check=True, timeout=240)
    codes = zip(jobs, json.loads(path.read_text()), strict=True)
    return SimpleNamespace(folder=talking, codes={Path(job["log"]).name: ends for job, ends in codes})


def _jobs(folder, name, steps, *flags, tasks=TASKS):
    """Yield a pre-training started once a step: so many processes, and maybe what happens to one of them."""
    faces = ["--faces", str(folder / "faces")] if "action-units" in tasks else []
    words = [word for task in tasks for word in ("--task", task)]
    arguments = ["pretrain", str(folder / "metadata.csv"), *words, *faces]
    arguments += ["--recipe", str(folder / "recipe.yaml"), "-o", str(folder / name), *flags]
    for number, step in enumerate(steps):
        processes, *disturbance = step if isinstance(step, tuple) else (step,)
        job = {"arguments": arguments, "processes": processes, "log": str(folder / f"{name}.{number}")}
        if disturbance:
            job["disturbance"] = dict(zip(("updates", "rank", "signal"), disturbance, strict=True))
        yield job


@pytest.mark.parametrize(
    ("name", "one"), [("in-steps", "one"), ("wandering", "one"), ("sharded", "one"), ("masked-two", "masked-one")]
)
def test_each_follows_one_process(runs, name, one):
    found, wanted = runs.folder / name, runs.folder / one
    lines, others = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (wanted, found)
    )
    for line, other in zip(lines, others, strict=True):
        assert line["updates"] == other["updates"]
        for group in ("train", "dev"):
            assert other[group] == pytest.approx(line[group], abs=1e-4)
    losses = {"masked"} if "masked" in name else {"enhancement", "energy", "action-units", "masked"}
    assert lines[-1]["train"].keys() == losses
    tensors, others = (load_file(folder / "model" / "model.safetensors") for folder in (wanted, found))
    assert tensors.keys() == others.keys()
    for key, tensor in tensors.items():
        # Adam makes steps of the rounding errors of gradients that are zero.
        np.testing.assert_allclose(others[key].numpy(), tensor.numpy(), atol=2e-4, err_msg=key)


@pytest.mark.parametrize("name", ["in-steps", "wandering", "sharded"])
def test_targets_are_the_same_in_any_number(runs, name):
    for file in ("targets.parquet", "targets.json"):
        assert (runs.folder / name / file).read_bytes() == (runs.folder / "one" / file).read_bytes()


def test_they_were_stopped_as_planned(runs):
    ends = {name: codes for name, codes in runs.codes.items() if set(codes) != {0}}
    assert ends == {"wandering.0": [2, -signal.SIGKILL], "sharded.0": [130, 130]}
