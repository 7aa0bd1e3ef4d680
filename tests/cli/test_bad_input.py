"""Bad input ends in one line that says what was found, what was expected and what to do; odd but right input works."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile


def write(path: Path | str, samples: np.ndarray | None = None, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples is None:
        samples = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def truncate(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


BAD_AUDIO = {
    "missing file": (lambda path: None, "no such file"),
    "empty folder": (Path.mkdir, "holds no audio; expected files ending in"),
    "text named .wav": (lambda path: path.write_text("emotion,file\n"), "cannot be read as audio"),
    "empty file": (Path.touch, "cannot be read as audio"),
    "truncated WAV": (lambda path: truncate(write(path)), "is cut off"),
    "no samples": (lambda path: write(path, np.zeros(0)), "holds no samples"),
    "NaN samples": (lambda path: write(path, np.full(100, np.nan), subtype="FLOAT"), "not numbers"),
}


@pytest.mark.parametrize("command", ["enhance", "predict"])
@pytest.mark.parametrize(("make", "words"), BAD_AUDIO.values(), ids=BAD_AUDIO)
def test_audio(sertool, assert_one_line, run, command, make, words):
    make(Path("bad.wav"))
    assert_one_line(sertool(command, "bad.wav", "--model", run), "bad.wav: ", words)
    assert not Path("bad.enhanced.wav").exists()


@pytest.mark.parametrize("command", ["enhance", "predict"])
@pytest.mark.parametrize(
    ("samples", "rate"),
    [(np.zeros(8000), 16_000), (None, 8000), (np.full((9600, 6), 0.1) * np.sin(np.arange(9600))[:, None], 192_000)],
    ids=["all zeros", "8 kHz", "192 kHz, six channels"],
)
def test_odd_but_right(sertool, run, command, samples, rate):
    write("odd.wav", samples, rate)
    result = sertool(command, "odd.wav", "--model", run)
    assert (result.exit_code, result.stderr) == (0, "")


def half_written_run(folder: Path) -> None:
    (folder / "model").mkdir(parents=True)
    (folder / "run.json").write_text('{"state": "unfinished"}')


def weights_missing(folder: Path) -> None:
    half_written_run(folder)
    (folder / "run.json").write_text('{"state": "finished"}')
    (folder / "model" / "config.json").write_text("{}")


BAD_RUNS = {
    "missing": (lambda folder: None, "no such"),
    "empty": (Path.mkdir, "expected"),
    "half written": (half_written_run, "finished"),
    "without weights": (weights_missing, "model.safetensors"),
}


@pytest.mark.parametrize("command", ["enhance", "predict"])
@pytest.mark.parametrize(("make", "words"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_runs(sertool, assert_one_line, noisy, command, make, words):
    make(Path("run"))
    assert_one_line(sertool(command, noisy, "--model", "run"), "run", words)


@pytest.mark.parametrize(("make", "words"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_runs_to_evaluate(sertool, assert_one_line, corpus, make, words):
    make(Path("run"))
    assert_one_line(sertool("evaluate", corpus, "--model", "run", "--snr", "clean"), "run", words)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """A manifest of four utterances of two speakers, in the working folder."""
    lines = ["file_name,speaker,split,emotion"]
    for index in range(4):
        write(tmp_path / f"{index}.wav", 0.1 * np.random.default_rng(index).standard_normal(8000))
        speaker, split = [("a", "train"), ("b", "test")][index // 2]
        lines.append(f"{index}.wav,{speaker},{split},{['anger', 'neutral'][index % 2]}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    return "metadata.csv"


@pytest.fixture
def noise(tmp_path: Path) -> str:
    """A folder of noise of one kind."""
    write(tmp_path / "noise" / "hum" / "1.wav", 0.1 * np.random.default_rng(9).standard_normal(32_000))
    return "noise"


@pytest.mark.parametrize("missing", ["file_name", "emotion"])
def test_a_manifest_without_its_column(sertool, assert_one_line, run, corpus, missing):
    Path(corpus).write_text(Path(corpus).read_text().replace(missing, "other"))
    assert_one_line(sertool("evaluate", corpus, "--model", run, "--snr", "clean"), corpus, f"'{missing}'")


@pytest.mark.parametrize("command", ["mix-noise", "corpus check"])
def test_a_path_with_two_dots(sertool, assert_one_line, corpus, noise, command):
    Path(corpus).write_text(Path(corpus).read_text().replace("0.wav", "../0.wav"))
    more = ["--noise", noise, "--snr", "0", "-o", "out"] if command == "mix-noise" else []
    assert_one_line(sertool(*command.split(), corpus, *more), "../0.wav", "'..'")


def test_an_unknown_category(sertool, assert_one_line, run, corpus):
    Path(corpus).write_text(Path(corpus).read_text().replace("neutral", "boredom"))
    result = sertool("evaluate", corpus, "--model", run, "--snr", "clean", "--on-unknown", "error")
    assert_one_line(result, "'boredom'", "anger, neutral, sadness")


def test_a_misspelt_category(sertool, assert_one_line):
    write("in/a.wav")
    Path("in/metadata.csv").write_text("file_name,emotion\na.wav,angerr\n")
    assert_one_line(sertool("corpus", "folder", "in"), "angerr")


@pytest.mark.parametrize("command", ["mix-noise", "evaluate"])
@pytest.mark.parametrize("snr", ["", "loud", "nan", "5:-5"])
def test_an_snr_that_is_none(sertool, assert_one_line, run, corpus, noise, command, snr):
    more = ["-o", "out"] if command == "mix-noise" else ["--model", run]
    assert_one_line(sertool(command, corpus, "--noise", noise, "--snr", snr, *more), "SNR")
    assert not Path("out").exists()


def test_an_empty_snr_list(sertool, assert_one_line, corpus, noise):
    assert_one_line(sertool("mix-noise", corpus, "--noise", noise, "-o", "out"), "--snr")


def test_silent_noise(sertool, assert_one_line, corpus):
    write("noise/hum/1.wav", np.zeros(32_000))
    result = sertool("mix-noise", corpus, "--noise", "noise", "--snr", "0", "-o", "out", "--workers", 1)
    assert_one_line(result, "silent")


def test_an_existing_output(sertool, assert_one_line, run, corpus, noise):
    write("noisy.enhanced.wav")
    write("noisy.wav")
    assert_one_line(sertool("enhance", "noisy.wav", "--model", run), "noisy.enhanced.wav", "--overwrite")
    Path("out").mkdir()
    Path("out/precious.txt").write_text("mine")
    assert sertool("mix-noise", corpus, "--noise", noise, "--snr", "0", "-o", "out").exit_code == 2
    assert sorted(path.name for path in Path("out").iterdir()) == ["precious.txt"]
    before = Path(corpus).read_text()
    assert sertool("corpus", "folder", ".", "-o", corpus, "--map", "anger=fear").exit_code == 2
    assert Path(corpus).read_text() == before


def test_a_misspelt_recipe_key(sertool, assert_one_line, corpus):
    Path("recipe.yaml").write_text("encodr: compact\n")
    assert_one_line(sertool("train", corpus, "--recipe", "recipe.yaml", "-o", "run"), "encodr", "encoder")
    assert not Path("run").exists()


def test_failures_among_many_leave_json_lines_whole(sertool, run):
    write("good.wav")
    Path("bad.wav").write_text("text")
    result = sertool("predict", "bad.wav", "good.wav", "--json", "--model", run)
    assert result.exit_code == 1
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == ["good.wav"]
    assert [line.partition(":")[0] for line in result.stderr.splitlines()][:1] == ["failed"]
