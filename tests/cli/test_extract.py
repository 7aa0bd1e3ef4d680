"""`sertool extract`: features of files, folders and manifests, in the shape that was asked for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sertool.core.models.inference import load


def write(name: str, samples: int = 4000) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(len(name)).standard_normal(samples), 16_000)
    return path


def embedded(run, path, **how) -> np.ndarray:
    return load(run).embed(soundfile.read(path, dtype="float32")[0], 16_000, **how)


def test_one_row_an_utterance(sertool, run):
    names = [str(write("in/a.wav")), str(write("in/deep/b.flac"))]
    result = sertool("extract", "in", "--model", run)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "features.parquet\n", "")
    table = pd.read_parquet("features.parquet")
    assert table["file_name"].tolist() == names
    matrix = table.filter(regex=r"^f\d{4}$").to_numpy()
    np.testing.assert_array_equal(matrix, [embedded(run, name, pool=True) for name in names])


@pytest.mark.parametrize(("layer", "number"), [("sum", None), (0, 0), (-1, -1)])
def test_one_row_a_frame(sertool, run, layer, number):
    names = [str(write("a.wav")), str(write("bb.wav", 7000))]
    how = ("--layer", layer, "--pool", "frames", "-o", "x.parquet", "--model", run)
    assert sertool("extract", *names, *how).exit_code == 0
    table = pd.read_parquet("x.parquet")
    for name in names:
        own = table[table["file_name"] == name]
        np.testing.assert_array_equal(own.filter(regex=r"^f\d{4}$").to_numpy(), embedded(run, name, layer=number))
        assert own["time_s"].iloc[-1] == pytest.approx((len(own) - 1) / 50)


def test_arrays(sertool, run):
    names = [str(write("in/a.wav")), str(write("in/deep/b.wav"))]
    assert sertool("extract", *names, "-o", "x.npy", "--model", run).stdout == "x.npy\n"
    np.testing.assert_array_equal(np.load("x.npy"), [embedded(run, name, pool=True) for name in names])
    assert Path("x.csv").read_text().splitlines() == ["file_name", *names]
    result = sertool("extract", "in", "--pool", "frames", "-o", "out/", "--model", run)
    assert result.stdout.splitlines() == ["out/a.npy", "out/deep/b.npy"]
    np.testing.assert_array_equal(np.load("out/deep/b.npy"), embedded(run, names[1]))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_manifest_keeps_its_columns(sertool, run, workers):
    for name in ("in/s1/a.wav", "in/s2/a.wav"):
        write(name)
    Path("in/m.csv").write_text("file_name,speaker,emotion\ns1/a.wav,01,anger\ns2/a.wav,02,\n")
    result = sertool("extract", "in/m.csv", "-o", "x.parquet", "--workers", workers, "--model", run)
    assert result.exit_code == 0, result.stderr
    table = pd.read_parquet("x.parquet")
    assert table.columns[:3].tolist() == ["file_name", "speaker", "emotion"]
    assert table["speaker"].tolist() == ["01", "02"] and table["emotion"].isna().tolist() == [False, True]
    np.testing.assert_allclose(
        table.filter(regex=r"^f\d{4}$").to_numpy()[1], embedded(run, "in/s2/a.wav", pool=True), atol=1e-5
    )
    assert sertool("extract", "in/m.csv", "-o", "y/", "--model", run).stdout == "y/s1/a.npy\ny/s2/a.npy\n"


def test_audio_on_stdin(sertool, run, noisy):
    assert sertool("extract", "-", "--model", run, stdin=noisy.read_bytes()).exit_code == 0
    assert pd.read_parquet("features.parquet")["file_name"].tolist() == ["stdin"]


def test_the_rest_is_done_when_some_fail(sertool, run, noisy):
    Path("text.wav").write_text("not audio")
    result = sertool("extract", "text.wav", "noisy.wav", "--model", run)
    assert result.exit_code == 1
    assert pd.read_parquet("features.parquet")["file_name"].tolist() == ["noisy.wav"]
    assert result.stderr.splitlines()[0].startswith("failed: text.wav: cannot be read")
    result = sertool("extract", "text.wav", "absent.wav", "-o", "none.parquet", "--model", run)
    assert result.exit_code == 1 and not Path("none.parquet").exists() and result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no input was named"),
        (["noisy.wav", "--layer", "last"], "layer is 'last'; expected sum, or a number"),
        (["noisy.wav", "--layer", "7"], "no hidden state 7; expected 0 to 1"),
        (["noisy.wav", "-o", "x.txt"], "x.txt: cannot tell the format"),
        (["noisy.wav", "-o", "x.npy", "--pool", "frames"], "one array cannot hold the frames"),
        (["noisy.wav", "-o", "there.parquet"], "there.parquet: exists already"),
        (["noisy.wav", "m.csv"], "a manifest among other inputs"),
        (["m.csv"], "m.csv: no such file"),
        (["f.csv"], "column 'f0000' is what a column of features is called"),
        (["text.wav"], "text.wav: cannot be read as audio"),
    ],
)
def test_calls_that_make_no_sense(sertool, run, noisy, arguments, words, assert_one_line):
    Path("there.parquet").write_bytes(b"")
    Path("text.wav").write_text("not audio")
    Path("f.csv").write_text("file_name,f0000\nnoisy.wav,1\n")
    assert_one_line(sertool("extract", *arguments, "--model", run), words)
