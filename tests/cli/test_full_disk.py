"""A disk that fills up: one line that names the file and what to do, nothing half-written taken for whole, and with
room again the same command goes on to the same bytes."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.training.recipe import Recipe, recipe_text

RATE = 16_000
TRAIN = ("--recipe", "recipe.yaml", "--noise", "noise", "-o", "out/run")
COMMANDS = {
    "train": ("train", "speech/metadata.csv", *TRAIN),
    "pretrain": ("pretrain", "speech/metadata.csv", *TRAIN),
    "mix-noise": (
        *("mix-noise", "speech/metadata.csv", "--noise", "noise", "--snr", "0", "--workers", "1"),
        *("-o", "out/noisy"),
    ),
    "evaluate": (
        *("evaluate", "speech/metadata.csv", "--model", "tiny", "--noise", "noise", "--split", "all", "--workers", "1"),
        *("--snr", "clean", "--snr", "0", "-o", "out/results.json", "--outcomes", "out/predictions.csv"),
    ),
    "corpus --copy": ("corpus", "folder", "speech", "--copy", "-o", "out/metadata.csv"),
    "corpus": ("corpus", "folder", "speech", "-o", "out/metadata.parquet"),
    "enhance": ("enhance", "speech/a0.wav", "--model", "tiny", "-o", "out/enhanced.flac"),
}
RECIPE = """
data: {workers: 0}
encoder: {compact: {dim: 8, layers: 1, kernel: 3}}
emotion: {hidden: 8}
enhancement: {projection: 8, hidden: 8}
optimisation: {epochs: 2, batch_size: 4}
checkpoint_updates: 1
device: cpu
"""


@pytest.fixture
def place(sertool, run, tmp_path):
    """Speech of three speakers, noise, a recipe and a finished run, in the working folder."""
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion"]
    (tmp_path / "speech").mkdir()
    for speaker, split in (("a", "train"), ("b", "dev"), ("c", "test")):
        for number in range(4):
            seconds = np.arange(4000 + 500 * number) / RATE
            tone = 0.2 * np.sin(2 * np.pi * (200 + 300 * number) * seconds)
            soundfile.write(tmp_path / "speech" / f"{speaker}{number}.wav", tone, RATE)
            rows.append(f"{speaker}{number}.wav,{speaker},{split},{('anger', 'neutral')[number % 2]}")
    (tmp_path / "speech" / "metadata.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "noise" / "hiss").mkdir(parents=True)
    for number in range(12):
        soundfile.write(tmp_path / "noise" / "hiss" / f"{number}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    shutil.copytree(run, tmp_path / "tiny")
    (tmp_path / "tiny" / "seen_audio.txt").write_text("")
    (tmp_path / "tiny" / "recipe.yaml").write_text(recipe_text(Recipe()), encoding="utf-8")
    return tmp_path


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_with_room_again_the_same_command_goes_on_to_the_same_bytes(sertool, place, full_disk, name):
    whole = sertool(*COMMANDS[name])
    assert whole.exit_code == 0, whole.stderr
    expected = contents(place / "out")
    shutil.rmtree(place / "out")
    largest = max(len(content) for content in expected.values())
    failed = 0
    for size in sorted({0, 300, largest // 4, largest // 2, largest - 1}):
        with full_disk(size):
            result = sertool(*COMMANDS[name])
        failed += 1
        assert result.exit_code == 2, (size, result.stderr)
        *_, last = result.stderr.splitlines()
        assert last.startswith("error: out/") or last.startswith(f"error: {place}/out/"), last
        assert "cannot be written" in last and "make room there" in last and "Traceback" not in result.stderr
        for path, content in contents(place / "out").items() if (place / "out").is_dir() else ():
            assert "partial" not in path and ".tmp" not in path
            if path.endswith((".flac", ".wav", "results.json", ".csv", ".parquet")):
                assert content == expected[path], path
    again = sertool(*COMMANDS[name])
    assert again.exit_code == 0, again.stderr
    assert contents(place / "out") == expected and failed >= 4


def test_of_many_files_to_enhance_none_is_tried_after_the_disk_is_full(sertool, place, full_disk):
    with full_disk(300):
        result = sertool("enhance", "speech", "--model", "tiny", "-o", "out/")
    assert result.exit_code == 2
    assert result.stderr.count("cannot be written") == 1 and "make room" in result.stderr
    assert sertool("enhance", "speech/a0.wav", "--model", "tiny", "-o", "out/a0.wav").exit_code == 0
    before = (place / "out" / "a0.wav").stat().st_mtime_ns
    again = sertool("enhance", "speech", "--model", "tiny", "-o", "out/", "--skip-existing")
    assert again.exit_code == 0 and "1 of 12 outputs are there already" in again.stderr
    assert len(list((place / "out").iterdir())) == 12
    assert (place / "out" / "a0.wav").stat().st_mtime_ns == before


@pytest.mark.parametrize("command", [("predict", "speech/a0.wav", "--json"), ("doctor", "--json")])
def test_stdout_on_a_full_disk_ends_in_one_line(place, command):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    model = ("--model", "tiny") if command[0] == "predict" else ()
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "sertool", *command, *model],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=place,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
