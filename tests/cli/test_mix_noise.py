"""`sertool mix-noise` as a user calls it: results on stdout, one line for what is wrong, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sertool.cli.main import app
from sertool.core.audio.files import write_audio
from sertool.core.corpus.manifest import Manifest


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with speech (two splits), noise of two kinds and other noise, as the working folder."""
    rows = []
    for number in range(4):
        name = f"speech/{number}.flac"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_audio(tmp_path / name, 0.05 * np.random.default_rng(number).standard_normal(4000), 16_000)
        rows.append(f"{name},{'test' if number else 'train'}")
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,split", *rows]) + "\n")
    for number, kind in enumerate(["noise/rain", "noise/wind", "other/siren"]):
        (tmp_path / kind).mkdir(parents=True)
        write_audio(tmp_path / kind / "a.flac", 0.1 * np.random.default_rng(50 + number).standard_normal(3000), 16_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _mix(*arguments: str, manifest: str = "metadata.csv"):
    return CliRunner().invoke(app, ["mix-noise", manifest, "--workers", "1", "-o", "out", *arguments])


NOISE_AT_0 = ("--noise", "noise", "--snr", "0")


def test_the_manifests_path_is_all_of_stdout(place):
    result = _mix(*NOISE_AT_0, "--snr", "-5")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{place}/out/metadata.csv\n"
    noisy = Manifest.read("out/metadata.csv")
    assert len(noisy) == 8 and set(noisy.table["snr_db"]) == {0.0, -5.0}


def test_again_says_so_and_ends_well(place):
    _mix(*NOISE_AT_0)
    result = _mix(*NOISE_AT_0)
    assert (result.exit_code, result.stdout) == (0, f"{place}/out/metadata.csv\n")
    assert "made already" in result.stderr
    result = _mix(*NOISE_AT_0, "--seed", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "seed 0, now 1" in result.stderr
    assert _mix(*NOISE_AT_0, "--seed", "1", "--overwrite").exit_code == 0


def test_json_tells_what_was_made(place):
    result = _mix(*NOISE_AT_0, "--split", "test", "--kind", "wind", "--format", "wav", "--json")
    told = json.loads(result.stdout)
    assert told == {
        "manifest": f"{place}/out/metadata.csv",
        "mixtures": 3,
        "utterances_made": 3,
        "utterances_kept": 0,
        "failed": [],
    }
    assert set(Manifest.read("out/metadata.csv").table["noise_kind"]) == {"wind"}
    assert len(list(place.glob("out/snr_0dB/speech/*.wav"))) == 3


def test_inputs_that_fail_are_listed_and_the_exit_code_is_1(place):
    (place / "speech" / "2.flac").write_text("no audio")
    write_audio(place / "speech" / "3.flac", np.zeros(1000), 16_000)
    result = _mix(*NOISE_AT_0)
    assert result.exit_code == 1
    assert result.stdout == f"{place}/out/metadata.csv\n"
    assert "2.flac" in result.stderr and "3.flac: the speech is silent" in result.stderr
    assert "2 of 4 inputs failed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--noise", "nowhere", "--snr", "0"), "no such noise set"),
        (("--noise", "out", "--snr", "0"), "no such noise set"),
        (("--noise", "noise"), "--snr"),
        (("--noise", "noise", "--snr", "loud"), "'loud' is not an SNR"),
        (("--noise", "noise", "--snr", "5:-5"), "upside down"),
        (("--noise", "noise", "--snr", "clean"), "'clean' is not an SNR"),
        ((*NOISE_AT_0, "--split", "dev"), "split 'dev'"),
        ((*NOISE_AT_0, "--kind", "snow"), "no noise of kind snow; it holds rain, wind"),
        ((*NOISE_AT_0, "--disjoint-from", "noise"), "share 2 kinds (rain, wind) and 2 byte-identical"),
        ((*NOISE_AT_0, "--part", "test"), "--part"),
        ((*NOISE_AT_0, "--workers", "0"), "--workers"),
    ],
)
def test_a_wrong_call_ends_in_one_line_and_writes_nothing(place, arguments, told):
    result = _mix(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr and result.stderr.startswith("error:") and result.stderr.count("\n") == 1
    assert not (place / "out").exists()


def test_a_missing_manifest_and_silent_noise_end_in_one_line(place):
    result = _mix(*NOISE_AT_0, manifest="nowhere.csv")
    assert result.exit_code == 2 and "nowhere.csv" in result.stderr and result.stderr.count("\n") == 1
    (place / "silence").mkdir()
    write_audio(place / "silence" / "a.flac", np.zeros(1000), 16_000)
    result = _mix("--noise", "silence", "--snr", "0")
    assert result.exit_code == 2 and "nothing audible" in result.stderr and result.stderr.count("\n") == 1


def test_disjoint_noise_passes(place):
    assert _mix(*NOISE_AT_0, "--disjoint-from", "other").exit_code == 0


def test_ctrl_c_leaves_a_folder_to_go_on_from(place):
    for number in range(4, 600):
        os.link(place / "speech" / "1.flac", place / "speech" / f"{number}.flac")
    rows = [f"speech/{number}.flac" for number in range(600)]
    (place / "metadata.csv").write_text("\n".join(["file_name", *rows]) + "\n")
    call = [sys.executable, "-m", "sertool", "mix-noise", "metadata.csv", *NOISE_AT_0, "-o", "out", "--workers", "2"]
    process = subprocess.Popen(
        call,
        start_new_session=True,
        # A shell starts background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while len(list(place.glob("out/snr_0dB/speech/[0-9]*.flac"))) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr == "error: interrupted: run the same command again to go on\n"
    assert not (place / "out" / "metadata.csv").exists()
    left = len(list(place.glob("out/snr_0dB/speech/[0-9]*.flac")))
    assert 5 <= left < 600
    assert not list(place.glob("out/**/.*partial*"))
    result = _mix(*NOISE_AT_0, "--json")
    told = json.loads(result.stdout)
    assert told["utterances_kept"] > 0 and told["utterances_made"] + told["utterances_kept"] == 600


def test_babble_rooms_and_active_levels_are_written_and_told(place, talkers, room_folder):
    more = ("--babble", str(talkers), "--talkers", "3", "--rir", str(room_folder), "--speech-level", "active")
    result = _mix(*NOISE_AT_0, *more, "--clean-reference", "early")
    assert result.exit_code == 0, result.stderr
    table = Manifest.read("out/metadata.csv").table
    assert set(table["speech_level"]) == {"active"} and set(table["clean_reference"]) == {"early"}
    assert {"babble_files", "babble_offsets_s", "rir_file", "noise_rir_file"} <= {*table.columns}
    assert "made already" in _mix(*NOISE_AT_0, *more, "--clean-reference", "early").stderr
    result = _mix(*NOISE_AT_0, *more)
    assert result.exit_code == 2 and "clean reference early, now dry" in result.stderr


def test_babble_is_noise_enough(place, talkers):
    result = _mix("--babble", str(talkers), "--snr", "0")
    assert result.exit_code == 0, result.stderr
    table = Manifest.read("out/metadata.csv").table
    assert set(table["noise_kind"]) == {"babble"} and table["noise_file"].isna().all()
    assert all(len(json.loads(text)) == 6 for text in table["babble_files"])


def test_a_split_or_a_part_of_the_babble_is_taken_alone(place, talkers):
    rows = Manifest.read(talkers).rebased(place).table.assign(split=["train"] * 8 + ["test"] * 8)
    rows.to_csv("babble.csv", index=False)
    assert _mix("--babble", "babble.csv", "--babble-split", "test", "--talkers", "4", "--snr", "0").exit_code == 0
    named = {name for text in Manifest.read("out/metadata.csv").table["babble_files"] for name in json.loads(text)}
    assert named <= set(rows["file_name"][8:])
    by_part = []
    for part in ("train", "dev"):
        call = ("--babble", "babble.csv", "--part", part, "--talkers", "2", "--snr", "0", "--overwrite")
        assert _mix(*call).exit_code == 0
        told = Manifest.read("out/metadata.csv").table["babble_files"]
        by_part.append({name for text in told for name in json.loads(text)})
    assert not by_part[0] & by_part[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--snr", "0"), "nothing to mix with; expected noise or babble: name --noise, --babble or both"),
        (("--babble", "BABBLE", "--snr", "0", "--kind", "rain"), "--kind and --disjoint-from are about recordings"),
        (("--babble", "BABBLE", "--snr", "0", "--talkers", "9"), "speech of 8 talkers; expected 9"),
        (("--babble", "BABBLE", "--snr", "0", "--talkers", "1"), "--talkers"),
        (("--babble", "BABBLE", "--snr", "0", "--babble-split", "test"), "no column 'split'"),
        (("--babble", "nowhere.csv", "--snr", "0"), "nowhere.csv: no such file"),
        (("--babble", "noise", "--snr", "0"), "noise: is a folder; expected a table"),
        ((*NOISE_AT_0, "--talkers", "4"), "--talkers says nothing without --babble"),
        ((*NOISE_AT_0, "--babble-split", "test"), "--babble-split says nothing without --babble"),
        ((*NOISE_AT_0, "--clean-reference", "dry"), "--clean-reference says nothing without --rir"),
        ((*NOISE_AT_0, "--rir", "nowhere"), "nowhere: no such folder"),
        ((*NOISE_AT_0, "--rir", "other"), "room 'siren' has no response for noise besides siren/a.flac"),
        ((*NOISE_AT_0, "--speech-level", "loud"), "--speech-level"),
    ],
)
def test_wrong_babble_and_rooms_end_in_one_line_too(place, talkers, arguments, told):
    result = _mix(*(str(talkers) if word == "BABBLE" else word for word in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr and result.stderr.startswith("error:") and result.stderr.count("\n") == 1
    assert not (place / "out").exists()


def test_an_utterance_whose_level_cannot_be_measured_is_listed(place):
    click = np.zeros(8000)
    click[4000] = 0.5
    write_audio(place / "speech" / "2.flac", click, 16_000)
    result = _mix(*NOISE_AT_0, "--speech-level", "active")
    assert result.exit_code == 1 and "2.flac: no active speech was found" in result.stderr
