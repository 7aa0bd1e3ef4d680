"""`sertool rooms` as a user calls it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sertool.core.corpus.reverberation import RirSet

pytest.importorskip("pyroomacoustics")

CALL = ("rooms", "-o", "rooms", "--rt60", "0.15:0.2", "--workers", "1")


def test_the_folder_is_all_of_stdout_and_mixing_takes_it(sertool, tmp_path):
    result = sertool(*CALL, "--count", "2")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/rooms\n"), result.stderr
    assert len(RirSet.read("rooms").rooms) == 2 and (tmp_path / "rooms" / "metadata.csv").is_file()
    result = sertool(*CALL, "--count", "2", "--json")
    assert "made already" in result.stderr
    assert json.loads(result.stdout) == {
        "folder": f"{tmp_path}/rooms",
        "table": f"{tmp_path}/rooms/metadata.csv",
        "rooms": 2,
        "made": 0,
        "kept": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rt60", "long"), "--rt60 long: is no range of seconds; expected LOW:HIGH"),
        (("--rt60", "0.5:0.2"), "cannot be simulated; expected a range within 0.1:1.2"),
        (("--rt60", "5"), "from 5 to 5 s cannot be simulated"),
        (("--count", "0"), "--count"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_a_wrong_call_ends_in_one_line_and_writes_nothing(sertool, tmp_path, assert_one_line, arguments, told):
    assert_one_line(sertool(*CALL, *arguments), told)
    assert not (tmp_path / "rooms").exists()


def test_other_files_and_a_missing_extra_end_in_one_line(sertool, tmp_path, assert_one_line, monkeypatch):
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "mine.txt").write_text("mine")
    assert_one_line(sertool(*CALL), "holds files that sertool rooms did not make")
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    assert_one_line(sertool("rooms", "-o", "others"), "pip install 'sertool[rooms]'")
    assert not (tmp_path / "others").exists()


def test_ctrl_c_leaves_a_folder_to_go_on_from(sertool, tmp_path):
    call = [sys.executable, "-m", "sertool", *CALL, "--count", "400"]
    process = subprocess.Popen(
        call,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("rooms/room-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, ""), stderr
    assert stderr == "error: interrupted: run the same command again to go on\n"
    rooms = list(tmp_path.glob("rooms/room-*"))
    assert 2 <= len(rooms) < 400 and all(len(list(room.iterdir())) == 3 for room in rooms)
    assert not list(tmp_path.glob("rooms/.*")) and not (tmp_path / "rooms" / "metadata.csv").exists()
