"""Two processes train what one does: the loss is that of the whole batch, however it is cut."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import yaml
from safetensors.torch import load_file

RATE = 16000


@pytest.fixture
def corpus(tmp_path):
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion,arousal"]
    for i in range(14):
        split, emotion = ("train" if i < 9 else "dev"), ("anger", "neutral")[i % 2]
        samples = 0.1 * generator.standard_normal(int(RATE * generator.uniform(0.3, 0.8)))
        soundfile.write(tmp_path / f"{i}.wav", samples, RATE)
        rows.append(f"{i}.wav,{split},{split},{emotion},{generator.uniform(1, 7):.2f}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    recipe = {
        "device": "cpu",
        "schedule": "cascade",
        "data": {"workers": 0},
        "encoder": {"compact": {"dim": 8, "layers": 2, "kernel": 3, "dropout": 0.0}},
        "emotion": {"hidden": 8, "dropout": 0.0, "attributes": ["arousal"]},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.2},
        "optimisation": {"epochs": 4, "batch_size": 5, "warmup_updates": 0},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def train(corpus, run, *launcher):
    arguments = [str(corpus / "metadata.csv"), "--recipe", str(corpus / "recipe.yaml"), "-o", str(corpus / run)]
    command = [sys.executable, "-m", *launcher, "sertool", "train", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (corpus / run / "metrics.jsonl").read_text().splitlines()]
    names = json.loads((corpus / run / "last" / "state.json").read_text())["files"]
    return lines, load_file(corpus / run / "last" / names["model"])


def test_two_processes_train_what_one_does(corpus):
    lines, weights = train(corpus, "one")
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m")
    both_lines, both_weights = train(corpus, "two", *launcher)
    for one, two in zip(lines, both_lines, strict=True):
        assert one["updates"] == two["updates"]
        for group in ("train", "dev"):
            assert one[group] == pytest.approx(two[group], abs=2e-4)
    for name, tensor in weights.items():
        np.testing.assert_allclose(both_weights[name].numpy(), tensor.numpy(), atol=2e-4, err_msg=name)
