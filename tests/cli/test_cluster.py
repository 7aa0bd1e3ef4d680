"""`sertool cluster` as a user calls it."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from sertool.cli.main import app

TINY = (
    *("--set", "input.mels=32", "--set", "input.channels=[4,4,4,4,4,4,4]", "--set", "input.chunk_s=0.2"),
    *("--chunks", "3", "--clusters", "3", "--epochs", "1", "--device", "cpu"),
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a labelled manifest of derived attributes and an unlabelled one."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion,arousal,attributes_source"]
    for number in range(12):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * generator.standard_normal(6000), 16_000)
        speaker, split = ("a", "train") if number < 8 else ("b", "dev")
        emotion, arousal = (("anger", 6), ("sadness", 2))[number % 2]
        rows.append(f"{number}.wav,{speaker},{split},{emotion},{arousal},derived from the category (a book)")
    (tmp_path / "labelled.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "speech.csv").write_text("file_name\n" + "".join(f"{number}.wav\n" for number in range(8)))
    return tmp_path


def _cluster(*arguments):
    return CliRunner().invoke(app, ["cluster", *arguments])


def test_the_runs_folder_is_all_of_stdout(place):
    result = _cluster("labelled.csv", "--unlabelled", "speech.csv", "--attribute", "arousal", *TINY, "-o", "run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "run\n"
    assert "of one speaker (a)" in result.stderr and "derived from the category (a book)" in result.stderr
    assert "epoch 1: dev ccc_arousal_derived" in result.stderr
    for name in ("chunks.parquet", "utterances.parquet", "analysis.json", "analysis.png", "README.md", "recipe.yaml"):
        assert (place / "run" / name).is_file()
    analysis = json.loads((place / "run" / "analysis.json").read_text())
    assert analysis["attributes"] == "derived from the category (a book)"
    again = _cluster("labelled.csv", "--unlabelled", "speech.csv", "--attribute", "arousal", *TINY, "-o", "run")
    assert (again.exit_code, again.stdout) == (0, "run\n") and "finished already" in again.stderr
    other = _cluster("labelled.csv", "--attribute", "arousal", *TINY, "-o", "run")
    assert other.exit_code == 2 and "holds a run of other inputs" in other.stderr
    for command in (["predict", "0.wav"], ["train", "labelled.csv", "--encoder", "run"]):
        flag = ["--model", "run"] if command[0] == "predict" else ["-o", "other"]
        result = CliRunner().invoke(app, [*command, *flag])
        assert result.exit_code == 2 and "is a cluster model" in result.stderr, result.stderr


def test_json_tells_every_epoch_and_the_run(place):
    result = _cluster("labelled.csv", "--clusters", "0", "--json", "-o", "run", *TINY[:6], "--epochs", "2")
    assert result.exit_code == 0, result.stderr
    first, second, run = map(json.loads, result.stdout.splitlines())
    assert (first["epoch"], second["epoch"], run["run"]) == (0, 1, "run")
    assert {"f1_macro", "ua", "score"} == run["dev"].keys() and run["attributes"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.csv"], "nothing.csv: no such file"),
        (["labelled.csv", "--temporal", "lstm"], "'temporal' is 'lstm'"),
        (["labelled.csv", "--set", "optimisation.epoch=3"], "the nearest known one is 'optimisation.epochs'"),
        (["labelled.csv", "--attribute", "anger"], "'attributes.0' is 'anger'"),
        (["labelled.csv", "--clusters", "100"], "lower --clusters"),
        (["speech.csv"], "'split'"),
        (["labelled.csv", "--recipe", "gone.yaml"], "gone.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(place, arguments, message):
    result = _cluster(*arguments, "-o", "run", *TINY[:6], "--chunks", "3", "--device", "cpu")
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.strip().splitlines()) <= 3
    assert not (place / "run" / "metrics.jsonl").exists()


def test_overwrite_starts_anew_and_removes_nothing_else(place):
    _cluster("labelled.csv", *TINY, "-o", "run")
    (place / "run" / "mine.txt").write_text("mine")
    result = _cluster("labelled.csv", *TINY, "--seed", "1", "-o", "run", "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert (place / "run" / "mine.txt").read_text() == "mine"
