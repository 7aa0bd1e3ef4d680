"""`sertool enhance`: where outputs go, what is refused before a file is lost, pipes."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.cli import enhance as command
from sertool.cli.inputs import Input
from sertool.core.models.inference import load


def write(path: Path, samples: np.ndarray | None = None, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples is None:
        samples = 0.1 * np.random.default_rng(len(path.name)).standard_normal(4000)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def test_one_file_is_written_beside_its_input(sertool, run, noisy):
    result = sertool("enhance", "noisy.wav", "--model", run)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "noisy.enhanced.wav\n", "")
    samples, _ = soundfile.read(noisy, dtype="float32")
    written, rate = soundfile.read("noisy.enhanced.wav", dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(written, load(run).enhance(samples, 16_000))


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16_000, 1), (192_000, 6)])
@pytest.mark.parametrize("silent", [False, True])
def test_rate_channels_and_length_stay(sertool, run, rate, channels, silent):
    samples = np.zeros((rate // 5 + 7, channels))
    if not silent:
        samples += 0.1 * np.random.default_rng(0).standard_normal(samples.shape)
    write(Path("a.wav"), samples, rate, "FLOAT")
    result = sertool("enhance", "a.wav", "-o", "b.wav", "--model", run, "--json")
    assert result.exit_code == 0, result.stderr
    written, written_rate = soundfile.read("b.wav", always_2d=True)
    assert written_rate == rate and written.shape == samples.shape
    assert bool(written.any()) is not silent
    record = json.loads(result.stdout)
    assert record["file"] == "a.wav" and record["output"] == "b.wav"
    assert (record["rate"], record["channels"]) == (rate, channels)
    assert record["duration_s"] == pytest.approx(len(samples) / rate, abs=1e-6)
    assert record["model"] == load(run).model_id
    assert record["upper_band"] == "drop"


def test_dry_is_passed_on(sertool, run, noisy):
    sertool("enhance", noisy, "-o", "dry.wav", "--dry", 1, "--model", run)
    np.testing.assert_array_equal(soundfile.read("dry.wav")[0], soundfile.read(noisy)[0])


def test_the_upper_band_is_passed_on(sertool, run):
    write(Path("a.wav"), rate=48_000)
    result = sertool("enhance", "a.wav", "-o", "b.wav", "--upper-band", "follow", "--json", "--model", run)
    assert json.loads(result.stdout)["upper_band"] == "follow"
    samples, _ = soundfile.read("a.wav", dtype="float32")
    expected = load(run).enhance(samples, 48_000, upper_band="follow")
    np.testing.assert_array_equal(soundfile.read("b.wav", dtype="float32")[0], expected)


def test_flac_stays_flac_and_the_rest_becomes_wav(sertool, run):
    write(Path("a.flac"))
    soundfile.write("b.ogg", np.zeros(4000), 16_000)
    assert sertool("enhance", "a.flac", "b.ogg", "--model", run).stdout == "a.enhanced.flac\nb.enhanced.wav\n"


def test_the_newest_run_is_used_unasked(sertool, run, noisy, tmp_path):
    (tmp_path / "runs").mkdir()
    os.symlink(run, tmp_path / "runs" / "first")
    assert sertool("enhance", noisy).exit_code == 0


def test_a_folder_keeps_its_shape(sertool, run):
    for name in ("in/a.wav", "in/deep/b.flac", "in/c.enhanced.wav"):
        write(Path(name))
    result = sertool("enhance", "in", "-o", "out", "--model", run)
    assert result.stdout.splitlines() == ["out/a.wav", "out/deep/b.flac"]  # earlier outputs are no inputs
    assert all(Path(line).is_file() for line in result.stdout.splitlines())


def test_outputs_beneath_the_folder_of_inputs_are_no_inputs(sertool, run, assert_one_line):
    write(Path("in/a.wav"))
    call = ("enhance", "in", "-o", "in/out", "--model", run)
    assert sertool(*call).stdout == "in/out/a.wav\n"
    write(Path("in/b.wav"))
    assert sertool(*call, "--skip-existing").stdout == "in/out/b.wav\n"
    assert sertool("enhance", "in/out", "-o", ".", "--model", run).stdout == "a.wav\nb.wav\n"
    for name in "ab":
        Path(f"in/{name}.wav").unlink()
    assert_one_line(sertool(*call), "in: holds no audio but the outputs in in/out")


def test_a_folder_of_one_goes_into_a_folder(sertool, run):
    write(Path("in/a.wav"))
    assert sertool("enhance", "in", "-o", "out", "--model", run).stdout == "out/a.wav\n"


def test_workers_write_the_same_samples_in_the_same_order(sertool, run):
    names = [str(write(Path(f"in/{index}.wav"))) for index in range(3)]
    one = sertool("enhance", *names, "-o", "one/", "--model", run)
    two = sertool("enhance", *names, "-o", "two/", "--model", run, "--workers", 2)
    assert two.exit_code == 0, two.stderr
    assert two.stdout.replace("two/", "one/") == one.stdout
    for name in one.stdout.split():
        first, second = (soundfile.read(name.replace("one/", part))[0] for part in ("one/", "two/"))
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_list_of_files(sertool, run, noisy):
    write(Path("b.wav"))
    by_stdin = sertool("enhance", "--list", "-", "-o", "x/", "--model", run, stdin=b"noisy.wav\n\nb.wav\n")
    Path("list.txt").write_text("noisy.wav\nb.wav\n")
    by_file = sertool("enhance", "--list", "list.txt", "-o", "y/", "--model", run)
    assert by_stdin.stdout.splitlines() == ["x/noisy.wav", "x/b.wav"]
    assert by_file.stdout.splitlines() == ["y/noisy.wav", "y/b.wav"]


def test_audio_on_stdin_goes_to_stdout(sertool, run, noisy):
    result = sertool("enhance", "-", "--model", run, stdin=noisy.read_bytes())
    assert result.exit_code == 0, result.stderr
    samples, rate = soundfile.read(io.BytesIO(result.stdout_bytes), dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, load(run).enhance(soundfile.read(noisy, dtype="float32")[0], 16_000))


def test_audio_on_stdin_may_go_to_a_file_and_a_file_to_stdout(sertool, run, noisy):
    assert sertool("enhance", "-", "-o", "a.wav", "--model", run, stdin=noisy.read_bytes()).stdout == "a.wav\n"
    streamed = sertool("enhance", noisy, "-o", "-", "--model", run).stdout_bytes
    # The samples, not the bytes: the header of a float WAV holds the second it was written in.
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(streamed))[0], soundfile.read("a.wav")[0])


def test_a_file_that_is_called_stdin_is_a_file(sertool, run, noisy):
    noisy.rename("stdin")
    assert sertool("enhance", "stdin", "--model", run).stdout == "stdin.enhanced.wav\n"


def test_a_whole_pipe(run, noisy):
    command = (
        f"cat noisy.wav | {sys.executable} -m sertool enhance - --model {run} | "
        f"{sys.executable} -m sertool predict - --json --model {run}"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=noisy.parent, check=True)
    record = json.loads(done.stdout)
    assert record["file"] == "stdin" and set(record["probabilities"]) == {"anger", "neutral", "sadness"}
    assert done.stderr == ""


def test_the_rest_is_done_when_some_fail(sertool, run, noisy):
    Path("text.wav").write_text("not audio")
    result = sertool("enhance", "text.wav", noisy, "absent.wav", "--model", run)
    assert result.exit_code == 1
    assert result.stdout == f"{noisy.with_name('noisy.enhanced.wav')}\n"
    lines = result.stderr.splitlines()
    assert lines[0].startswith("failed: text.wav: cannot be read") and lines[1].startswith(
        "failed: absent.wav: no such"
    )
    assert lines[2].startswith("2 of 3")


def test_an_existing_output_is_never_overwritten_unasked(sertool, run, noisy, assert_one_line):
    output = write(Path("noisy.enhanced.wav"))
    before = output.read_bytes()
    assert_one_line(sertool("enhance", "noisy.wav", "--model", run), "noisy.enhanced.wav", "--overwrite")
    assert output.read_bytes() == before
    assert sertool("enhance", "noisy.wav", "--model", run, "--overwrite").exit_code == 0
    assert output.read_bytes() != before


def test_of_very_many_those_that_are_there_are_left_out_in_one_pass(sertool, run, monkeypatch):
    sources = [Input(path=Path(f"in/{number}.wav"), name=f"{number}.wav") for number in range(300)]
    monkeypatch.setattr(command, "gather", lambda *_, **__: contextlib.nullcontext(sources))
    monkeypatch.setattr(command, "_work", lambda jobs, **_: left.extend(jobs))
    compared, left = [], []
    monkeypatch.setattr(command.Job, "__eq__", lambda a, b: compared.append(1) or a is b)
    Path("out").mkdir()
    for source in sources[::2]:
        (Path("out") / source.path.name).touch()
    result = sertool("enhance", "in", "-o", "out", "--skip-existing", "--model", run)
    assert (result.exit_code, result.stderr) == (0, "150 of 300 outputs are there already\n")
    assert [job.source for job in left] == sources[1::2]
    assert len(compared) <= len(sources)


def test_two_inputs_never_share_an_output(sertool, run, assert_one_line):
    write(Path("x/a.wav"))
    write(Path("y/a.wav"))
    assert_one_line(sertool("enhance", "x/a.wav", "y/a.wav", "-o", "out", "--model", run), "x/a.wav and y/a.wav")
    assert not Path("out").exists()


def test_an_input_is_never_overwritten(sertool, run, noisy, assert_one_line):
    before = noisy.read_bytes()
    for output in ("noisy.wav", "."):
        result = sertool("enhance", "noisy.wav", "-o", output, "--overwrite", "--model", run)
        assert_one_line(result, "is an input itself")
    assert noisy.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["noisy.wav", "-o", "a.mp3"], "expected a name in .wav or .flac"),
        (["noisy.wav", "-o", "a"], "or a folder (end it with /)"),
        (["noisy.wav", "noisy.wav", "-o", "-"], "cannot all go to stdout"),
        (["noisy.wav", "-o", "-", "--json"], "exclude each other"),
        (["-", "-"], "stdin is wanted twice"),
        (["-", "--list", "-"], "stdin is wanted twice"),
        ([], "no input was named"),
        (["noisy.wav", "x.wav", "-o", "noisy.wav"], "is a file; expected a folder"),
    ],
)
def test_calls_that_make_no_sense(sertool, run, noisy, arguments, words, assert_one_line):
    assert_one_line(sertool("enhance", *arguments, "--model", run, stdin=b""), words)


def test_a_model_that_does_not_enhance(sertool, noisy, tmp_path, assert_one_line):
    from sertool.core.models.config import CompactConfig, EmotionConfig, SharedConfig
    from sertool.core.models.shared import SharedModel

    emotion = EmotionConfig(categories=("anger", "neutral"), hidden=8)
    SharedModel(SharedConfig(encoder=CompactConfig(mels=8, dim=8, layers=1), emotion=emotion)).save_pretrained("m")
    assert_one_line(sertool("enhance", noisy, "--model", "m"), "m: ", "not trained to enhance")
