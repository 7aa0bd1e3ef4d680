"""Runs commands on hostile files in this process, and tells what went wrong: judge of the campaign and of the tests."""

import contextlib
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import Bench
from calls import Call, calls
from mutators import Mutant
from typer.testing import CliRunner, Result

MEMORY_LIMIT_BYTES = 1_000_000_000
"""What a command may take beyond what the process has already, for a hostile file of any of these formats."""

LONGEST_LINE = 20_000
MEMORY_WORDS = ("out of memory", "malloc", "allocate", "std::bad_alloc", "MemoryError")
NOT_PLAIN = frozenset(chr(code) for code in (*range(32), *range(127, 160)) if code not in (9, 10, 13))
"""Characters by which a file's text would steer the terminal it is shown on."""


@dataclass(frozen=True)
class Fault:
    """Something that must not happen.

    Attributes:
        call: the command.
        kind: a word or two.
        detail: what was seen.
    """

    call: str
    kind: str
    detail: str


class Examiner:
    """Calls commands on mutants, each in an empty folder, and judges how they end.

    Args:
        bench: the good files.
        folder: where to work; emptied after every mutant.
        begin: told the name of each command before it is called.
    """

    def __init__(self, bench: Bench, folder: Path, begin: Callable[[str], None] = lambda name: None) -> None:
        from sertool.cli import console

        self.bench, self.folder, self.begin = bench, folder, begin
        self._trace = ""
        self._end = console._end
        folder.mkdir(parents=True, exist_ok=True)
        self._loud = folder / "stderr"  # what libraries write past Python
        self._kept = {path: path.read_bytes() for path in bench.keep.iterdir()}
        console._end = self._keep_trace

    def close(self) -> None:
        """Leave the command line as it was."""
        from sertool.cli import console

        console._end = self._end

    def _keep_trace(self, error: BaseException, program: str) -> object:
        self._trace = _short_trace(error)
        return self._end(error, program)

    def examine(self, mutant: Mutant, *, seed: int, slow: float = 1.0) -> tuple[list[list], list[Fault]]:
        """Call every command that reads such a file.

        Returns:
            For every call its name, exit code, seconds and memory in bytes; and the faults.
        """
        ended, faults = [], []
        here = self.folder / f"{mutant.format}-{mutant.number}"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        before = os.getcwd()
        os.chdir(here)
        try:
            for call in calls(mutant, self.bench, here, seed=seed, slow=slow):
                self.begin(call.name)
                code, seconds, memory, found = self._call(call, here)
                ended.append([call.name, code, round(seconds, 3), memory])
                faults += found
        finally:
            os.chdir(before)
            shutil.rmtree(here, ignore_errors=True)
        return ended, faults

    def _call(self, call: Call, here: Path) -> tuple[int, float, int, list[Fault]]:
        from sertool.cli.main import app

        self._trace = ""
        with _peak_memory() as memory, _stderr_to(self._loud):
            begun = time.monotonic()
            result = CliRunner().invoke(app, list(call.arguments), input=call.stdin)
            seconds = time.monotonic() - begun
        faults = [Fault(call.name, kind, detail) for kind, detail in self._judge(call, result, here, memory[0])]
        return result.exit_code, seconds, memory[0], faults

    def _judge(self, call: Call, result: Result, here: Path, memory: int) -> Iterator[tuple[str, str]]:
        told = result.stderr
        last = told.strip().splitlines()[-1][:300] if told.strip() else ""
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            yield "traceback", _short_trace(result.exception)
        elif "(a fault of " in told or "Traceback (most recent call last)" in told:
            yield "traceback", f"{last} {self._trace}"
        elif result.exit_code not in call.codes:
            yield ("accepted" if result.exit_code == 0 else "exit code"), f"exit code {result.exit_code}: {last}"
        elif result.exit_code and not any(line.startswith(("error:", "failed:")) for line in told.splitlines()):
            yield "silence", f"exit code {result.exit_code} without an error: {last}"
        if memory > MEMORY_LIMIT_BYTES or any(word in told for word in MEMORY_WORDS):
            yield "memory", f"{memory / 1e6:.0f} MB: {last}"
        if any(len(line) > LONGEST_LINE for line in told.splitlines()):
            yield "endless line", f"{max(map(len, told.splitlines()))} characters: {last}"
        if odd := NOT_PLAIN & set(told):
            yield "control characters", f"{sorted(odd)!r} on stderr: {last!r}"
        if "Warning" in told:
            yield "warning", next(line for line in told.splitlines() if "Warning" in line)[:300]
        loud = self._loud.read_bytes().decode("utf-8", "replace").strip()
        if "Traceback" in loud:  # libraries below Python may grumble (mpg123 does), but nothing of ours may
            yield "traceback", loud[-600:]
        yield from self._traces_left(here)
        if call.examine is not None and result.exit_code in (0, 1):
            try:
                wrong = call.examine(result.stdout, here)
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
            if wrong:
                yield "invented", wrong[:600]

    def _traces_left(self, here: Path) -> Iterator[tuple[str, str]]:
        """Look for code that ran, good files that changed, and files half written."""
        for path, content in self._kept.items():
            if not path.is_file() or path.read_bytes() != content:
                yield "good file lost", str(path.name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
        for path in (*self.bench.keep.iterdir(), *here.rglob("*CANARY*")):
            if path not in self._kept:
                yield "code run", path.name
                path.unlink()
        partial = next(here.rglob(".*partial*"), None)
        if partial is not None:
            yield "partial file left", str(partial.relative_to(here))
            partial.unlink()


def _short_trace(error: BaseException) -> str:
    """Return the innermost places of a traceback."""
    places = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join(f"{Path(place.filename).name}:{place.lineno} {place.name}" for place in reversed(places))


@contextlib.contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Measure by how much this process grows within, at its highest, in bytes; 0 where the system does not tell."""
    grown = [0]
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # forget the highest so far
        start = _status("VmRSS")
    except OSError:
        yield grown
        return
    yield grown
    grown[0] = max(0, _status("VmHWM") - start)


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


@contextlib.contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Let what libraries write to the process's own stderr go to a file."""
    kept = os.dup(2)
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
