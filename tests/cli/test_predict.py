"""`sertool predict`: a line a file, for people or as JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.models.inference import load


def test_json_says_all_that_the_model_says(sertool, run, noisy):
    result = sertool("predict", "noisy.wav", "--json", "--model", run)
    assert (result.exit_code, result.stderr) == (0, "")
    heard = load(run).predict(soundfile.read(noisy, dtype="float32")[0])
    assert json.loads(result.stdout) == {
        "file": "noisy.wav",
        "label": heard.label,
        "probabilities": heard.probabilities,
        "attributes": heard.attributes,
        "model": heard.model_id,
    }


def test_a_table_for_people(sertool, run, noisy):
    long_name = Path("deep" * 30 + ".wav")
    long_name.write_bytes(noisy.read_bytes())
    result = sertool("predict", "noisy.wav", long_name, "--model", run)
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["file", "label", "probability", "arousal"]
    assert first.split()[0] == "noisy.wav" and second.split()[0] == str(long_name)
    assert first.split()[1] in ("anger", "neutral", "sadness") and 0 < float(first.split()[2]) < 1


def test_the_rest_is_heard_when_some_fail(sertool, run, noisy):
    result = sertool("predict", "absent.wav", "noisy.wav", "--json", "--model", run)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["file"] == "noisy.wav"
    assert result.stderr.splitlines()[0].startswith("failed: absent.wav: no such file")


def test_folders_and_lists(sertool, run, noisy):
    Path("in").mkdir()
    Path("in/a.wav").write_bytes(noisy.read_bytes())
    result = sertool("predict", "in", "--list", "-", "--json", "--model", run, stdin=b"noisy.wav\n")
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == ["in/a.wav", "noisy.wav"]


def test_audio_on_stdin(sertool, run, noisy):
    by_name = json.loads(sertool("predict", noisy, "--json", "--model", run).stdout)
    by_pipe = json.loads(sertool("predict", "-", "--json", "--model", run, stdin=noisy.read_bytes()).stdout)
    assert by_pipe == {**by_name, "file": "stdin"}


@pytest.mark.parametrize("samples", [np.zeros(8000), np.zeros(1)])
@pytest.mark.parametrize("rate", [8000, 192_000])
def test_silence_and_a_single_sample_have_an_answer(sertool, run, samples, rate):
    soundfile.write("a.wav", np.stack([samples] * 6, axis=1), rate)
    result = sertool("predict", "a.wav", "--json", "--model", run)
    assert result.exit_code == 0, result.stderr
    assert sum(json.loads(result.stdout)["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["-"], b"", "stdin is empty"),
        (["-"], b"a.wav\nb.wav\n", "stdin: cannot be read as audio"),
        (["--list", "-"], b"", "stdin: is empty; expected a list"),
        (["--list", "-"], b"RIFF\0\0", "stdin: is not text"),
        (["--list", "absent.txt"], b"", "absent.txt: no such file; expected a list"),
    ],
)
def test_what_comes_by_stdin_or_list_and_cannot_be_used(sertool, run, arguments, stdin, words, assert_one_line):
    assert_one_line(sertool("predict", *arguments, "--model", run, stdin=stdin), words)


def test_without_any_run_the_ways_out_are_named(sertool, noisy, assert_one_line):
    assert_one_line(sertool("predict", noisy), "--model", "sertool train", "sertool demo")
