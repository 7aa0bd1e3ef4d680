"""Two processes cluster, and learn, what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

from sertool.core.training.recipe_file import recipe_text

IN_PROCESSES = Path(__file__).parent.parent / "training" / "in_processes.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")


@pytest.fixture(scope="module")
def runs(recipe_of, corpus):
    """A run of one process, and one of two, of a form with a temporal net and one without; no dropout."""
    jobs = []
    for form, target in (("none", ["arousal"]), ("gru", [])):
        recipe = recipe_of(
            temporal=form, attributes=target, dropout=0.0, optimisation__optimiser="adam", optimisation__epochs=2
        )
        (corpus / f"{form}.yaml").write_text(recipe_text(recipe))
        for processes in (1, 2):
            name = f"{form}-{processes}"
            arguments = ["cluster", str(corpus / "labelled.csv"), "--recipe", str(corpus / f"{form}.yaml")]
            jobs.append({"processes": processes, "log": str(corpus / name)})
            jobs[-1]["arguments"] = [*arguments, "-o", str(corpus / name)]
    path = corpus / "jobs.json"
    path.write_text(json.dumps(jobs))
    subprocess.run([sys.executable, IN_PROCESSES, path], check=True, timeout=300)
    codes = json.loads(path.read_text())
    logs = {job["log"]: Path(f"{job['log']}-0.txt").read_text() for job in jobs}
    assert codes == [[0], [0, 0], [0], [0, 0]], logs
    return corpus


@pytest.mark.parametrize("form", ["none", "gru"])
def test_two_processes_are_as_one(runs, form):
    lines = [
        [json.loads(line) for line in (runs / f"{form}-{count}" / "metrics.jsonl").read_text().splitlines()]
        for count in (1, 2)
    ]
    for one, two in zip(*lines, strict=True):
        assert two["train"] == pytest.approx(one["train"], abs=1e-4)
        assert two["dev"] == pytest.approx(one["dev"], abs=1e-3)
        for part in ("unlabelled", "train"):
            assert two["clusters"][part]["empty"] == one["clusters"][part]["empty"]
            assert two["clusters"][part]["inertia"] == pytest.approx(one["clusters"][part]["inertia"], rel=1e-3)
    weights = [load_file(runs / f"{form}-{count}" / "model" / "model.safetensors") for count in (1, 2)]
    # What batch normalisation takes off again has no gradient but rounding, of which Adam makes whole steps.
    idle = {f"trunk.convolutions.{3 * number}.bias" for number in range(7)}
    for name, tensor in weights[0].items():
        if name in idle:
            continue
        assert (tensor - weights[1][name]).abs().max() <= 1e-3, name
    left = [pd.read_parquet(runs / f"{form}-{count}" / "utterances.parquet") for count in (1, 2)]
    assert (left[0]["cluster"] == left[1]["cluster"]).mean() > 0.9


def test_the_recipe_is_stored(runs):
    stored = yaml.safe_load((runs / "gru-2" / "recipe.yaml").read_text())
    assert stored["temporal"] == "gru" and stored["data"]["labelled"] == [str(runs / "labelled.csv")]
