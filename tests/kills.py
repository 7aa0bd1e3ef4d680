"""Kill sertool over and over and compare what is left in the end with what is left when it is never killed.

    python tests/kills.py --kills 200 --seed 0 -o kills.json

Four commands work on a tiny corpus of tones: train, pretrain, mix-noise, evaluate. Each is run once to its end. Then it
is started again and again and killed with SIGKILL, at random moments and right before the n-th file it opens for
writing, renames or removes, until it comes to its end; every file must then be the same, byte for byte, and there must
be no other. Processes are forked from this one, which has loaded everything, so that kills fall into the work and not
into the start; mix-noise with workers is started as a user starts it.
"""

import argparse
import contextlib
import gc
import itertools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch._dynamo  # noqa: F401  a second's work, which torch puts off until its first optimizer
from kills_mended import FAULTS_MENDED

# All that commands load later, loaded before they are forked.
import sertool.core.evaluation.by_snr
import sertool.core.training.loop  # noqa: F401
from sertool.cli.main import main as run_sertool
from sertool.core.environment import installed_versions
from sertool.core.evaluation.provenance import PACKAGES, portable

RATE = 16_000
OUT = Path("out")
WRITING_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
LIMIT_S = 120.0

RECIPE = """
data: {workers: WORKERS}
noise: {source: noise, snr_db: ["10"], dev_snr_db: ["10"]}
encoder: {compact: {dim: 16, layers: 2, kernel: 5}}
emotion: {hidden: 16}
enhancement: {projection: 8, hidden: 8, crop_s: 0.3}
optimisation: {epochs: 3, batch_size: 6, learning_rate: 0.01, warmup_updates: 2}
checkpoint_updates: 1
device: cpu
"""

COMMANDS = {
    "train": ["train", "speech/metadata.csv", "--recipe", "recipe.yaml", "--schedule", "cascade", "-o", "out/run"],
    "train-ahead": ["train", "speech/metadata.csv", "--recipe", "ahead.yaml", "-o", "out/run"],
    "pretrain": ["pretrain", "speech/metadata.csv", "--recipe", "recipe.yaml", "-o", "out/run"],
    "mix-noise": [
        *("mix-noise", "speech/metadata.csv", "--noise", "noise", "--snr", "0", "--snr", "10"),
        *("--workers", "1", "-o", "out/noisy"),
    ],
    "mix-noise-workers": [
        *("mix-noise", "speech/metadata.csv", "--noise", "noise", "--snr", "0", "--snr", "10"),
        *("--workers", "2", "-o", "out/noisy"),
    ],
    "evaluate": [
        *("evaluate", "speech/metadata.csv", "--model", "model", "--noise", "noise", "--snr", "clean", "--snr", "0"),
        *("--split", "all", "--allow-seen", "--no-cache", "--workers", "1", "-o", "out/results.json"),
        *("--outcomes", "out/predictions.csv"),
    ],
}
"""What is killed; `-ahead` with a process that reads ahead of the training, `-workers` as a user starts it."""

STARTED_ANEW = {"mix-noise-workers"}
"""Commands started as new programs: their workers are spawned, and this program is not to be loaded in them."""


@dataclass
class Tally:
    """What came of killing one command.

    Attributes:
        kills: in all.
        at_random_moments: of them.
        at_file_operations: of them.
        parent_alone: of them, kills that left child processes to themselves.
        most_in_a_row: before one run came to its end.
        file_operations: of a run that is not killed.
        ends: runs that came to their end after kills.
        files_compared: byte by byte, over all ends.
        faults: what was wrong, a line each.
    """

    kills: int = 0
    at_random_moments: int = 0
    at_file_operations: int = 0
    parent_alone: int = 0
    most_in_a_row: int = 0
    file_operations: int = 0
    ends: int = 0
    files_compared: int = 0
    faults: list[str] = field(default_factory=list)


def make_place(folder: Path) -> None:
    """Write speech of four speakers, noise of two kinds, and recipes."""
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion"]
    (folder / "speech").mkdir(parents=True)
    for speaker, split in (("a", "train"), ("b", "train"), ("c", "dev"), ("d", "test")):
        for number in range(6):
            emotion, pitch = (("anger", 900), ("neutral", 200))[number % 2]
            seconds = np.arange(int(RATE * generator.uniform(0.4, 0.9))) / RATE
            tone = 0.2 * np.sin(2 * np.pi * (pitch + 40 * number) * seconds) * np.abs(np.sin(2 * np.pi * 3 * seconds))
            soundfile.write(folder / "speech" / f"{speaker}{number}.wav", tone, RATE)
            rows.append(f"{speaker}{number}.wav,{speaker},{split},{emotion}")
    (folder / "speech" / "metadata.csv").write_text("\n".join(rows) + "\n")
    for number in range(12):
        kind = folder / "noise" / ("hiss", "rain")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        soundfile.write(kind / f"{number}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    (folder / "recipe.yaml").write_text(RECIPE.replace("WORKERS", "0"))
    (folder / "ahead.yaml").write_text(RECIPE.replace("WORKERS", "1"))


class Attempt:
    """A command under way, in a session of its own; the working folder is the place.

    Args:
        name: of the command.
        die_before: the number of the file operation before which it kills itself; None for never.
    """

    def __init__(self, name: str, die_before: int | None = None) -> None:
        self.log = Path("log.txt")
        self.count = Path("operations.txt")
        self.began = time.monotonic()
        if name in STARTED_ANEW:
            with open(self.log, "w") as log:
                call = [sys.executable, "-m", "sertool", *COMMANDS[name]]
                self.pid = subprocess.Popen(call, start_new_session=True, stdout=log, stderr=log).pid
            return
        self.pid = os.fork()
        if self.pid == 0:
            _be_sertool(COMMANDS[name], self.log, self.count, die_before)

    def wait(self, delay_s: float = LIMIT_S) -> int | None:
        """Return the exit code (negative: the signal), or None when it is still at work after so long."""
        while time.monotonic() < self.began + delay_s:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        return None

    def kill(self, *, parent_alone: bool) -> None:
        """Kill it, and its children unless they are to be left to themselves."""
        with contextlib.suppress(ProcessLookupError):
            (os.kill if parent_alone else os.killpg)(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def last_words(self) -> str:
        """Return the last line it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "nothing"


def _be_sertool(arguments: list[str], log: Path, count: Path, die_before: int | None) -> None:
    """In a forked child: run a command and end."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    operations = itertools.count(1)
    done, out, me = 0, str(OUT.absolute()), os.getpid()

    def watch(event: str, details: tuple) -> None:
        nonlocal done
        if not _writes(event, details, out) or os.getpid() != me:
            return
        done = next(operations)
        if done == die_before:
            os.kill(me, signal.SIGKILL)

    sys.addaudithook(watch)
    code = 1
    try:
        sys.argv = ["sertool", *arguments]
        run_sertool()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        count.write_text(str(done))
        os._exit(code)


def _writes(event: str, details: tuple, folder: str) -> bool:
    """Return whether an audited event changes files in a folder."""
    if event == "open":
        path, mode, flags = details
        changes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or any(letter in (mode or "") for letter in "wax+")
    elif event in WRITING_EVENTS:
        path, changes = details[0], True
    else:
        return False
    return bool(changes) and isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file beneath a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def compare(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """Return in what two folders differ, a line each."""
    faults = [f"{name}: is missing" for name in expected.keys() - found.keys()]
    faults += [f"{name}: should not be there" for name in found.keys() - expected.keys()]
    return faults + [f"{name}: differs" for name in expected.keys() & found.keys() if found[name] != expected[name]]


def half_written(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """Return files under a final name that are not whole right after a kill; only those that never change count."""
    fixed = (".flac", "results.json", "predictions.csv", "metadata.csv", "recipe.yaml", "seen_audio.txt", "config.json")
    return [
        f"{name}: is half-written after a kill"
        for name, content in found.items()
        if name.endswith(fixed) and not Path(name).name.startswith(".") and content != expected.get(name)
    ]


class Campaign:
    """Kills one command again and again."""

    def __init__(self, name: str, generator: np.random.Generator) -> None:
        self.name, self.generator, self.tally = name, generator, Tally()
        self.in_a_row = 0
        shutil.rmtree(OUT, ignore_errors=True)
        attempt = Attempt(name)
        code = attempt.wait()
        if code != 0:
            raise SystemExit(f"{name}: ended with {code} without being killed: {attempt.last_words()}")
        self.duration_s = time.monotonic() - attempt.began
        self.expected = contents(OUT)
        if name not in STARTED_ANEW:
            self.tally.file_operations = int(attempt.count.read_text())
        shutil.rmtree(OUT)

    def run(self, kills: int) -> Tally:
        """Kill so many times: twenty in a row if it lasts so long, right before file operations, and at any moment."""
        self._in_a_row(min(20, kills), short=True)
        for operation in self._operations((kills - self.tally.kills) // 2):
            if self._at_operation(operation):
                self._finish()
        while self.tally.kills < kills:
            self._in_a_row(min(20, kills - self.tally.kills), short=bool(self.generator.random() < 0.5))
        return self.tally

    def _operations(self, most: int) -> Iterator[int]:
        """Yield every file operation, or so many of them, evenly spread from a random beginning."""
        total = 0 if self.name in STARTED_ANEW else self.tally.file_operations
        step = max(1.0, total / max(1, most))
        for number in np.arange(self.generator.uniform(0, step), total, step):
            yield int(number) + 1

    def _in_a_row(self, kills: int, *, short: bool) -> None:
        """Kill so many times before the run may come to its end; where short, soon, so that many are needed."""
        draw = self.generator.exponential if short else self.generator.uniform
        for _ in range(kills):
            if self.name in STARTED_ANEW or self.generator.random() < 0.5:
                killed = self._at_moment(draw(0.3 * self.duration_s) if short else draw(0, self.duration_s))
            else:
                total = self.tally.file_operations
                killed = self._at_operation(1 + int(draw(total / 20) if short else draw(0, total)))
            if not killed:
                return
        self._finish()

    def _at_operation(self, operation: int) -> bool:
        attempt = Attempt(self.name, die_before=operation)
        return self._killed(attempt, attempt.wait(), "at_file_operations")

    def _at_moment(self, delay_s: float) -> bool:
        attempt = Attempt(self.name)
        code = attempt.wait(delay_s)
        if code is None:
            parent_alone = bool(self.generator.random() < 0.5)
            attempt.kill(parent_alone=parent_alone)
            self.tally.parent_alone += parent_alone
            code = -signal.SIGKILL
        return self._killed(attempt, code, "at_random_moments")

    def _killed(self, attempt: Attempt, code: int | None, how: str) -> bool:
        """Count a kill and look at what it left; return False where the run had come to its end before."""
        if code == -signal.SIGKILL:
            self.tally.kills += 1
            self.in_a_row += 1
            setattr(self.tally, how, getattr(self.tally, how) + 1)
            self.tally.most_in_a_row = max(self.tally.most_in_a_row, self.in_a_row)
            self._blame(half_written(contents(OUT) if OUT.is_dir() else {}, self.expected))
            return True
        self._end(attempt, code)
        return False

    def _finish(self) -> None:
        attempt = Attempt(self.name)
        self._end(attempt, attempt.wait())

    def _end(self, attempt: Attempt, code: int | None) -> None:
        if code is None:
            attempt.kill(parent_alone=False)
        # Killed after its results were written, evaluate refuses to write them again.
        complete = "exists already" in attempt.last_words() and not compare(contents(OUT), self.expected)
        if code != 0 and not complete:
            self._blame([f"ended with {code} after {self.in_a_row} kills: {attempt.last_words()}"])
        elif self.in_a_row:
            found = contents(OUT)
            self._blame(compare(found, self.expected))
            self.tally.ends += 1
            self.tally.files_compared += len(self.expected)
        self.in_a_row = 0
        shutil.rmtree(OUT, ignore_errors=True)

    def _blame(self, faults: list[str]) -> None:
        self.tally.faults += faults
        for fault in faults:
            print(f"{self.name}: {fault}", file=sys.stderr, flush=True)


def main() -> int:
    """Kill, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="in all, dealt evenly to the commands")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", choices=COMMANDS, action="append", help="only this command; repeatable")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write; stdout without")
    settings = parser.parse_args()
    output = settings.output and settings.output.resolve()
    tallies: dict[str, Any] = {}
    began = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sertool-kills-") as place:
        make_place(Path(place))
        os.chdir(place)
        gc.freeze()  # what is loaded need not be gone through again in every child
        names = settings.only or list(COMMANDS)
        for number, name in enumerate(names):
            if name == "evaluate":
                _make_model()
            campaign = Campaign(name, np.random.default_rng([settings.seed, number]))
            tallies[name] = vars(campaign.run(-(-settings.kills // len(names))))
            print(name, json.dumps(tallies[name]), file=sys.stderr, flush=True)
        os.chdir(began)
    faults = sum(len(tally["faults"]) for tally in tallies.values())
    document = {
        "format": "sertool-kills-1",
        "command": ["python", "tests/kills.py", *portable(sys.argv[1:])],
        "seed": settings.seed,
        "versions": {"python": platform.python_version(), **installed_versions([*PACKAGES, "safetensors"])},
        "kills": sum(tally["kills"] for tally in tallies.values()),
        "files_compared": sum(tally["files_compared"] for tally in tallies.values()),
        "faults": faults,
        "faults_found_and_mended": FAULTS_MENDED,
        "commands": tallies,
    }
    text = json.dumps(document, indent=1) + "\n"
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
    else:
        print(text, end="")
    return 1 if faults else 0


def _make_model() -> None:
    """Train the model that is evaluated."""
    attempt = Attempt("train")
    if attempt.wait() != 0:
        raise SystemExit(f"training the model to evaluate failed: {attempt.last_words()}")
    shutil.move("out/run", "model")


if __name__ == "__main__":
    sys.exit(main())
