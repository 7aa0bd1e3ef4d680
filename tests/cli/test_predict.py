"""`sertool predict`: a line a file, for people or as JSON."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sertool.cli.prediction_lines import print_table
from sertool.core.models import locate
from sertool.core.models.abstention import NOISE_ONLY, SILENCE_ONLY
from sertool.core.models.inference import load


def test_json_says_all_that_the_model_says(sertool, run, noisy):
    result = sertool("predict", "noisy.wav", "--json", "--model", run)
    assert (result.exit_code, result.stderr) == (0, "")
    heard = load(run).predict(soundfile.read(noisy, dtype="float32")[0], 16_000)
    assert json.loads(result.stdout) == {
        "file": "noisy.wav",
        "label": heard.label,
        "no_speech": None,
        "probabilities": heard.probabilities,
        "attributes": heard.attributes,
        "model": heard.model_id,
    }


def test_a_dash_is_stdout(sertool, run, noisy):
    for how in (("--json",), ()):
        unsaid = sertool("predict", "noisy.wav", *how, "--model", run)
        assert sertool("predict", "noisy.wav", *how, "-o", "-", "--model", run).stdout == unsaid.stdout != ""
    assert [path.name for path in Path().iterdir()] == ["noisy.wav"]


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


def test_a_file_damaged_near_its_end_leaves_no_lines(sertool, run, noisy):
    samples = np.full(20 * 16_000, 0.1, np.float32)
    samples[15 * 16_000] = np.nan
    soundfile.write("bad.wav", samples, 16_000, subtype="FLOAT")
    result = sertool("predict", "bad.wav", "noisy.wav", "--window", "1", "-o", "all.csv", "--model", run)
    assert result.exit_code == 1 and "bad.wav" in result.stderr
    assert set(pd.read_csv("all.csv")["file"]) == {"noisy.wav"}


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


def test_without_any_run_the_model_of_the_package_answers(sertool, noisy, tmp_path, monkeypatch, assert_one_line):
    said = json.loads(sertool("predict", noisy, "--json").stdout)
    assert said["model"] == load("shipped").model_id and said["no_speech"] == NOISE_ONLY
    monkeypatch.setattr(locate, "SHIPPED", tmp_path / "absent")
    assert_one_line(sertool("predict", noisy), "--model", "sertool train", "sertool demo")


def test_a_timeline_as_json_and_as_csv(sertool, run):
    samples = 0.1 * np.random.default_rng(0).standard_normal(16_000 * 4)
    soundfile.write("a.wav", samples, 16_000, subtype="FLOAT")
    soundfile.write("b, c.wav", samples[:8000], 16_000, subtype="FLOAT")
    call = ("predict", "a.wav", "b, c.wav", "--window", 1.5, "--hop", 1, "--model", run)
    result = sertool(*call, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    times = [(record["file"], record["start_s"], record["end_s"]) for record in records]
    assert times == [("a.wav", 0, 1.5), ("a.wav", 1, 2.5), ("a.wav", 2, 3.5), ("a.wav", 2.5, 4), ("b, c.wav", 0, 0.5)]
    heard = load(run).predict(samples[16_000:40_000].astype(np.float32), 16_000)
    assert records[1]["label"] == heard.label
    assert records[1]["probabilities"] == pytest.approx(heard.probabilities, abs=1e-5)
    assert records[1]["attributes"] == pytest.approx(heard.attributes, abs=1e-5)

    assert sertool(*call, "-o", "all.csv").stdout == "all.csv\n"
    table = pd.read_csv("all.csv")
    shares = [f"probability_{name}" for name in records[0]["probabilities"]]
    assert list(table.columns) == ["file", "start_s", "end_s", "label", "no_speech", *shares, "arousal", "model"]
    assert list(table[["file", "start_s", "end_s"]].itertuples(index=False, name=None)) == times
    np.testing.assert_allclose(table[shares], [list(record["probabilities"].values()) for record in records])
    assert sertool(*call, "-o", "each/", "--format", "csv").stdout == "each/a.csv\neach/b, c.csv\n"
    assert len(pd.read_csv("each/a.csv")) == 4


def test_a_label_track(sertool, run, noisy):
    result = sertool("predict", noisy, "--window", 0.2, "--hop", 0.1, "--format", "audacity", "--model", run)
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert float(rows[0][0]) == 0 and float(rows[-1][1]) == 0.5
    assert all(before[1] == after[0] for before, after in itertools.pairwise(rows))
    label, probability = rows[0][2].split()
    assert label in ("anger", "neutral", "sadness") and 0 < float(probability) < 1


def test_a_timeline_for_people(sertool, run, noisy):
    lines = sertool("predict", noisy, "--window", 0.3, "--hop", 0.1, "--model", run).stdout.splitlines()
    assert lines[0].split() == ["file", "start_s", "end_s", "label", "probability", "arousal"]
    assert [line.split()[1] for line in lines[1:]] == ["0.00", "0.10", "0.20"]


def test_a_whole_file_as_csv(sertool, run, noisy):
    lines = sertool("predict", "noisy.wav", "--format", "csv", "--model", run).stdout.splitlines()
    assert len(lines) == 2 and lines[1].startswith("noisy.wav,")
    assert lines[0].startswith("file,label,no_speech,probability_anger")


def test_where_nobody_speaks_no_emotion_is_named(sertool, deaf_run, noisy):
    soundfile.write("silence.wav", np.zeros(8000), 16_000)
    call = ("predict", "noisy.wav", "silence.wav", "--model", deaf_run)
    records = [json.loads(line) for line in sertool(*call, "--json").stdout.splitlines()]
    assert [record["label"] for record in records] == [None, None]
    assert [record["no_speech"] for record in records] == [NOISE_ONLY, SILENCE_ONLY]
    assert all(sum(record["probabilities"].values()) == pytest.approx(1) for record in records)
    table = sertool(*call).stdout.splitlines()
    assert table[0].split() == ["file", "label", "probability", "arousal"]
    assert [line.split() for line in table[1:]] == [["noisy.wav", "no", "speech"], ["silence.wav", "no", "speech"]]
    rows = list(csv.DictReader(sertool(*call, "--format", "csv").stdout.splitlines()))
    assert [(row["label"], row["no_speech"]) for row in rows] == [("", NOISE_ONLY), ("", SILENCE_ONLY)]
    track = sertool("predict", "noisy.wav", "--window", 0.2, "--hop", 0.1, "--format", "audacity", "--model", deaf_run)
    assert track.stdout == "0.000000\t0.500000\tno speech\n"


def test_a_choice_among_some_categories(sertool, run, noisy, assert_one_line):
    def shares(*more: object) -> dict:
        return json.loads(sertool("predict", "noisy.wav", "--json", "--model", run, *more).stdout)["probabilities"]

    whole, some = shares(), shares("--category", "sadness", "--category", "anger")
    total = whole["anger"] + whole["sadness"]
    assert some == pytest.approx({"anger": whole["anger"] / total, "sadness": whole["sadness"] / total})
    call = ("predict", "noisy.wav", "--model", run, "--category", "anger")
    header = sertool(*call, "--category", "neutral", "--format", "csv").stdout.splitlines()[0].split(",")
    assert header[3:] == ["probability_anger", "probability_neutral", "arousal", "model"]
    assert_one_line(sertool(*call), "1 category to choose among; expected two or more")
    assert_one_line(sertool(*call, "--category", "joy"), "does not know 'joy'; expected some of anger")


def test_nothing_is_written_of_a_file_that_fails(sertool, run, noisy, assert_one_line):
    Path("text.wav").write_text("not audio")
    assert_one_line(sertool("predict", "text.wav", "-o", "x.csv", "--model", run), "text.wav: cannot be read")
    assert not Path("x.csv").exists()
    result = sertool("predict", "text.wav", "noisy.wav", "-o", "out/", "--format", "json", "--model", run)
    assert result.exit_code == 1 and result.stdout == "out/noisy.jsonl\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hop", 1], "--hop without --window"),
        (["--window", 0], "window is 0 s; expected 0.01 s to 40 s"),
        (["--window", 41], "window is 41 s"),
        (["--window", 3, "--hop", 0], "hop is 0 s"),
        (["--format", "audacity"], "a label track without --window"),
        (["-o", "x.xml"], "x.xml: cannot tell the format"),
        (["-o", "x.csv", "--format", "table"], "a table is for the terminal"),
        (["-o", "there.csv"], "there.csv: exists already"),
        (["-o", "noisy.wav", "--format", "json", "--overwrite"], "noisy.wav: is an input itself"),
        (["other.wav", "--window", 1, "--format", "audacity"], "2 inputs and one label track"),
        (["other.wav", "--window", 1, "-o", "x.txt"], "2 inputs and one label track"),
    ],
)
def test_calls_that_make_no_sense(sertool, run, noisy, arguments, words, assert_one_line):
    Path("there.csv").touch()
    assert_one_line(sertool("predict", "noisy.wav", *arguments, "--model", run), words)


def test_a_table_of_attributes_alone_says_where_nobody_speaks(capsys):
    silent = {"file": "silence.wav", "label": None, "no_speech": SILENCE_ONLY, "probabilities": {}}
    print_table([silent | {"attributes": {"arousal": 4.0, "valence": 4.0}, "model": "0"}])
    assert capsys.readouterr().out.split() == ["file", "arousal", "valence", "silence.wav", "no", "speech"]
