"""`sertool export`: what is written, what is said of it, and what is refused."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.exporting import agreement
from sertool.core.exporting.onnx_file import OnnxModel
from sertool.core.models.inference import load


@pytest.fixture(autouse=True)
def few_short_signals(monkeypatch):
    """Check on less than 30 s: every test here exports."""
    signals, speed = agreement.check_signals, agreement.seconds_per_second
    monkeypatch.setattr(agreement, "check_signals", lambda lengths=(1, 401, 6400): signals(lengths))
    monkeypatch.setattr(agreement, "seconds_per_second", lambda hear: speed(hear, duration_s=0.1, times=1))


def test_an_onnx_file_that_says_what_the_run_says(sertool, run):
    result = sertool("export", run, "-o", "out/model.onnx")
    assert (result.exit_code, result.stdout) == (0, "out/model.onnx\n"), result.stderr
    assert (
        "checked against torch on 4 signals of 1 sample to 0.4 s: enhanced by at most" in result.stderr
        and "ms a second of audio: torch" in result.stderr
    )
    samples = 0.1 * np.random.default_rng(0).standard_normal(7000).astype(np.float32)
    said, (prediction, speech) = OnnxModel("out/model.onnx").run(samples), load(run).hear(samples)
    np.testing.assert_allclose(said["probabilities"], list(prediction.probabilities.values()), atol=1e-5)
    np.testing.assert_allclose(said["enhanced"], speech, atol=1e-5)


def test_quantised_with_its_cost_on_a_manifest(sertool, run):
    noise = 0.1 * np.random.default_rng(0).standard_normal((3, 16_000))
    for i, samples in enumerate(noise):
        soundfile.write(f"{i}.wav", samples, 16_000, subtype="FLOAT")
    rows = ["file_name,emotion,clean_file", "0.wav,anger,1.wav", "1.wav,neutral,2.wav", "2.wav,,0.wav"]
    Path("m.csv").write_text("\n".join(rows) + "\n")
    how = ("--quantise", "--check-on", "m.csv", "--json")
    result = sertool("export", run, "-o", "model.onnx", *how)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert set(record["differences"]) == {"enhanced", "probabilities", "attributes"}
    assert all(one["largest"] <= one["limit"] for one in record["differences"].values())
    assert set(record["seconds_per_second"]) == {"torch", "onnx", "onnx_int8"}
    cost = record["quantised"]
    assert cost["output"] == "model.int8.onnx" and cost["bytes"] == Path("model.int8.onnx").stat().st_size
    assert cost["manifest"]["utterances"] == 3 and 0 <= cost["manifest"]["plain"]["ua"] <= 1
    assert cost["manifest"]["quantised"]["si_sdr"] is not None
    assert "on 3 utterances of m.csv: the same category on" in result.stderr


def test_a_folder_for_transformers(sertool, run):
    result = sertool("export", run, "--format", "hf", "-o", "folder/")
    assert (result.exit_code, result.stdout) == (0, "folder\n"), result.stderr
    assert json.loads(Path("folder/config.json").read_text())["model_type"] == "sertool"
    assert "AutoModel.from_pretrained" in Path("folder/README.md").read_text()
    again = sertool("export", run, "--format", "hf", "-o", "folder", "--overwrite", "--json")
    assert json.loads(again.stdout)["bytes"]["model.safetensors"] == Path("folder/model.safetensors").stat().st_size


@pytest.mark.parametrize("place", ["copy", "copy/model"])
def test_a_run_s_own_card_is_never_replaced(sertool, run, assert_one_line, place):
    shutil.copytree(run, "copy")
    Path("copy/README.md").write_text("# Mine\n")
    assert_one_line(sertool("export", "copy", "--format", "hf", "-o", place, "--overwrite"), "is the model itself")
    assert Path("copy/README.md").read_text() == "# Mine\n"


def test_without_a_name_it_has_the_run_s(sertool, run):
    assert sertool("export", run).stdout == "tiny.onnx\n"


def test_a_file_that_is_wrong_ends_with_3(sertool, run, monkeypatch):
    monkeypatch.setattr(agreement, "_difference", lambda a, b: 0.5)
    result = sertool("export", run, "-o", "model.onnx")
    assert result.exit_code == 3
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: model.onnx: ") and "differs from torch by" in last and "expected at most" in last


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "model.bin"), ("model.bin", "expected a name in .onnx")),
        (("-o", "there.onnx"), ("there.onnx", "exists already", "--overwrite")),
        (("-o", "x.onnx", "--quantise"), ("x.int8.onnx", "exists already")),
        (("--format", "hf", "-o", "there.onnx"), ("is a file",)),
        (("--format", "hf", "-o", "full"), ("full", "exists already")),
        (("--format", "hf", "--quantise"), ("--format onnx",)),
        (("--check-on", "m.csv"), ("--quantise",)),
        (("--quantise", "--check-on", "no.csv", "-o", "y.onnx"), ("no.csv",)),
    ],
)
def test_what_is_refused(sertool, run, assert_one_line, arguments, words):
    for name in ("there.onnx", "x.int8.onnx", "full/file"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("kept")
    assert_one_line(sertool("export", run, *arguments), *words)
    assert Path("there.onnx").read_text() == Path("full/file").read_text() == "kept"


def test_a_missing_package_and_a_missing_run(sertool, run, assert_one_line, monkeypatch):
    assert_one_line(sertool("export", "nowhere", "-o", "x.onnx"), "nowhere", "no such folder")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert_one_line(sertool("export", run, "-o", "x.onnx"), "onnxruntime is not installed", "sertool[export]")
