"""A campaign of hostile files: thousands of mutants, each given to every command that reads such a file.

    python tests/hostile/campaign.py --mutants 10000 --seed 0 --workers 2 -o examples/results/hostile-files.json

A fault is a traceback, a crash, a hang, a gigabyte of memory, code that ran, a good file lost, a file half written, a
file accepted that nobody could use, or a score that was invented. Interrupted and run again, it goes on: what was done
is kept beside the output, in OUTPUT.journal.jsonl, until the end.
"""

import argparse
import collections
import faulthandler
import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import re
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from faults_mended import FAULTS_MENDED
from mutators import ATTACKS, make_mutant

SHARES = {
    "wav": 0.21,
    "flac": 0.17,
    "csv": 0.15,
    "parquet": 0.11,
    "labels": 0.05,
    "yaml": 0.09,
    "safetensors": 0.07,
    "config": 0.07,
    "record": 0.05,
    "journal": 0.03,
}
"""Share of each format among the mutants."""

HANG_S = 30.0
"""Longest a command may take on a hostile file, on a machine that does other things as well."""

ADDRESS_SPACE_BYTES = 8_000_000_000
"""What a worker may map beyond its libraries: more is refused by the system, which the command must survive."""

PACKAGES = ("sertool", "torch", "numpy", "pandas", "pyarrow", "soundfile", "soxr", "pyyaml", "pydantic", "safetensors")


@dataclass
class Worker:
    """A process that examines mutants, and what it is at."""

    process: Any
    pipe: Any
    folder: Path
    task: tuple[str, int] | None = None
    since: float = 0.0

    def at(self) -> str:
        """Return the command it is at, or was at when it died."""
        path = self.folder / "current"
        return path.read_text(encoding="utf-8") if path.is_file() else "starting"

    def last_words(self) -> str:
        """Return where the process was when it died, as its fault handler tells."""
        path = self.folder / "crash"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        return " ".join(line.strip() for line in lines if line.startswith(("Fatal", "Timeout", "  File")))[:900]


@dataclass
class Campaign:
    """A plan of mutants and how far it has come."""

    seed: int
    workers: int
    slow: float
    journal: Path
    root: Path
    tasks: list[tuple[str, int]]
    records: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        """Examine what has not been examined yet."""
        done = {(record["format"], record["number"]) for record in self.records}
        waiting = collections.deque(task for task in self.tasks if tuple(task) not in done)
        total, begun, finished = len(waiting), time.monotonic(), 0
        print(f"{len(self.tasks)} mutants, {total} to go, {self.workers} workers", file=sys.stderr, flush=True)
        crew = [self._hire(number) for number in range(min(self.workers, total))]
        try:
            while waiting or any(worker.task for worker in crew):
                for worker in crew:
                    if worker.task is None and waiting:
                        worker.task = waiting.popleft()
                        worker.since = time.monotonic()
                        worker.pipe.send(worker.task)
                ready = multiprocessing.connection.wait([worker.pipe for worker in crew if worker.task], timeout=1.0)
                for place, worker in enumerate(crew):
                    if worker.pipe in ready and worker.task:
                        try:
                            self._note(worker.pipe.recv())
                        except (EOFError, ConnectionResetError):
                            worker.process.join()
                            self._bury(worker)
                            crew[place] = self._hire(place)
                        worker.task = None
                        finished += 1
                        if finished in (50, 200) or finished % 1000 == 0:
                            rest = (time.monotonic() - begun) / finished * (total - finished) / 60
                            faulty = sum(bool(record["faults"]) for record in self.records)
                            print(
                                f"{finished} of {total}, {faulty} with faults, {rest:.0f} minutes to go",
                                file=sys.stderr,
                                flush=True,
                            )
        finally:
            for worker in crew:
                worker.process.terminate()

    def _hire(self, number: int) -> Worker:
        ours, theirs = multiprocessing.Pipe()
        folder = self.root / f"worker-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "current").unlink(missing_ok=True)
        context = multiprocessing.get_context("spawn")
        process = context.Process(
            target=work, args=(theirs, self.root / "bench", folder, self.seed, self.slow), daemon=False
        )
        process.start()
        theirs.close()
        return Worker(process, ours, folder)

    def _bury(self, worker: Worker) -> None:
        """Note what killed a worker as a fault of the command it was at."""
        format_, number = worker.task
        words = worker.last_words()
        kind = "hang" if words.startswith("Timeout") else "crash"
        detail = f"process ended with {worker.process.exitcode}: {words}"
        self._note(
            {
                "format": format_,
                "number": number,
                "attack": list(ATTACKS[format_])[number % len(ATTACKS[format_])],
                "calls": [],
                "faults": [[worker.at(), kind, detail]],
            }
        )

    def _note(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        with open(self.journal, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        for call, kind, detail in record["faults"]:
            print(
                f"{record['format']} {record['number']} ({record['attack']}), {call}: {kind}: {_flat(detail, 200)}",
                file=sys.stderr,
                flush=True,
            )


def _flat(text: str, longest: int) -> str:
    """Return the beginning of a text in one line, without the folders of this machine."""
    return re.sub(r"/[^\s\"']*/", "", " ".join(text.split()))[:longest]


def work(pipe: Any, bench_root: Path, folder: Path, seed: int, slow: float) -> None:
    """Examine mutants as they are named, in a process of its own, until told to end."""
    from bench import reopen
    from examiner import Examiner

    crash = open(folder / "crash", "w", encoding="utf-8")  # noqa: SIM115 (the fault handler keeps it)
    faulthandler.enable(crash)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)  # mpg123 grumbles there
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    bench = reopen(bench_root)

    def begin(name: str) -> None:
        (folder / "current").write_text(name, encoding="utf-8")
        faulthandler.dump_traceback_later(HANG_S, exit=True, file=crash)

    examiner = Examiner(bench, folder / "mutants", begin)
    _warm_up(bench, examiner, seed)
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000_000,) * 2)
    while True:
        try:
            format_, number = pipe.recv()
        except EOFError:
            return
        mutant = make_mutant(format_, number, seed, bench.sources)
        ended, faults = examiner.examine(mutant, seed=seed, slow=slow)
        faulthandler.cancel_dump_traceback_later()
        if faults:
            kept = folder.parent / "faulty"
            kept.mkdir(exist_ok=True)
            (kept / f"{format_}-{number}").write_bytes(mutant.data)
        pipe.send(
            {
                "format": format_,
                "number": number,
                "attack": mutant.attack,
                "calls": ended,
                "faults": [[fault.call, fault.kind, fault.detail.replace(f"{folder.parent}/", "")] for fault in faults],
            }
        )


def _warm_up(bench: Any, examiner: Any, seed: int) -> None:
    """Load every library, so that its memory is not taken for a command's."""
    from mutators import Mutant

    for name, data in (
        ("wav", "wav-16"),
        ("csv", "csv-clean"),
        ("config", "config"),
        ("record", "runrecord"),
        ("yaml", "yaml-short"),
    ):
        attack = "run.json: good" if name == "record" else "good"
        examiner.examine(Mutant(name, attack, 1, bench.sources.files[data], False), seed=seed, slow=100.0)
    faulthandler.cancel_dump_traceback_later()


def plan(count: int) -> list[tuple[str, int]]:
    """Return (format, number) of every mutant, the formats mixed evenly."""
    wanted = {name: max(1, round(count * share)) for name, share in SHARES.items()}
    tasks = [((number + 0.5) / total, name, number) for name, total in wanted.items() for number in range(total)]
    return [(name, number) for _, name, number in sorted(tasks)]


def summary(records: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return counts by format and command, and the faults."""
    formats: dict[str, Any] = {}
    for name in SHARES:
        own = [record for record in records if record["format"] == name]
        commands: dict[str, Any] = {}
        for record in own:
            for call, code, seconds, memory in record["calls"]:
                entry = commands.setdefault(
                    call,
                    {
                        "calls": 0,
                        "accepted": 0,
                        "partly": 0,
                        "refused": 0,
                        "faults": 0,
                        "longest_s": 0.0,
                        "most_memory_mb": 0,
                    },
                )
                entry["calls"] += 1
                entry[{0: "accepted", 1: "partly"}.get(code, "refused")] += 1
                entry["longest_s"] = max(entry["longest_s"], round(seconds, 1))
                entry["most_memory_mb"] = max(entry["most_memory_mb"], round(memory / 1e6))
            for call, *_ in record["faults"]:
                commands.setdefault(call, {"calls": 1, "faults": 0})
                commands[call]["faults"] += 1
        formats[name] = {
            "mutants": len(own),
            "attacks": len(ATTACKS[name]),
            "with_faults": sum(bool(record["faults"]) for record in own),
            "commands": dict(sorted(commands.items())),
        }
    faults = [
        {
            "format": record["format"],
            "mutant": record["number"],
            "attack": record["attack"],
            "command": call,
            "kind": kind,
            "detail": _flat(detail, 160),
        }
        for record in records
        for call, kind, detail in record["faults"]
    ]
    return formats, faults


def main() -> None:
    """Run a campaign and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--slow", type=float, default=1.0, help="multiplies the share of mutants given to slow commands"
    )
    parser.add_argument("--format", action="append", choices=list(SHARES), help="only these formats")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    journal = options.output.with_name(f"{options.output.name}.journal.jsonl")
    tasks = [task for task in plan(options.mutants) if options.format is None or task[0] in options.format]
    with tempfile.TemporaryDirectory(prefix="hostile-") as root:
        records = (
            [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()] if journal.is_file() else []
        )
        campaign = Campaign(options.seed, options.workers, options.slow, journal, Path(root), tasks, records)
        from bench import build

        build(Path(root) / "bench")
        campaign.run()
        if (Path(root) / "faulty").is_dir():
            kept = Path(tempfile.gettempdir()) / "hostile-faulty"
            kept.mkdir(exist_ok=True)
            for path in (Path(root) / "faulty").iterdir():
                (kept / path.name).write_bytes(path.read_bytes())
            print(f"mutants with faults are kept in {kept}", file=sys.stderr)
    formats, faults = summary(campaign.records)
    from sertool.core.environment import installed_versions

    document = {
        "format": "sertool-hostile-files-1",
        "command": [
            "python",
            "tests/hostile/campaign.py",
            *(word if not os.path.isabs(word) else Path(word).name for word in sys.argv[1:]),
        ],
        "seed": options.seed,
        "versions": {"python": platform.python_version(), **installed_versions(list(PACKAGES))},
        "mutants": len(campaign.records),
        "calls": sum(len(record["calls"]) for record in campaign.records),
        "limits": {"hang_s": HANG_S, "memory_mb": 1000},
        "faults": faults,
        "formats": formats,
        "faults_found_and_mended": FAULTS_MENDED,
    }
    options.output.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    journal.unlink()
    print(f"{len(campaign.records)} mutants, {document['calls']} calls, {len(faults)} faults: {options.output}")


if __name__ == "__main__":
    main()
