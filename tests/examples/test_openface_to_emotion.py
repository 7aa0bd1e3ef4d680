"""The worked example from OpenFace's files to a model of emotion: what it runs, and what it leaves."""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from sertool.cli.main import app
from sertool.core.corpus.sample import sample_noise
from sertool.core.models.storage import read_config

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "openface_to_emotion.sh"

UNITS = {"03": (6, 12), "05": (4, 5, 7, 23)}
"""What the face does in clips of a happy and of an angry voice, by RAVDESS's codes."""

ALL_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""Of which OpenFace tells the intensity."""

TINY = (
    "--epochs 1 --batch-size 8 --set data.workers=0 --set data.max_s=1 --set optimisation.precision=fp32 "
    "--set noise.snr_db=[0,5] --set encoder.compact.dim=8 --set encoder.compact.layers=1 --set encoder.compact.mels=20"
)

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture(scope="module")
def openface() -> ModuleType:
    spec = importlib.util.spec_from_file_location("openface_files", ROOT / "tests/core/pretext/openface_files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clips() -> list[tuple[str, str]]:
    """Names, but for the modality, and emotions of 16 clips: actors 1 and 2 are of the test split, 3 and 4 of dev."""
    return [
        (f"01-{emotion}-01-0{1 + actor % 2}-01-{actor:02d}", emotion)
        for actor in (1, 2, 3, 4, 5, 6, 7, 8)
        for emotion in UNITS
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, openface) -> Path:
    """`audio`, a second of speech-like noise a clip; `faces`, OpenFace's files of their videos, but for one."""
    folder = tmp_path_factory.mktemp("ravdess")
    generator = np.random.default_rng(0)
    still = generator.uniform(100.0, 300.0, (68, 2))
    time = np.arange(16_000) / 16_000
    for number, (name, emotion) in enumerate(clips()):
        depth = generator.uniform(0.2, 1.0)
        voice = 0.1 * (1.0 - depth * np.sin(np.pi * 3 * time) ** 2) * generator.standard_normal(len(time))
        audio = folder / "audio" / f"Actor_{name[-2:]}" / f"03-{name}.wav"
        audio.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(audio, voice, 16_000)
        if number == len(clips()) - 1:
            continue
        openface.write_openface(
            folder / "faces" / f"01-{name}.csv",
            landmarks=still + generator.uniform(0.5, 5.0) * generator.standard_normal((30, 68, 2)),
            intensity={unit: np.full(30, 3.0 * (unit in UNITS[emotion])) for unit in ALL_UNITS},
        )
    return folder


def run(words: list[object], folder: Path, sertool: str, **variables: str) -> subprocess.CompletedProcess:
    """Run the script where `sertool` is a program of these lines."""
    program = folder / "bin" / "sertool"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/usr/bin/env bash\n{sertool}\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(
        ["bash", str(SCRIPT), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def calls(words: list[object], folder: Path, **variables: str) -> dict[str, list[str]]:
    """Return what the script would call, by command."""
    found = run(words, folder, 'printf "%q " "$@" >> calls; echo >> calls', **variables)
    assert found.returncode == 0, found.stderr
    lines = (folder / "calls").read_text().splitlines()
    return {shlex.split(line)[0]: shlex.split(line) for line in lines}


def values(words: list[str], flag: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == flag]


def test_from_faces_to_scores(corpus, tmp_path):
    noise, work = sample_noise("seen").parent, tmp_path / "W"
    small = {"PRETRAIN": TINY, "TRAIN": f"{TINY} --set emotion.hidden=8", "EVALUATE": "--workers 1"}
    # In this process, which has loaded by now what each of the four would load again.
    for words in calls([corpus / "audio", corpus / "faces", noise, work], tmp_path, **small).values():
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 0, found.stderr
    pretrained, trained = (read_config(work / name / "model") for name in ("pretrained", "run"))
    assert [task.name for task in pretrained.pretext] == ["energy", "activation", "action-units"]
    assert trained.encoder == pretrained.encoder and trained.emotion.categories == ("anger", "happiness")
    assert not trained.pretext
    about = json.loads((work / "pretrained" / "targets.json").read_text())
    tasks = about["tasks"]
    train = {name: task["balance"]["train"] for name, task in tasks.items()}
    assert train["energy"] == {"low": 4, "high": 4, "none": 0}
    assert train["activation"]["none"] == 1
    assert (train["action-units"]["happiness"], train["action-units"]["anger"]) == (4, 3)
    scores = json.loads((work / "scores.json").read_text())
    assert [one["condition"] for one in scores["conditions"]] == ["clean", "0 dB"]
    assert all(one["n"] == 4 for one in scores["conditions"])


def test_of_a_folder_it_learns_activation_too(tmp_path, corpus):
    words = ["C", corpus / "faces", "N", "W"]
    found = calls(words, tmp_path, TRAIN="--epochs 3 --set noise.snr_db=[05]", PRETRAIN="--seed 1")
    assert list(found) == ["corpus", "pretrain", "train", "evaluate"]
    assert values(found["pretrain"], "--task") == ["energy", "activation", "action-units"]
    assert values(found["pretrain"], "--faces") == [str(corpus / "faces")]
    assert values(found["pretrain"], "--seed") == ["1"] and values(found["train"], "--epochs") == ["3"]
    assert values(found["train"], "--encoder") == values(found["pretrain"], "-o")
    assert values(found["evaluate"], "--model") == values(found["train"], "-o")


def test_of_a_table_it_leaves_activation_out(tmp_path):
    table = tmp_path / "faces of mine.csv"
    pd.DataFrame({"clip": ["01-01-03-01-01-01-01"], "AU12_r": [1.0], "AU12_c": [1.0]}).to_csv(table, index=False)
    (tmp_path / "noise.snr_db=5").touch()  # what [05] would become, were flags taken for patterns
    found = calls(["C", table, "N", "W"], tmp_path, TRAIN="--set noise.snr_db=[05]")
    assert values(found["pretrain"], "--task") == ["energy", "action-units"]
    assert values(found["pretrain"], "--faces") == [str(table)]
    assert values(found["train"], "--set") == ["noise.snr_db=[05]"]


def test_run_again_it_keeps_the_scores(tmp_path):
    scores = tmp_path / "W" / "scores.json"
    scores.parent.mkdir()
    scores.write_text("{}")
    assert list(calls(["C", "F", "N", "W"], tmp_path)) == ["corpus", "pretrain", "train"]
    assert scores.read_text() == "{}"


def test_what_fails_ends_it(tmp_path):
    found = run(["C", "F", "N", "W"], tmp_path, 'echo "$1" >> calls; [ "$1" != pretrain ]')
    assert found.returncode == 1 and (tmp_path / "calls").read_text().split() == ["corpus", "pretrain"]


def test_called_otherwise_it_says_how(tmp_path):
    found = run(["C"], tmp_path, "exit 1")
    assert found.returncode == 2 and "CORPUS FACES NOISE WORK" in found.stderr and found.stdout == ""
