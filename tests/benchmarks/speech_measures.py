"""Speech measures of sertool, pystoi and torchmetrics side by side: time, memory and how far the scores differ.

    OMP_NUM_THREADS=1 python tests/benchmarks/speech_measures.py -o FILE.json

All score the same pairs: a buzz of changing pitch and level with pauses, 3 to 4 s at 16 kHz, and the same in noise.
sertool scores them all at a time; pystoi and torchmetrics one by one, as pystoi can and as torchmetrics calls it (its
STOI is pystoi within), and torchmetrics' SI-SDR also in one padded batch, which counts the padding. `together` is what
an evaluation needs: STOI, ESTOI and SI-SDR of every pair. What nobody else here measures (segmental SNR, LLR, WSS) is
timed by itself. Every turn of every contestant runs in a process of its own, in one thread, after a few pairs that warm
its libraries up; the turns alternate, so that whatever else the machine does meets all. Where there is a CUDA device
sertool runs on it too; otherwise the result says so.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SEED = 5
RATE = 16_000
CASES: dict[str, tuple[str, ...]] = {
    "stoi": ("sertool", "sertool on a GPU", "pystoi", "torchmetrics"),
    "estoi": ("sertool", "sertool on a GPU", "pystoi", "torchmetrics"),
    "si_sdr": ("sertool", "sertool on a GPU", "torchmetrics", "torchmetrics, padded batch"),
    "together": ("sertool", "sertool on a GPU", "pystoi + torchmetrics", "torchmetrics"),
    "frames": ("sertool", "sertool on a GPU"),
}
MEASURES = {"together": ("stoi", "estoi", "si_sdr")}
WARM_UP = 4

Pair = tuple[np.ndarray, np.ndarray]
Scores = dict[str, list[float]]


def main() -> None:
    """Run all turns of the cases asked for and write the results."""
    options = _options()
    if options.child:
        print(json.dumps(_child(json.loads(options.child))))
        return
    absent = _absent()
    content = {
        "command": _command(),
        "seed": SEED,
        "pairs": options.pairs,
        "turns": options.turns,
        "machine": _machine(),
        "absent": absent,
        "seconds": "of scoring all pairs once, wall clock; the medians of the turns are compared",
        "cpu_seconds": "the same, of the processor, which other work on the machine does not lengthen as much",
        "ratio": "seconds / sertool's on the CPU: above 1 sertool is faster; cpu_ratio likewise",
        "peak_bytes": "most resident memory beyond the loaded libraries' and the pairs'",
        "largest_difference": "from sertool's scores on the CPU, over all pairs and measures",
        "cases": [_case(name, options, absent) for name in options.cases],
    }
    options.output.write_text(json.dumps(content, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--turns", type=int, default=5, help="of each contestant")
    parser.add_argument("-o", "--output", type=Path, required="--child" not in sys.argv)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _absent() -> dict[str, str]:
    """Return which contestants cannot take part, and why."""
    import torch

    return {} if torch.cuda.is_available() else {"sertool on a GPU": "no CUDA device"}


def _case(name: str, options: argparse.Namespace, absent: dict[str, str]) -> dict:
    """Run all turns of a case."""
    contestants = [contestant for contestant in CASES[name] if contestant not in absent]
    results: dict[str, dict] = {contestant: {"seconds": [], "cpu_seconds": []} for contestant in contestants}
    scores: dict[str, Scores] = {}
    for turn in range(options.turns):
        for contestant in contestants if turn % 2 == 0 else reversed(contestants):
            job = {"case": name, "contestant": contestant, "pairs": options.pairs}
            arguments = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(job)]
            ended = subprocess.run(arguments, stdout=subprocess.PIPE, text=True)
            if ended.returncode:
                sys.exit(f"failed: {contestant}")
            measured, result = json.loads(ended.stdout.splitlines()[-1]), results[contestant]
            for key in ("seconds", "cpu_seconds"):
                result[key].append(round(measured[key], 4))
            result["peak_bytes"] = max(measured["peak_bytes"], result.get("peak_bytes", 0))
            scores[contestant] = measured["scores"]
            print(f"{name}, turn {turn + 1}: {contestant}, {measured['seconds']:.3f} s", file=sys.stderr, flush=True)
    for result in results.values():
        for kind in ("seconds", "cpu_seconds"):
            result[f"median_{kind}"] = statistics.median(result[kind])
    ours = results["sertool"]
    for contestant, result in results.items():
        result["ratio"] = round(result["median_seconds"] / ours["median_seconds"], 3)
        result["cpu_ratio"] = round(result["median_cpu_seconds"] / ours["median_cpu_seconds"], 3)
        result["largest_difference"] = max(
            float(np.max(np.abs(np.subtract(found, scores["sertool"][measure]))))
            for measure, found in scores[contestant].items()
        )
    return {"case": name, "contestants": results}


def _pairs(count: int) -> list[Pair]:
    """Return a buzz with pauses and the same in noise at levels of its own, float32 (S,), 3 to 4 s."""
    generator = np.random.default_rng(SEED)
    pairs = []
    for number in range(count):
        seconds = np.arange(round(generator.uniform(3, 4) * RATE)) / RATE
        phase = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 1.3 * seconds + number)) / RATE
        loudness = np.maximum(0, np.sin(2 * np.pi * 0.9 * seconds + number)) * np.abs(np.sin(2 * np.pi * 4 * seconds))
        buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
        clean = 0.2 * loudness * buzz + 1e-4 * generator.standard_normal(len(seconds))
        noise = 10 ** generator.uniform(-2.5, -1) * generator.standard_normal(len(seconds))
        pairs.append((clean.astype(np.float32), (clean + noise).astype(np.float32)))
    return pairs


def _child(job: dict) -> dict:
    """Score all pairs once in this process."""
    import torch

    torch.set_num_threads(1)
    pairs = _pairs(job["pairs"])
    score = _scorer(job["contestant"], MEASURES.get(job["case"], (job["case"],)))
    score(pairs[:WARM_UP])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu_started = time.perf_counter(), time.process_time()
    scores = score(pairs)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    peak_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes, "scores": scores}


def _scorer(contestant: str, measures: tuple[str, ...]) -> Callable[[list[Pair]], Scores]:
    """Return a function of pairs that returns each measure's scores."""
    if contestant.startswith("sertool"):
        device = "cuda" if contestant == "sertool on a GPU" else "cpu"
        return _frames(device) if measures == ("frames",) else _sertool(measures, device)
    if contestant == "torchmetrics, padded batch":
        return _padded_batch
    functions = {
        measure: _of_torchmetrics(measure) if contestant == "torchmetrics" else _of_either(measure)
        for measure in measures
    }
    return lambda pairs: {measure: [function(*pair) for pair in pairs] for measure, function in functions.items()}


def _sertool(measures: tuple[str, ...], device: str) -> Callable[[list[Pair]], Scores]:
    from sertool.core.metrics.speech import score_pairs

    def score(pairs: list[Pair]) -> Scores:
        found = score_pairs(*zip(*pairs, strict=True), measures=measures, device=device)
        return {measure: [scores[measure] for scores in found] for measure in measures}

    return score


def _frames(device: str) -> Callable[[list[Pair]], Scores]:
    """Segmental SNR, LLR and WSS, without the PESQ that the composite measures need beside them."""
    import torch

    from sertool.core.metrics.frames import count_frames, frame_values, mean_of_best_frames, mean_of_frames
    from sertool.core.metrics.log_likelihood_ratio import frame_llr
    from sertool.core.metrics.segmental_snr import frame_snr_db
    from sertool.core.metrics.weighted_spectral_slope import frame_wss

    def score(pairs: list[Pair]) -> Scores:
        lengths = torch.tensor([len(clean) for clean, _ in pairs], device=device)
        clean, estimate = (
            torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(pair[side]).double() for pair in pairs], batch_first=True
            ).to(device)
            for side in (0, 1)
        )
        values = frame_values([frame_snr_db, frame_llr, frame_wss], clean, estimate, lengths, RATE)
        means = (mean_of_frames, mean_of_best_frames, mean_of_best_frames)
        counts = count_frames(lengths, RATE)
        return {
            name: mean(found, counts).tolist()
            for name, mean, found in zip(("segmental_snr", "llr", "wss"), means, values, strict=True)
        }

    return score


def _of_either(measure: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a function of one pair: pystoi's where it has one."""
    if measure == "si_sdr":
        return _of_torchmetrics(measure)
    from pystoi import stoi

    # It must not be slower than it can be: float64 spares it conversions.
    return lambda clean, estimate: float(
        stoi(clean.astype(np.float64), estimate.astype(np.float64), RATE, extended=measure == "estoi")
    )


def _of_torchmetrics(measure: str) -> Callable[[np.ndarray, np.ndarray], float]:
    import torch
    from torchmetrics.audio import ScaleInvariantSignalDistortionRatio, ShortTimeObjectiveIntelligibility

    if measure == "si_sdr":
        metric = ScaleInvariantSignalDistortionRatio(zero_mean=True)
    else:
        metric = ShortTimeObjectiveIntelligibility(RATE, extended=measure == "estoi")
    return lambda clean, estimate: metric(torch.from_numpy(estimate).double(), torch.from_numpy(clean).double()).item()


def _padded_batch(pairs: list[Pair]) -> Scores:
    import torch
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    clean, estimate = (
        torch.nn.utils.rnn.pad_sequence([torch.from_numpy(pair[side]).double() for pair in pairs], batch_first=True)
        for side in (0, 1)
    )
    return {"si_sdr": scale_invariant_signal_distortion_ratio(estimate, clean, zero_mean=True).tolist()}


def _machine() -> dict:
    """Return what the numbers depend on beside the code."""
    import torch

    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    packages = ("torch", "torchmetrics", "pystoi", "scipy", "numpy")
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.machine(),
        "threads": 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def _command() -> str:
    arguments, hidden = [], False
    for argument in sys.argv[1:]:
        arguments.append(Path(argument).name if hidden else argument)
        hidden = argument in ("-o", "--output")
    threads = os.environ.get("OMP_NUM_THREADS")
    setting = [f"OMP_NUM_THREADS={threads}"] if threads else []
    return " ".join([*setting, "python tests/benchmarks/speech_measures.py", *arguments])


if __name__ == "__main__":
    main()
