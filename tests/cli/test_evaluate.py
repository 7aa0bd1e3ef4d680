"""`sertool evaluate` as a user calls it: tables or JSON on stdout, files beside, one line for what is wrong."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sertool.core.audio.files import audio_digest, read_audio, write_audio
from sertool.core.evaluation.by_snr import Evaluation
from sertool.core.metrics.speech import MEASURES
from sertool.core.training.recipe import Recipe, recipe_text


@pytest.fixture
def place(sertool, run, tmp_path):
    """Speech of three emotions, noise, and a finished run, in the working folder."""
    rows = []
    for number, emotion in enumerate(("anger", "neutral", "sadness")):
        time = np.arange(9600) / 16_000
        buzz = sum(np.sin(2 * np.pi * (120 + 20 * number) * k * time) / k for k in range(1, 8))
        write_audio(tmp_path / f"u{number}.wav", 0.1 * buzz * np.abs(np.sin(2 * np.pi * 2 * time)), 16_000)
        rows.append({"file_name": f"u{number}.wav", "speaker": "s1", "split": "test", "emotion": emotion})
    pd.DataFrame(rows).to_csv(tmp_path / "metadata.csv", index=False)
    (tmp_path / "noise" / "hiss").mkdir(parents=True)
    hiss = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    write_audio(tmp_path / "noise" / "hiss" / "a.wav", hiss, 16_000)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model").symlink_to(run / "model")
    (tmp_path / "tiny" / "run.json").write_text(json.dumps({"state": "finished"}))
    (tmp_path / "tiny" / "seen_audio.txt").write_text("")
    (tmp_path / "tiny" / "recipe.yaml").write_text(recipe_text(Recipe()), encoding="utf-8")
    return tmp_path


CALL = ("evaluate", "metadata.csv", "--model", "tiny", "--noise", "noise", "--workers", "1")


def test_tables_for_people(sertool, place):
    result = sertool(*CALL, "--snr", "0", "--snr", "clean")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Emotion: tiny (")
    assert lines[1].split() == ["SNR", "n", "F1-macro", "F1-micro", "UA"]
    assert [line.split()[0] for line in lines[2:4]] == ["clean", "0"]
    assert any(line.split()[:4] == ["SNR", "n", "PESQ-WB", "STOI"] for line in lines)
    assert any(line.startswith("* SI-SDR, unprocessed: not scored for 3 at clean") for line in lines)


def test_json_lines_each_stand_by_themselves(sertool, place):
    result = sertool(*CALL, "--snr", "0", "--snr", "10", "--json", "--no-speech-metrics", "--by-kind")
    assert result.exit_code == 0, result.stderr
    origin, *conditions = map(json.loads, result.stdout.splitlines())
    assert origin["record"] == "evaluation"
    assert origin["command"][:3] == ["sertool", "evaluate", "metadata.csv"]
    assert "conditions" not in origin
    assert [(one["condition"], one["noise_kind"]) for one in conditions] == [
        ("10 dB", None),
        ("0 dB", None),
        ("10 dB", "hiss"),
        ("0 dB", "hiss"),
    ]
    for condition in conditions:
        assert condition["record"] == "condition"
        assert condition["model"] == origin["model"]["id"]
        assert condition["seen_utterances"] == 0
        assert 0 <= condition["f1_macro"] <= 1
        assert "speech" not in condition


def test_files_hold_everything_and_no_path_of_the_machine(sertool, place):
    output, predictions = place / "out" / "results.json", place / "predictions.csv"
    result = sertool(*CALL, "--snr", "0", "-o", output, "--outcomes", predictions)
    assert result.exit_code == 0, result.stderr
    document = json.loads(output.read_text())
    assert document["command"] == [
        *("sertool", "evaluate", "metadata.csv", "--model", "tiny", "--noise", "noise", "--snr", "0"),
        *("--workers", "1", "--output", "out/results.json", "--outcomes", "predictions.csv"),
    ]
    assert list(document["conditions"][0]["speech"]) == list(MEASURES)
    assert document["conditions"][0]["n"] == 3
    assert str(place) not in output.read_text() + predictions.read_text()
    assert list(pd.read_csv(predictions)["file"]) == ["u0.wav", "u1.wav", "u2.wav"]
    again = sertool(*CALL, "--snr", "0", "-o", output)
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_nobody_else_evaluates_to_the_same_file_meanwhile(sertool, place, monkeypatch):
    code = "from pathlib import Path; from sertool.core.writing import hold\n"
    code += "with hold(Path('.out.json.journal'), what='it'): pass"
    others, run = [], Evaluation.run

    def run_beside_another(*arguments, **options):
        others.append(subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True))
        return run(*arguments, **options)

    monkeypatch.setattr(Evaluation, "run", run_beside_another)
    result = sertool(*CALL, "--snr", "0", "--no-speech-metrics", "-o", "out.json")
    assert result.exit_code == 0, result.stderr
    assert "it: another process is at work there" in others[0].stderr


def test_without_snr_clean_speech_and_0_db(sertool, place):
    lines = sertool(*CALL, "--json", "--no-speech-metrics").stdout.splitlines()
    assert [json.loads(line)["condition"] for line in lines[1:]] == ["clean", "0 dB"]


def test_without_a_manifest_the_sample_corpus(sertool, place):
    result = sertool("evaluate", "--snr", "0", "--no-speech-metrics", "--json", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    origin, condition = map(json.loads, result.stdout.splitlines())
    assert condition["n"] > 0
    assert origin["noise"]["recordings"] > 0
    assert origin["data"]["excluded"]["happiness"] > 0  # a category this model does not know


def test_utterances_that_fail_are_listed_and_the_exit_code_is_1(sertool, place):
    (place / "u1.wav").write_text("no audio")
    result = sertool(*CALL, "--snr", "0", "--no-speech-metrics", "--json")
    assert result.exit_code == 1
    assert "failed: u1.wav" in result.stderr
    assert "1 of 3 inputs failed" in result.stderr
    assert json.loads(result.stdout.splitlines()[1])["n"] == 2


def test_seen_audio_stops_unless_allowed_and_is_said(sertool, place, assert_one_line):
    (place / "tiny" / "seen_audio.txt").write_text(audio_digest(place / "u2.wav") + "\n")
    assert_one_line(sertool(*CALL, "--snr", "0"), "1 of the 3 test utterances", "u2.wav", "--allow-seen")
    call = (*CALL, "--snr", "0", "--allow-seen", "--no-speech-metrics")
    assert "learned from 1 of these 3" in sertool(*call).stdout
    assert all(json.loads(line)["seen_utterances"] == 1 for line in sertool(*call, "--json").stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--snr", "loud"), ("'loud' is not an SNR",)),
        (("--snr", "0:5"), ("range",)),
        (("--snr", "0", "--kind", "rain"), ("no noise of kind rain", "hiss")),
        (("--snr", "0", "--split", "dev"), ("split 'dev'",)),
        (("--snr", "0", "--recipe", "r.yaml"), ("--stress",)),
        (("--snr", "0", "--on-unknown", "drop"), ("drop",)),
    ],
)
def test_bad_calls_end_in_one_line(sertool, place, assert_one_line, arguments, words):
    assert_one_line(sertool(*CALL, *arguments), *words)


def test_unknown_categories_can_be_an_error(sertool, place, assert_one_line):
    table = pd.read_csv(place / "metadata.csv").assign(emotion=["anger", "boredom", "sadness"])
    table.to_csv(place / "metadata.csv", index=False)
    assert_one_line(sertool(*CALL, "--snr", "0", "--on-unknown", "error"), "boredom")


def test_noise_and_labels_that_are_missing(sertool, place, assert_one_line):
    assert_one_line(sertool("evaluate", "metadata.csv", "--model", "tiny", "--snr", "0"), "needs noise", "--noise")
    assert_one_line(sertool("evaluate", "metadata.csv", "--model", "tiny", "--kind", "rain"), "--noise")
    pd.read_csv(place / "metadata.csv").drop(columns="emotion").to_csv(place / "metadata.csv", index=False)
    assert_one_line(sertool(*CALL, "--snr", "0"), "no column 'emotion'")


def test_babble_rooms_and_active_levels_are_options(sertool, place, talkers, room_folder):
    more = ("--babble", talkers, "--talkers", "3", "--rir", room_folder, "--speech-level", "active")
    result = sertool(*CALL, *more, "--no-speech-metrics", "--json")
    assert result.exit_code == 0, result.stderr
    origin, *conditions = map(json.loads, result.stdout.splitlines())
    assert origin["noise"]["kinds"] == ["hiss", "babble"] and origin["noise"]["speech_level"] == "active"
    assert origin["noise"]["babble"]["talkers"] == 3 and origin["noise"]["clean_reference"] == "dry"
    assert [one["condition"] for one in conditions] == ["clean", "0 dB"]


def test_babble_alone_is_noise_enough(sertool, place, talkers):
    call = ("evaluate", "metadata.csv", "--model", "tiny", "--workers", "1", "--babble", talkers, "--json")
    result = sertool(*call, "--no-speech-metrics")
    assert result.exit_code == 0, result.stderr
    origin, *conditions = map(json.loads, result.stdout.splitlines())
    assert origin["noise"]["kinds"] == ["babble"] and [one["condition"] for one in conditions] == ["clean", "0 dB"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rir", "ROOMS", "--snr", "clean"), "there are rooms but nothing is mixed"),
        (("--talkers", "3"), "--talkers says nothing without --babble"),
        (("--clean-reference", "early"), "--clean-reference says nothing without --rir"),
        (("--babble", "metadata.csv"), "speech of 1 talkers; expected 6"),
        (("--rir", "noise"), "room 'hiss' has no response for noise"),
    ],
)
def test_wrong_babble_and_rooms_end_in_one_line(sertool, place, room_folder, assert_one_line, arguments, told):
    assert_one_line(sertool(*CALL, *(room_folder if word == "ROOMS" else word for word in arguments)), told)


def test_one_evaluation_leaves_every_kind_of_file(sertool, place):
    files = ("out.json", "out.csv", "out.tex")
    call = (*CALL, "--snr", "0", "--outcomes", "o.csv", "--report", "report.html")
    result = sertool(*call, *(word for file in files for word in ("-o", file)))
    assert result.exit_code == 0, result.stderr
    assert all((place / file).stat().st_size for file in (*files, "o.csv", "report.html"))
    again = sertool("evaluate", "metadata.csv", "--predictions", "o.csv", "--snr", "0", "--json")
    assert again.exit_code == 0, again.stderr
    origin, condition = map(json.loads, again.stdout.splitlines())
    assert origin["system"]["kind"] == "predictions"
    assert condition["confusion"] == json.loads((place / "out.json").read_text())["conditions"][0]["confusion"]


def test_a_baseline_with_too_few_speakers_gets_no_verdict_and_the_reason(sertool, place):
    result = sertool(*CALL, "--snr", "0", "--no-speech-metrics", "--baseline", "tiny")
    assert result.exit_code == 0, result.stderr
    assert "No verdict" in result.stdout and "8" in result.stdout


def test_a_limit_that_is_missed_makes_exit_code_3(sertool, place):
    call = (*CALL, "--snr", "clean", "--no-speech-metrics", "--stress", "--recipe", "r.yaml")
    (place / "r.yaml").write_text("stress: {limits: {silence only: {confidence: 0.0}}}")
    result = sertool(*call, "--json")
    assert result.exit_code == 3, result.stderr
    told = json.loads(result.stdout.splitlines()[0])["stress"]
    assert told["missed"] and {one["stress"] for one in told["conditions"]} >= {"gain", "codec", "noise", "short clip"}
    (place / "r.yaml").write_text("stress: {limits: {silence only: {confidence: 1.0}}}")
    assert sertool(*call).exit_code == 0


def test_fixed_mixtures_need_no_manifest(sertool, place, assert_one_line):
    row = {"clip": "u0.wav", "noise": "noise/hiss/a.wav", "noise_offset_samples": 5, "snr_db": 0, "gain": 1.0}
    voice, hiss = (read_audio(place / row[name]) for name in ("clip", "noise"))
    heard = np.roll(hiss, -5)[: len(voice)]
    row["noise_gain"] = float(np.sqrt(np.sum(voice.astype(float) ** 2) / np.sum(heard.astype(float) ** 2)))
    pd.DataFrame([row | {"unprocessed_sisdr": 0.0, "other_sisdr": 7.5}]).to_csv(place / "mixtures.csv", index=False)
    call = ("evaluate", "--mixtures", "mixtures.csv", "--model", "tiny", "--workers", "1")
    result = sertool(*call, "--json")
    assert result.exit_code == 0, result.stderr
    origin, condition = map(json.loads, result.stdout.splitlines())
    assert origin["stored"]["systems"]["other"]["0 dB"]["si_sdr"] == {"mean": 7.5, "n": 1}
    assert origin["stored"]["largest_deviation"]["si_sdr"] == pytest.approx(
        abs(condition["speech"]["si_sdr"]["unprocessed"]["mean"])
    )
    labelled = sertool("evaluate", "metadata.csv", *call[1:], "--json")
    assert json.loads(labelled.stdout.splitlines()[1])["n_labelled"] == 1
    assert_one_line(sertool(*call, "--snr", "0"), "--snr", "leave")


def test_an_outside_enhancer_stands_before_the_model(sertool, place):
    (place / "copy.py").write_text("import shutil, sys\nshutil.copy(sys.argv[1], sys.argv[2])\n")
    enhancer = f"{sys.executable} copy.py {{in}} {{out}}"
    result = sertool(*CALL, "--snr", "0", "--enhancer", enhancer, "--json")
    assert result.exit_code == 0, result.stderr
    origin, condition = map(json.loads, result.stdout.splitlines())
    assert origin["system"]["kind"] == "enhancer" and "copy.py" in origin["system"]["name"]
    for one in condition["speech"].values():
        assert one["enhanced"]["mean"] == pytest.approx(one["unprocessed"]["mean"], abs=1e-3)


def test_scores_are_cached_unless_told_otherwise(sertool, place, own_cache):
    call = (*CALL, "--snr", "0", "--json")
    assert sertool(*call, "--no-cache").exit_code == 0 and not list(own_cache.iterdir())
    first, second = sertool(*call), sertool(*call)
    assert first.stdout == second.stdout and [file.name for file in own_cache.iterdir()] == ["scores-1.sqlite"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "x.json", "-o", "x.json"), ("x.json", "two outputs")),
        (("-o", "x.xlsx"), (".json, .csv or .tex",)),
        (("--report", "x.json"), ("--report", ".html")),
        (("-o", "metadata.csv", "--overwrite"), ("is read", "another name")),
        (("--baseline", "nothere"), ("nothere",)),
        (("--map", "joy=happiness"), ("--map", "--predictions")),
    ],
)
def test_outputs_and_baselines_are_checked_before_anything_is_judged(
    sertool, place, assert_one_line, monkeypatch, arguments, words
):
    monkeypatch.setattr(Evaluation, "run", lambda *_, **__: pytest.fail("judged"))
    assert_one_line(sertool(*CALL, "--snr", "0", *arguments), *words)
    assert pd.read_csv(place / "metadata.csv").columns[0] == "file_name"
