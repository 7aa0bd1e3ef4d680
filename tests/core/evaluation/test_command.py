"""An outside command on one signal: what it reads and may write, and every way in which it can fail."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.errors import InputError
from sertool.core.evaluation.command import run_command, shown_command, split_command, told_files

RATE = 16_000
SIGNAL = (0.3 * np.random.default_rng(0).standard_normal(4000)).astype(np.float32)


@pytest.fixture
def script(tmp_path):
    """`script(code, suffix)`: the words of a command that runs Python code with `source` and `target` at hand."""

    def write(code: str) -> tuple[str, ...]:
        path = tmp_path / "enhance.py"
        head = "import sys\nsource, target = sys.argv[1:3]\n"
        path.write_text(head + textwrap.dedent(code), encoding="utf-8")
        return (sys.executable, "-S", str(path), "{in}", "{out}")

    return write


def test_the_command_reads_every_sample_and_what_it_writes_comes_back():
    assert np.array_equal(run_command(("cp", "{in}", "{out}"), SIGNAL), SIGNAL)


def test_the_input_is_mono_float_wav_at_its_rate(tmp_path):
    kept = tmp_path / "kept.wav"
    run_command(("sh", "-c", f'cp "$1" "$2"; cp "$1" {kept}', "sh", "{in}", "{out}"), SIGNAL)
    info = soundfile.info(kept)
    assert (info.samplerate, info.channels, info.subtype, info.format) == (RATE, 1, "FLOAT", "WAV")


def _written(tmp_path, samples, rate=RATE):
    """Words of a command that writes these samples, whatever it reads."""
    soundfile.write(tmp_path / "made.wav", samples, rate, subtype="FLOAT")
    return ("sh", "-c", f'cp "{tmp_path / "made.wav"}" "$2"', "sh", "{in}", "{out}")


@pytest.mark.parametrize("more", [-1024, -1, 1, 1024])
def test_an_end_too_short_or_too_long_is_filled_or_cut(tmp_path, more):
    made = np.resize(SIGNAL, len(SIGNAL) + more)
    enhanced = run_command(_written(tmp_path, made), SIGNAL)
    expected = np.concatenate([made, np.zeros(max(0, -more), np.float32)])[: len(SIGNAL)]
    assert np.array_equal(enhanced, expected)


@pytest.mark.parametrize("more", [-1025, 1025])
def test_another_length_is_refused(tmp_path, more):
    with pytest.raises(InputError, match=r"wrote 0\.\d+ s for 0\.250 s; expected as much"):
        run_command(_written(tmp_path, np.resize(SIGNAL, len(SIGNAL) + more)), SIGNAL)


def test_an_output_at_another_rate_is_brought_back(tmp_path):
    time_s = np.arange(48_000) / 48_000
    enhanced = run_command(_written(tmp_path, np.sin(2 * np.pi * 200 * time_s), 48_000), np.zeros(RATE, np.float32))
    expected = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    assert enhanced.shape == (RATE,)
    assert np.abs(enhanced - expected)[200:-200].max() < 1e-3


def test_several_channels_and_values_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="wrote 2 channels for one"):
        run_command(_written(tmp_path, np.stack([SIGNAL, SIGNAL], axis=1)), SIGNAL)
    broken = SIGNAL.copy()
    broken[7] = np.nan
    with pytest.raises(InputError, match="its output") as caught:
        run_command(_written(tmp_path, broken), SIGNAL)
    assert "sertool-enhancer-" not in str(caught.value)


def test_what_is_no_audio_and_what_is_not_there_are_refused():
    with pytest.raises(InputError, match="its output"):
        run_command(("sh", "-c", 'echo text > "$2"', "sh", "{in}", "{out}"), SIGNAL)
    with pytest.raises(InputError, match="wrote no file"):
        run_command(("true", "{in}", "{out}"), SIGNAL)


def test_a_failure_tells_the_last_line_of_stderr_and_no_temporary_path(script):
    words = script("""
        print("loading", file=sys.stderr)
        print("cannot read", source, file=sys.stderr)
        sys.exit(3)
    """)
    with pytest.raises(InputError, match=r"ended with status 3, saying: cannot read in\.wav; expected status 0"):
        run_command(words, SIGNAL)


def test_a_program_killed_by_a_signal_is_a_failure():
    with pytest.raises(InputError, match=f"killed by signal {int(signal.SIGABRT)}, saying: nothing"):
        run_command(("sh", "-c", "kill -ABRT $$", "sh", "{in}", "{out}"), SIGNAL)


def _alive(process_id: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _gone(process_id: int) -> bool:
    deadline = time.monotonic() + 10
    while _alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _alive(process_id)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_what_takes_too_long_is_killed_with_all_that_it_started(tmp_path):
    noted = tmp_path / "pid"
    words = ("sh", "-c", f"sleep 60 & echo $! > {noted}; wait", "sh", "{in}", "{out}")
    with pytest.raises(InputError, match=r"had not ended after 0\.3 s and was killed"):
        run_command(words, SIGNAL, time_limit_s=0.3)
    assert _gone(int(noted.read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_ctrl_c_kills_the_program_and_removes_its_files(tmp_path):
    noted = tmp_path / "pid"
    code = f"""
        import numpy as np
        from sertool.core.evaluation.command import run_command
        run_command(("sh", "-c", "sleep 60 & echo $! > {noted}.new; mv {noted}.new {noted}; wait", "sh", "{{in}}",
            "{{out}}"), np.zeros(100, np.float32))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not noted.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    finally:
        process.kill()
        process.wait()
    assert _gone(int(noted.read_text()))
    assert not list(tmp_path.glob("sertool-enhancer-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_raised_while_the_program_starts_waits_until_it_can_be_killed(tmp_path, monkeypatch, number):
    class Told(BaseException):
        pass

    def tell(number, frame):
        raise Told

    popen, started = subprocess.Popen, []

    def interrupted(*args, **more):
        started.append(popen(*args, **more))
        signal.raise_signal(number)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(number, tell)
    try:
        with pytest.raises(Told):
            run_command(("sh", "-c", "sleep 60", "{in}", "{out}"), SIGNAL)
        assert signal.getsignal(number) is tell
    finally:
        signal.signal(number, before)
    assert started[0].returncode == -signal.SIGKILL


def test_the_program_has_no_stdin_and_one_thread(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    words = ("sh", "-c", 'test "$OMP_NUM_THREADS" = 1 && test -z "$(cat)" && cp "$1" "$2"', "sh", "{in}", "{out}")
    assert len(run_command(words, SIGNAL)) == len(SIGNAL)


def test_words_are_split_as_a_shell_would_but_no_shell_runs_them():
    words = split_command("cp '{in}' \"{out}\" ; rm -rf x")
    assert words == ("cp", "{in}", "{out}", ";", "rm", "-rf", "x")
    assert split_command("sox --from={in} {out}".replace("sox", "cp")) == ("cp", "--from={in}", "{out}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cp {in}", "has no {out}"),
        ("cp {out}", "has no {in}"),
        ("cp {in} {in} {out}", "has {in} 2 times"),
        ("cp { in } {out}", "has no {in}"),
        ("cp '{in} {out}", "No closing quotation"),
        ("", "empty"),
        ("no-such-program-at-all {in} {out}", "there is no program 'no-such-program-at-all'"),
    ],
)
def test_a_command_that_cannot_work_is_refused_at_once(text, found):
    with pytest.raises(InputError) as caught:
        split_command(text)
    assert found in str(caught.value)


def test_results_show_no_path_of_the_machine():
    words = ("/opt/tools/denoise", "--model=/home/someone/m.onnx", "-c", "/etc/x,/home/y z/w", "rel/ative", "{in}")
    shown = shown_command(words)
    assert "/opt" not in shown and "/home" not in shown and "/etc" not in shown
    assert shown.startswith("denoise --model=m.onnx") and shown.endswith(" {in}")
    assert "rel/ative" in shown


def test_files_named_in_a_command_count_by_content(tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    words = ("cp", f"--model={weights}", "{in}", "{out}")
    before = told_files(words)
    assert len(before) == 2
    weights.write_bytes(b"2")
    after = told_files(words)
    assert before.keys() == after.keys() and before != after
