"""An outside command on one signal: a WAV in, a WAV out, no shell, a time limit, and nothing left behind."""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE, read_audio_native, resample, write_audio
from sertool.core.errors import AudioError, InputError

IN, OUT = "{in}", "{out}"
"""What stands in a command for the file to read and the file to write."""

TIME_LIMIT_S = 600.0
"""Seconds one signal may take."""

LENGTH_TOLERANCE = 1024
"""Samples at 16 kHz, 64 ms, by which an output may be longer or shorter than the input (ours): enhancers that work by
frames drop or fill up the last one. Such an end is cut, or filled with zeros."""

_LAST_BYTES = 4096  # of what a program wrote to stderr

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_ABSOLUTE = re.compile(r"(?<![^\s=:,])~?/(?:[^/\s=,]+/)*(?=[^/\s=,])")


def split_command(text: str) -> tuple[str, ...]:
    """Split a command into words, quoted as for a shell, and check that it can be run.

    Raises:
        InputError: it cannot be split, does not hold `{in}` and `{out}` once each, or there is no such program.
    """
    expected = f'expected a command such as "denoise {IN} {OUT}", or the folder of a run'
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"enhancer '{text}': cannot be read ({error}); {expected}: close the quotes") from error
    if not words or "\0" in text:
        raise InputError(f"the enhancer is {'no text' if words else 'empty'}; {expected}: write it like that")
    for placeholder in (IN, OUT):
        count = text.count(placeholder)
        if count != 1:
            found = f"has no {placeholder}" if count == 0 else f"has {placeholder} {count} times"
            raise InputError(f"enhancer '{text}': {found}, and is no folder; {expected}: write each exactly once")
    if shutil.which(words[0]) is None:
        raise InputError(
            f"enhancer '{text}': there is no program '{words[0]}' that can be run; expected one on the PATH, or its "
            "path: install it, or correct the name"
        )
    return words


def told_files(words: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of the program's file, and of every other file a command names, by the word's path."""
    program = shutil.which(words[0])
    paths = [str(program), *(word.rpartition("=")[2] for word in words[1:])]
    files: dict[str, str] = {}
    for path in paths:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                files[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return files


def shown_command(words: Sequence[str]) -> str:
    """Return a command as results show it: absolute paths cut to their last part."""
    shown = shlex.join(_ABSOLUTE.sub("", word) for word in words)
    # As it was written: shlex quotes braces, which no shell would expand here.
    return shown.replace(f"'{IN}'", IN).replace(f"'{OUT}'", OUT)


def program_name(words: Sequence[str]) -> str:
    """Return what to call the program of a command: of `python enhance.py …` the script."""
    scripts = (Path(word).name for word in words[1:] if Path(word).suffix in (".py", ".sh"))
    return next(scripts, Path(words[0]).name)


def run_command(
    words: Sequence[str], samples: np.ndarray, rate: int = SAMPLE_RATE, *, time_limit_s: float = TIME_LIMIT_S
) -> np.ndarray:
    """Return what a command makes of a signal.

    `{in}` is one channel of 32-bit float WAV, so that no sample is rounded; `{out}` may be whatever libsndfile reads,
    one channel at any rate. The program has no stdin, its stdout is thrown away, and numerical libraries in it use one
    thread unless the environment says otherwise. If this process is stopped or takes an exception, the program is
    killed, and all that it started.

    Args:
        words: see `split_command`.
        samples: shape (S,), nominally in [-1, 1].
        rate: in Hz.
        time_limit_s: seconds it may take.

    Returns:
        The enhanced signal, float32, shape (S,), at the same rate.

    Raises:
        InputError: the program fails or takes too long, or leaves no signal, one of another length (beyond
            `LENGTH_TOLERANCE`), of several channels, or one that is not finite.
    """
    program = program_name(words)
    with tempfile.TemporaryDirectory(prefix="sertool-enhancer-") as folder:
        source, target = Path(folder, "in.wav"), Path(folder, "out.wav")
        write_audio(source, np.asarray(samples, np.float32), rate)
        called = [word.replace(IN, str(source)).replace(OUT, str(target)) for word in words]
        _call(called, Path(folder, "stderr"), program=program, time_limit_s=time_limit_s)
        if not target.is_file():
            raise InputError(f"enhancer {program}: ended well but wrote no file; expected one at {OUT}: try it by hand")
        try:
            enhanced, found_rate = read_audio_native(target)
        except AudioError as error:
            raise InputError(f"enhancer {program}: {str(error).replace(str(target), 'its output')}") from error
    if enhanced.shape[1] != 1:
        raise InputError(
            f"enhancer {program}: wrote {enhanced.shape[1]} channels for one; expected one: have it write mono"
        )
    return _fitted(resample(enhanced[:, 0], found_rate, rate), len(samples), rate, program)


def _fitted(enhanced: np.ndarray, length: int, rate: int, program: str) -> np.ndarray:
    """Return a signal cut, or filled up with zeros, to a length it nearly has."""
    if abs(len(enhanced) - length) > LENGTH_TOLERANCE * rate / SAMPLE_RATE:
        raise InputError(
            f"enhancer {program}: wrote {len(enhanced) / rate:.3f} s for {length / rate:.3f} s; expected as much, to "
            f"{LENGTH_TOLERANCE / SAMPLE_RATE:.3f} s: have it keep the length"
        )
    return np.pad(enhanced[:length], (0, max(0, length - len(enhanced)))).astype(np.float32, copy=False)


def _call(called: Sequence[str], stderr: Path, *, program: str, time_limit_s: float) -> None:
    """Run a command to its end.

    Its stderr goes to a file: a pipe would stay open, and be waited for, as long as anything it started lives.
    """
    process = None
    try:
        with open(stderr, "wb") as told, _signals_held():
            process = subprocess.Popen(
                called,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                env=_THREADS | os.environ,
                start_new_session=True,
            )
        status = process.wait(time_limit_s)
    except OSError as error:
        raise InputError(
            f"enhancer {program}: cannot be started ({error.strerror}); expected a program: try it by hand"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"enhancer {program}: had not ended after {time_limit_s:g} s and was killed; expected it to: try it by "
            "hand, or raise --enhancer-time-limit"
        ) from error
    finally:
        if process is not None:
            _end(process)
    if status:
        ended = f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"
        raise InputError(
            f"enhancer {program}: {ended}, saying: {_last_line(stderr)}; expected status 0: try it by hand"
        )


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Put off what Ctrl-C, or the end of a worker, raises: a program that is just being started would outlive it.

    Not by blocking the signals, which the program would inherit. Other threads than the main one never hear them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda heard, frame: held.append(heard))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in held:
            signal.raise_signal(number)


def _end(process: subprocess.Popen) -> None:
    """Kill a program that still runs, and with it all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(path: Path) -> str:
    """Return the last line a program wrote to stderr, without the names of our temporary files."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _LAST_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    last = "".join(character for character in (lines[-1] if lines else "") if character.isprintable())
    return last.replace(f"{path.parent}{os.sep}", "")[:300] or "nothing"
