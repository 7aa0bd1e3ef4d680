"""Ctrl-C, as a terminal sends it to a command and its workers: one line, exit code 130, and a state to go on from."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from sertool.core.training.recipe import Recipe, recipe_text

MANY = 400
RECIPE = """
data: {workers: 1}
encoder: {compact: {dim: 8, layers: 1, kernel: 3}}
emotion: {hidden: 8}
enhancement: {projection: 8, hidden: 8}
optimisation: {epochs: 300, batch_size: 4}
device: cpu
"""
GO_ON = "run the same command again to go on"


@pytest.fixture(scope="module")
def place(run, tmp_path_factory):
    """Speech of three speakers, each utterance many times over; noise; a recipe; a finished run."""
    folder = tmp_path_factory.mktemp("place")
    rows = ["file_name,speaker,split,emotion"]
    (folder / "speech").mkdir()
    for speaker, split in (("a", "train"), ("b", "dev"), ("c", "test")):
        for number in range(4):
            seconds = np.arange(8000 + 500 * number) / 16_000
            first = folder / "speech" / f"{speaker}{number}.wav"
            soundfile.write(first, 0.2 * np.sin(2 * np.pi * (200 + 300 * number) * seconds), 16_000)
            rows.append(f"speech/{first.name},{speaker},{split},{('anger', 'neutral')[number % 2]}")
    (folder / "few.csv").write_text("\n".join(rows) + "\n")
    for number in range(MANY):
        os.link(folder / "speech" / f"c{number % 4}.wav", folder / "speech" / f"d{number}.wav")
        rows.append(f"speech/d{number}.wav,c,test,anger")
    (folder / "many.csv").write_text("\n".join(rows) + "\n")
    (folder / "noise" / "hiss").mkdir(parents=True)
    for number in range(12):
        noise = 0.1 * np.random.default_rng(number).standard_normal(16_000)
        soundfile.write(folder / "noise" / "hiss" / f"{number}.wav", noise, 16_000)
    (folder / "recipe.yaml").write_text(RECIPE)
    shutil.copytree(run, folder / "tiny")
    (folder / "tiny" / "seen_audio.txt").write_text("")
    (folder / "tiny" / "recipe.yaml").write_text(recipe_text(Recipe()), encoding="utf-8")
    return folder


def interrupt(place, arguments, is_at_work):
    """Start a command, press Ctrl-C when it is at work, and return what it wrote and its exit code."""
    shutil.rmtree(place / "out", ignore_errors=True)
    with open(place / "stdout.txt", "w") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "sertool", *arguments],
            cwd=place,
            start_new_session=True,
            # A shell starts background jobs deaf to Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
    end = time.monotonic() + 120
    while not is_at_work() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    return stderr, process.returncode


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


TRAIN = ("--recipe", "recipe.yaml", "--noise", "noise", "-o", "out/run")
EVALUATE = ("evaluate", "many.csv", "--model", "tiny", "--noise", "noise", "--snr", "0", "--no-speech-metrics")
CASES = {
    "train": (("train", "few.csv", *TRAIN), "out/run/metrics.jsonl", GO_ON),
    "train --overwrite": (
        ("train", "few.csv", *TRAIN, "--overwrite"),
        "out/run/metrics.jsonl",
        "run the same command again, without --overwrite, to go on",
    ),
    "pretrain": (("pretrain", "few.csv", *TRAIN), "out/run/metrics.jsonl", GO_ON),
    "evaluate -o": ((*EVALUATE, "--workers", "2", "-o", "out/results.json"), "out/.results.json.journal", GO_ON),
    "corpus --copy": (("corpus", "folder", "speech", "--copy", "-o", "out/metadata.csv"), "out/speech/a0.wav", GO_ON),
    "predict --json": (("predict", "speech", "--model", "tiny", "--json"), "stdout.txt", "run the same command again"),
    "enhance": (
        ("enhance", "speech", "--model", "tiny", "-o", "out/", "--workers", "2"),
        "out/a0.wav",
        "what is written is whole; run it again with --skip-existing to go on",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_130(place, name):
    arguments, sign, remedy = CASES[name]
    stderr, code = interrupt(place, arguments, lambda: (place / sign).exists() and (place / sign).stat().st_size > 500)
    assert code == 130, stderr
    assert stderr.splitlines()[-1] == f"error: interrupted: {remedy}" and "Traceback" not in stderr
    left = [str(path) for path in (place / "out").rglob("*")] if (place / "out").exists() else []
    assert not [path for path in left if "partial" in path or path.endswith(".lock")]


def test_an_evaluation_goes_on(place):
    journal = place / "out" / ".results.json.journal"
    call = (*EVALUATE, "--workers", "1", "-o", "out/results.json")
    interrupt(place, call, lambda: lines(journal) > 20)
    kept = lines(journal) - 1
    assert 20 <= kept < MANY and not (place / "out" / "results.json").exists()
    done = subprocess.run([sys.executable, "-m", "sertool", *call], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0 and f"going on: {kept} of {MANY + 4} utterances are judged already" in done.stderr
    assert json.loads((place / "out" / "results.json").read_text())["conditions"][0]["n"] == MANY + 4
    assert not journal.exists()
