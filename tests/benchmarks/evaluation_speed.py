"""How well an evaluation uses two cores, and what its cache saves: three evaluations of the same, side by side.

    python tests/benchmarks/evaluation_speed.py MANIFEST --model RUN --noise DIR [--snr clean 0] [--turns 3] -o FILE

Each turn evaluates with one worker, then with as many as there are cores (at most --workers), without a cache; then
twice with one: an empty cache, and a full one. Parallel efficiency is the time of one worker over workers times that of
all of them; every process computes in one thread. Medians over turns. Start-up (loading torch and the model in every
process) is part of all times: the more utterances, the less it weighs.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.engine import default_workers
from sertool.core.evaluation.by_snr import prepare_evaluation
from sertool.core.evaluation.protocol import Protocol


def main() -> None:
    """Time, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--snr", nargs="+", default=["clean", "0"])
    parser.add_argument("--workers", type=int, default=min(2, default_workers()))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    turns = []
    for number in range(options.turns):
        turns.append(turn(options))
        print(f"turn {number + 1}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in turns[-1].items()))
    medians = {name: statistics.median(one[name] for one in turns) for name in turns[0]}
    ratios = [one["one worker"] / (options.workers * one["all workers"]) for one in turns]
    document = {
        "command": [
            *("python", "tests/benchmarks/evaluation_speed.py", options.manifest.name, "--model", "RUN"),
            *("--noise", "NOISE", "--snr", *options.snr, "--turns", str(options.turns)),
        ],
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "pesq", "numpy")},
        "seed": 0,
        "data": f"{options.manifest.stem}, test split",
        "utterances": len(Manifest.read(options.manifest).split("test")),
        "conditions": options.snr,
        "workers": options.workers,
        "cores": os.cpu_count(),
        "seconds": medians,
        "parallel_efficiency": statistics.median(ratios),
        "parallel_efficiency_of_each_turn": ratios,
        "full_cache_against_none": medians["full cache"] / medians["all workers"],
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))


def turn(options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of each of the four evaluations."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "one worker": timed(options, workers=1),
            "all workers": timed(options, workers=options.workers),
            "empty cache": timed(options, workers=options.workers, cache=Path(folder)),
            "full cache": timed(options, workers=options.workers, cache=Path(folder)),
        }


def timed(options: argparse.Namespace, *, workers: int, cache: Path | None = None) -> float:
    """Return the seconds an evaluation takes from its first utterance to its scores."""
    how = Protocol(snr=parse_snr(options.snr, allow_clean=True), noise=NoiseSet.read(options.noise), cache=cache)
    evaluation = prepare_evaluation(options.manifest, options.model, how)
    began = time.perf_counter()
    evaluation.run(workers=workers)
    return time.perf_counter() - began


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
