"""Files whole or not at all, and one process at a time: whatever is killed, and wherever the disk is full."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sertool.core.audio.files import write_audio
from sertool.core.errors import InputError, OutputError
from sertool.core.writing import append_line, is_leftover, remove_leftovers, sole_process, whole_file, write_text

HOLD = """
import os, sys, time
from sertool.core.writing import sole_process
with sole_process(sys.argv[1]):
    child = os.fork() if sys.argv[2] == "fork" else 1
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("whole")
        assert not path.exists() and partial.parent == path.parent and is_leftover(partial)
    assert path.read_text() == "whole" and names(path.parent) == ["a.txt"]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "before" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_what_was_there_and_says_what_to_do(tmp_path, full_disk):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with full_disk(1000), pytest.raises(OutputError, match=r"a\.txt: cannot be written .*make room"):
        write_text(path, "x" * 10_000)
    assert path.read_text() == "before" and names(tmp_path) == ["a.txt"]


def test_a_line_cut_short_has_no_line_break(tmp_path, full_disk):
    path = tmp_path / "lines"
    append_line(path, "one")
    with full_disk(10), pytest.raises(OutputError, match="lines: cannot be written"):
        append_line(path, "two hundred")
    assert path.read_bytes().startswith(b"one\n") and path.read_bytes().count(b"\n") == 1


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a\.txt: cannot be written .*rights"):
        write_text(tmp_path / "file" / "a.txt", "text")
    with pytest.raises(OutputError, match="cannot be written"), sole_process(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_audio_on_a_full_disk_is_never_taken_for_whole(tmp_path, full_disk, suffix):
    """libsndfile closes a FLAC file whose last block found no room without a word."""
    path = tmp_path / f"a{suffix}"
    samples = 0.1 * np.random.default_rng(0).standard_normal(6000)
    write_audio(path, samples, 16_000)
    size = path.stat().st_size
    path.unlink()
    for limit in [0, 10, *range(100, size, 997), size - 1]:
        with full_disk(limit), pytest.raises(OutputError, match="cannot be written"):
            write_audio(path, samples, 16_000)
        assert names(tmp_path) == []
    with full_disk(size):
        write_audio(path, samples, 16_000)
    assert soundfile.info(path).frames == 6000


def test_flac_files_have_the_bytes_libsndfile_writes(tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal((5000, 2))
    write_audio(tmp_path / "ours.flac", samples, 16_000)
    soundfile.write(tmp_path / "theirs.flac", samples, 16_000, subtype="PCM_24")
    assert (tmp_path / "ours.flac").read_bytes() == (tmp_path / "theirs.flac").read_bytes()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_holds_no_date(tmp_path, monkeypatch, channels):
    """The PEAK chunk: identifier, size, version, date, and a value and a place a channel (libsndfile's own default)."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((5000, channels))
    write_audio(tmp_path / "a.wav", samples, 16_000)
    content = (tmp_path / "a.wav").read_bytes()
    peak = content.index(b"PEAK")
    assert content[peak + 8 : peak + 16] == b"\1\0\0\0" + bytes(4)
    soundfile.write(tmp_path / "theirs.wav", samples, 16_000, subtype="FLOAT")
    theirs = (tmp_path / "theirs.wav").read_bytes()
    assert content[: peak + 12] == theirs[: peak + 12] and content[peak + 16 :] == theirs[peak + 16 :]


def test_leftovers_go_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, alive = f".a.partial-{gone.pid}.flac", f".b.partial-{os.getppid()}"
    for name in (dead, alive, ".hidden", ".x.partial-y", "a.partial-1.wav", ".lock"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([alive, ".hidden", ".x.partial-y", "a.partial-1.wav", ".lock"])
    remove_leftovers(tmp_path, held=True)
    assert names(tmp_path) == sorted([".hidden", ".x.partial-y", "a.partial-1.wav", ".lock"])
    remove_leftovers(tmp_path / "nowhere")


def test_a_hold_leaves_nothing_behind(tmp_path):
    with sole_process(tmp_path / "new"):
        assert names(tmp_path / "new") == [".lock"]
    assert not (tmp_path / "new").exists()
    with sole_process(tmp_path):
        (tmp_path / "work").write_text("")
    assert names(tmp_path) == ["work"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")
@pytest.mark.parametrize("forks", ["fork", "alone"])
def test_one_process_holds_a_folder_until_it_is_killed(tmp_path, forks):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), forks], stdout=subprocess.PIPE)
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(InputError, match="another process is at work there"), sole_process(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        # A child it forked is still there, as the readers of training data are for some seconds.
        with sole_process(tmp_path):
            pass
    finally:
        holder.kill()
        if child > 1:
            os.kill(child, signal.SIGKILL)
    assert names(tmp_path) == []
