"""Several processes train what one does, sharded or not, stopped and gone on with in any number, and end together."""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from sertool.core.errors import InputError
from sertool.core.models.shared import SharedModel
from sertool.core.training import validation
from sertool.core.training.inputs import read_inputs
from sertool.core.training.processes import check_launcher, own_parts
from sertool.core.training.recipe import read_recipe
from sertool.core.training.setup import make_accelerator, make_objective

RATE = 16000
SHARDED = ("--set", "optimisation.sharding=fsdp")
IN_STEPS = ("--set", "optimisation.accumulation=2")
SAVED_OFTEN = ("--set", "checkpoint_updates=1")
ROUTER = ("--adapt", "router", "--schedule", "at-once", "--epochs", "1")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Nine utterances to learn from, five to choose by, noise, and a recipe of three stages; nothing divides evenly."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion,arousal"]
    for i in range(14):
        split, emotion = ("train" if i < 9 else "dev"), ("anger", "neutral")[i % 2]
        samples = 0.1 * generator.standard_normal(int(RATE * generator.uniform(0.3, 0.8)))
        soundfile.write(folder / f"{i}.wav", samples, RATE)
        rows.append(f"{i}.wav,{split},{split},{emotion},{generator.uniform(1, 7):.2f}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    (folder / "noise" / "hiss").mkdir(parents=True)
    for number in range(12):
        soundfile.write(folder / "noise" / "hiss" / f"{number}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    recipe = {
        "device": "cpu",
        "schedule": "cascade",
        "data": {"manifests": [str(folder / "metadata.csv")], "workers": 0, "speed_change": 0.1},
        "noise": {"source": str(folder / "noise"), "snr_db": ["0:10"], "dev_snr_db": ["0"]},
        "encoder": {"compact": {"dim": 8, "layers": 2, "kernel": 3, "dropout": 0.0}},
        "emotion": {"hidden": 8, "dropout": 0.0, "attributes": ["arousal"]},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.2},
        "optimisation": {"epochs": 3, "batch_size": 5, "warmup_updates": 0},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="module")
def runs(corpus):
    """The folder of all trainings, and what came of each by name: exit codes and what the processes wrote."""
    jobs = [
        *_jobs(corpus, "one", [1]),
        *_jobs(corpus, "in-steps", [2], *IN_STEPS),
        *_jobs(corpus, "wandering", [(2, 3, 1, signal.SIGKILL), (1, 4, 0, signal.SIGINT), 2], *SAVED_OFTEN),
        *_jobs(corpus, "wandering-sharded", [(2, 2, 1, signal.SIGINT), (1, 4, 0, signal.SIGINT), 2], *SHARDED),
        *_jobs(corpus, "unknown-class", [2], "--set", "emotion.categories=[anger,fear]"),
        *_jobs(corpus, "one", [2, 2], "--seed", "3", log="other-seed"),
        *_jobs(corpus, "router", [1], "--encoder", str(corpus / "one"), *ROUTER),
        *_jobs(corpus, "routers", [2], "--encoder", str(corpus / "one"), *ROUTER, *SHARDED),
    ]
    path = corpus / "jobs.json"
    path.write_text(json.dumps(jobs))
    subprocess.run([sys.executable, Path(__file__).with_name("in_processes.py"), path], check=True, timeout=240)
    ends = {}
    for job, codes in zip(jobs, json.loads(path.read_text()), strict=True):
        said = [Path(f"{job['log']}-{rank}.txt").read_text() for rank in range(job["processes"])]
        ends[Path(job["log"]).name] = SimpleNamespace(codes=codes, said=said)
    return SimpleNamespace(folder=corpus, ends=ends)


def _jobs(corpus, name, steps, *flags, log=None):
    """Yield a training started once a step: so many processes, and maybe what happens to one of them."""
    arguments = ["train", "--recipe", str(corpus / "recipe.yaml"), "-o", str(corpus / name), *flags]
    for number, step in enumerate(steps):
        processes, *disturbance = step if isinstance(step, tuple) else (step,)
        job = {"arguments": arguments, "processes": processes, "log": str(corpus / f"{log or name}.{number}")}
        if disturbance:
            job["disturbance"] = dict(zip(("updates", "rank", "signal"), disturbance, strict=True))
        yield job


def _launch(corpus, run, launcher, *flags):
    command = [sys.executable, "-m", *launcher, "sertool", "train", "--recipe", str(corpus / "recipe.yaml")]
    done = subprocess.run(
        [*command, "-o", str(corpus / run), *flags], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done


def _assert_same_run(found, expected):
    """Assert the same losses and dev scores an epoch, and in the end the same weights and optimizer state."""
    one, other = (_lines(folder) for folder in (expected, found))
    for line, other_line in zip(one, other, strict=True):
        assert line["updates"] == other_line["updates"]
        for group in ("train", "dev"):
            assert other_line[group] == pytest.approx(line[group], abs=1e-4)
    for part in ("model", "optimizer"):
        tensors, others = (_state(folder, part) for folder in (expected, found))
        assert tensors.keys() == others.keys()
        for name, tensor in tensors.items():
            # Adam makes steps of the rounding errors of gradients that are zero: a little more, a moment later.
            np.testing.assert_allclose(others[name].numpy(), tensor.numpy(), atol=2e-4, err_msg=name)


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _state(folder, part):
    names = json.loads((folder / "last" / "state.json").read_text())["files"]
    return load_file(folder / "last" / names[part])


def test_torchrun_trains_what_one_process_does(runs):
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m")
    done = _launch(runs.folder, "torchrun", launcher)
    assert done.stdout == f"{runs.folder / 'torchrun'}\n"  # of two processes, one speaks
    _assert_same_run(runs.folder / "torchrun", runs.folder / "one")


def test_accelerate_launch_trains_sharded_what_one_process_does(runs):
    launcher = ("accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1", "-m")
    _launch(runs.folder, "sharded", launcher, *SHARDED, *IN_STEPS)
    _assert_same_run(runs.folder / "sharded", runs.folder / "one")
    weights = SharedModel.from_pretrained(runs.folder / "sharded" / "model").state_dict()
    for name, tensor in SharedModel.from_pretrained(runs.folder / "one" / "model").state_dict().items():
        torch.testing.assert_close(weights[name], tensor, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["in-steps", "wandering", "wandering-sharded"])
def test_in_steps_and_stopped_and_gone_on_with_in_other_numbers(runs, name):
    _assert_same_run(runs.folder / name, runs.folder / "one")


def test_masks_are_learned_as_in_one_process(runs):
    _assert_same_run(runs.folder / "routers", runs.folder / "router")


def test_ctrl_c_heard_by_one_process_stops_all(runs):
    end = runs.ends["wandering-sharded.0"]
    assert end.codes == [130, 130]
    assert end.said[0].splitlines()[-1] == "error: interrupted: run the same command again to go on" and not end.said[1]
    assert "going on after update 3 of 6" in runs.ends["wandering-sharded.1"].said[0]


def test_a_killed_process_leaves_nobody_waiting(runs):
    end = runs.ends["wandering.0"]
    assert end.codes == [2, -signal.SIGKILL]
    assert end.said[0].startswith("error: process 0 was left alone") and end.said[0].count("\n") == 1


@pytest.mark.parametrize(
    ("name", "words"), [("unknown-class.0", "'neutral'"), ("other-seed.0", "seed"), ("other-seed.1", "seed")]
)
def test_wrong_input_ends_all_with_one_line(runs, name, words):
    end = runs.ends[name]
    assert end.codes == [2, 2]
    assert end.said[0].startswith("error: ") and end.said[0].count("\n") == 1 and words in end.said[0]
    assert not end.said[1]


def test_alone_there_is_nothing_to_shard_and_it_says_so(runs):
    assert "there is one process" in runs.ends["wandering-sharded.1"].said[0]


@given(sizes=st.lists(st.integers(1, 40), max_size=4), processes=st.integers(1, 5), steps=st.integers(1, 4))
def test_parts_of_all_processes_make_the_whole(sizes, processes, steps):
    plan = [np.arange(size) for size in sizes]
    accelerators = [SimpleNamespace(num_processes=processes, process_index=rank) for rank in range(processes)]
    if sizes and min(sizes) < processes * steps:
        with pytest.raises(InputError, match="cannot be cut"):
            own_parts(plan, accelerators[0], steps=steps)
        return
    parts = [own_parts(plan, accelerator, steps=steps) for accelerator in accelerators]
    for number, batch in enumerate(plan):
        of_batch = [part for own in parts for part in own[number * steps : (number + 1) * steps]]
        assert sorted(np.concatenate(of_batch)) == list(batch)
        assert max(map(len, of_batch)) - min(map(len, of_batch)) <= 1
    assert all(len(own) == steps * len(plan) for own in parts)


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_each_dev_utterance_counts_once_and_all_run_equally_often(corpus, monkeypatch, processes):
    recipe = read_recipe(corpus / "recipe.yaml", {"noise.dev_snr_db": ["0", "5"]})
    inputs = read_inputs(recipe)
    torch.manual_seed(0)
    model = SharedModel(inputs.config)
    monkeypatch.setattr(validation, "BATCH_S", 1.0)
    objective = make_objective(recipe, inputs, torch.device("cpu"))
    expected = validation.validate(model, inputs, recipe, make_accelerator(recipe), objective, between=lambda: None)
    gathered, runs_of_each, totals = [], [], []
    monkeypatch.setattr(validation, "gather_object", lambda rows: gathered.extend(rows) or gathered)
    for rank in range(processes):
        calls = []
        accelerator = SimpleNamespace(
            num_processes=processes,
            process_index=rank,
            device=torch.device("cpu"),
            autocast=nullcontext,
            reduce=lambda total, how: totals.append(total) or sum(totals),
        )
        hook = model.encoder.register_forward_hook(lambda *_, calls=calls: calls.append(None))
        scores = validation.validate(model, inputs, recipe, accelerator, objective, between=lambda: None)
        hook.remove()
        runs_of_each.append(len(calls))
    if processes == 1:
        gathered = [None] * 10
    assert len(gathered) == 10 and len(set(runs_of_each)) == 1
    # The last process has what all of them gathered.
    assert scores == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ACCELERATE_USE_FSDP", "true", "optimisation.sharding"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "DeepSpeed"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "optimisation.compile"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "optimisation.accumulation"),
    ],
)
def test_what_the_recipe_is_to_say_accelerate_may_not(monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=words):
        check_launcher()


def test_a_plain_launch_is_fine(monkeypatch):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_launcher()
