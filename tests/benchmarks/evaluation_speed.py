"""How well an evaluation uses several cores, and what its cache saves: whole commands, from their start to their end.

    python tests/benchmarks/evaluation_speed.py MANIFEST --model RUN --noise DIR [--snr clean 0] [--utterances 48 0]
        [--turns 3] -o FILE

Each turn runs `sertool evaluate` as a user does, without a cache: with one worker, then with as many as there are cores
(at most --workers); for so many utterances of the test split, taken evenly (0: all). Parallel efficiency is the time of
one worker over workers times that of all of them: everything counts, from the start of Python to the last byte of the
results. Every process computes in one thread, the only one of the first too. With all utterances it also runs with an
empty cache, then with the full one. Every run of a size must write the same outcomes. Medians over turns.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sertool.core.corpus.manifest import Manifest
from sertool.core.engine import default_workers

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main() -> None:
    """Time, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--snr", nargs="+", default=["clean", "0"])
    parser.add_argument("--utterances", type=int, nargs="+", default=[48, 0])
    parser.add_argument("--workers", type=int, default=min(2, default_workers()))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    test = Manifest.read(options.manifest).split("test")
    document = {
        "command": [
            *("python", "tests/benchmarks/evaluation_speed.py", options.manifest.name, "--model", "RUN"),
            *("--noise", "NOISE", "--snr", *options.snr, "--utterances", *map(str, options.utterances)),
            *("--workers", str(options.workers), "--turns", str(options.turns)),
        ],
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "pesq", "numpy")},
        "seed": 0,
        "data": f"{options.manifest.stem}, test split",
        "conditions": options.snr,
        "workers": options.workers,
        "cores": os.cpu_count(),
        "threads_a_process": 1,
    }
    sizes = [size_of(test, number or len(test), options) for number in options.utterances]
    # The largest size stands for all; the others show how much the start weighs.
    largest = max(sizes, key=lambda size: size["utterances"])
    document |= largest | {"smaller": [size for size in sizes if size is not largest]}
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))


def size_of(test: Manifest, number: int, options: argparse.Namespace) -> dict:
    """Return what evaluations of so many utterances took."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [place * len(test) // number for place in range(number)]
        Manifest(test.table.iloc[rows].reset_index(drop=True), test.folder).write(Path(folder) / "part.csv")
        turns = []
        for _ in range(options.turns):
            turns.append(turn(Path(folder), options, caches=number == len(test)))
    seconds = {name: statistics.median(one[name] for one in turns) for name in turns[0]}
    ratios = [one["one worker"] / (options.workers * one["all workers"]) for one in turns]
    size = {
        "utterances": number,
        "seconds": seconds,
        "parallel_efficiency": statistics.median(ratios),
        "parallel_efficiency_of_each_turn": ratios,
    }
    if "full cache" in seconds:
        size["full_cache_against_none"] = seconds["full cache"] / seconds["all workers"]
    return size


def turn(folder: Path, options: argparse.Namespace, *, caches: bool) -> dict[str, float]:
    """Return the seconds of each evaluation, and make sure that all wrote the same."""
    (folder / "cache").mkdir(exist_ok=True)
    for kept in (folder / "cache").iterdir():
        kept.unlink()
    runs = {"one worker": (1, False), "all workers": (options.workers, False)}
    if caches:
        runs |= {"empty cache": (options.workers, True), "full cache": (options.workers, True)}
    seconds, outcomes = {}, set()
    for name, (workers, cached) in runs.items():
        call = [
            *(sys.executable, "-m", "sertool", "evaluate", folder / "part.csv", "--model", options.model),
            *("--noise", options.noise, *(word for snr in options.snr for word in ("--snr", snr))),
            *("--workers", str(workers), *([] if cached else ["--no-cache"])),
            *("-o", folder / "results.json", "--outcomes", folder / "outcomes.csv", "--overwrite"),
        ]
        environment = os.environ | THREADS | {"SERTOOL_CACHE": str(folder / "cache")}
        began = time.perf_counter()
        subprocess.run(call, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds[name] = time.perf_counter() - began
        print(f"{name}: {seconds[name]:.1f} s", flush=True)
        outcomes.add((folder / "outcomes.csv").read_bytes())
    if len(outcomes) > 1:
        raise SystemExit("the outcomes depend on the number of workers or the cache")
    return seconds


if __name__ == "__main__":
    main()
