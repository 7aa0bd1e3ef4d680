"""K-means of sertool, scikit-learn and faiss side by side: time, memory and inertia from the same starts.

    OMP_NUM_THREADS=2 python tests/benchmarks/kmeans.py --cases memory streamed -o FILE.json

Every turn of every contestant runs in a process of its own, so that its peak of memory is its own; the turns alternate,
so that whatever else the machine does meets all. All get the same overlapping blobs, the same starts (points of the
data) and the same number of iterations, with no tolerance to stop at; faiss gets no sampling. The inertia is measured
alike for all, behind the last iteration. Where faiss (`pip install faiss-cpu`) or a GPU is absent, the result says so.

In `streamed` the points lie in a file mapped into memory. sertool and faiss read from it; scikit-learn's KMeans needs
its own copy of all, which counts in its time and memory; MiniBatchKMeans is fed by `partial_fit`.
"""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SEED = 5
CASES = {
    "memory": {"points": 100_000, "width": 256, "clusters": 30, "mini_batch": 4096},
    "streamed": {"points": 1_000_000, "width": 256, "clusters": 100, "mini_batch": 16_384},
}
LLOYD = ("sertool", "scikit-learn", "faiss", "sertool on a GPU")
MINI_BATCH = ("sertool, mini-batches", "scikit-learn, mini-batches")
BLOCK = 4096


def main() -> None:
    """Run the cases asked for and write the results."""
    options = _options()
    if options.child:
        print(json.dumps(_child(json.loads(options.child))))
        return
    absent = _absent()
    contestants = [name for name in options.contestants if name not in absent]
    content = {
        "command": _command(),
        "seed": SEED,
        "machine": _machine(),
        "absent": absent,
        "seconds": "of one run, the copy into memory included where a contestant needs one",
        "ratio": "median seconds / sertool's, of the same kind: above 1 sertool is faster",
        "peak_bytes": "most resident memory beyond the loaded libraries'; pages of the mapped file count",
        "peak_anonymous_bytes": "the same without the pages of files, which the system takes back when it needs them",
        "cases": [],
    }
    for name in options.cases:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            content["cases"].append(_case(name, options, contestants, Path(folder)))
        options.output.write_text(json.dumps(content, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["memory"])
    parser.add_argument("--contestants", nargs="+", choices=LLOYD + MINI_BATCH, default=[*LLOYD, *MINI_BATCH])
    parser.add_argument("--iterations", type=int, default=20, help="of Lloyd's algorithm")
    parser.add_argument("--passes", type=int, default=5, help="of mini-batches over the points")
    parser.add_argument("--turns", type=int, default=5, help="of each contestant")
    parser.add_argument("--points", type=int, help="fewer or more than the case has, to try it out")
    parser.add_argument("--scratch", type=Path, help="folder for the points, about 1 GB for streamed")
    parser.add_argument("-o", "--output", type=Path, required="--child" not in sys.argv)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _absent() -> dict[str, str]:
    """Return which contestants cannot take part, and why."""
    import torch

    absent = {}
    if importlib.util.find_spec("faiss") is None:
        absent["faiss"] = "not installed: pip install faiss-cpu"
    if not torch.cuda.is_available():
        absent["sertool on a GPU"] = "no CUDA device"
    return absent


def _case(name: str, options: argparse.Namespace, contestants: list[str], folder: Path) -> dict:
    """Run all turns of a case."""
    case = {**CASES[name], "iterations": options.iterations, "passes": options.passes}
    case["points"] = options.points or case["points"]
    _write_blobs(case, folder)
    results: dict[str, dict] = {}
    for turn in range(options.turns):
        for contestant in contestants if turn % 2 == 0 else reversed(contestants):
            job = {**case, "streamed": name == "streamed", "contestant": contestant, "folder": str(folder)}
            arguments = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(job)]
            ended = subprocess.run(arguments, stdout=subprocess.PIPE, text=True)
            if ended.returncode:
                sys.exit(f"failed: {contestant}")
            measured = json.loads(ended.stdout.splitlines()[-1])
            result = results.setdefault(contestant, {"seconds": [], "cpu_seconds": []})
            for key, value in measured.items():
                if key in ("seconds", "cpu_seconds"):
                    result[key].append(round(value, 4))
                else:
                    result[key] = max(value, result.get(key, 0))
            result.setdefault("inertia", None)
            result["inertia"] = result["inertia"] or _inertia(folder, case["points"])
            print(f"{name}, turn {turn + 1}: {contestant}, {measured['seconds']:.2f} s", file=sys.stderr, flush=True)
    _compare(results)
    return {"case": name, **case, "contestants": results}


def _compare(results: dict[str, dict]) -> None:
    for names in (LLOYD, MINI_BATCH):
        ours = results.get(names[0])
        for name in names:
            if name in results:
                result = results[name]
                result["median_seconds"] = statistics.median(result["seconds"])
            if name in results and ours:
                result["ratio"] = round(result["median_seconds"] / ours["median_seconds"], 3)
                result["inertia_over_sertool"] = result["inertia"] / ours["inertia"]


def _write_blobs(case: dict, folder: Path) -> None:
    """Write overlapping blobs by blocks: centres of deviation 0.5 a dimension, points of deviation 1 around them."""
    generator = np.random.default_rng(SEED)
    count, width, clusters = (case[key] for key in ("points", "width", "clusters"))
    centres = 0.5 * generator.standard_normal((clusters, width), dtype=np.float32)
    points = np.lib.format.open_memmap(folder / "points.npy", "w+", np.float32, (count, width))
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        own = centres[generator.integers(0, clusters, size)]
        points[start : start + size] = own + generator.standard_normal((size, width), dtype=np.float32)
    points.flush()
    np.save(folder / "starts.npy", points[np.sort(generator.choice(count, clusters, replace=False))])


def _inertia(folder: Path, count: int) -> float:
    """Return the inertia of the centroids a contestant left, in float64."""
    centroids = np.load(folder / "centroids.npy").astype(np.float64)
    points = np.load(folder / "points.npy", mmap_mode="r")
    total, squares = 0.0, (centroids**2).sum(1)
    for start in range(0, count, BLOCK):
        block = points[start : start + BLOCK].astype(np.float64)
        total += (block**2).sum() + (squares - 2 * block @ centroids.T).min(1).sum()
    return total


def _child(job: dict) -> dict:
    """Run a contestant once in this process, after a small run that warms its libraries up."""
    folder = Path(job["folder"])
    starts = np.load(folder / "starts.npy")
    run = _runner(job, starts)
    small = np.load(folder / "points.npy", mmap_mode="r")[: 40 * len(starts)].copy()
    run(small, 2)
    del small
    before, anonymous_before = _status("VmRSS"), _status("RssAnon")
    points = np.load(folder / "points.npy", mmap_mode="r" if job["streamed"] else None)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    with _Watch() as watch:
        started, cpu_started = time.perf_counter(), time.process_time()
        centroids = run(points, job["passes"] if job["contestant"] in MINI_BATCH else job["iterations"])
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    np.save(folder / "centroids.npy", centroids)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": _status("VmHWM") - before,
        "peak_anonymous_bytes": watch.peak - anonymous_before,
    }


def _runner(job: dict, starts: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function of points and iterations that returns centroids."""
    contestant, clusters = job["contestant"], len(starts)
    if contestant.startswith("sertool"):
        return _sertool(job, starts)
    if contestant == "faiss":
        import faiss

        def train(points: np.ndarray, iterations: int) -> np.ndarray:
            # Its sampling off: as many points a centroid as there are in all.
            found = faiss.Kmeans(
                points.shape[1], clusters, niter=iterations, max_points_per_centroid=len(points), seed=SEED
            )
            found.train(points, init_centroids=starts)
            return found.centroids

        return train
    import sklearn.cluster

    if contestant == "scikit-learn":

        def fit(points: np.ndarray, iterations: int) -> np.ndarray:
            # It moves the points to zero mean, in place if it may: what is mapped for reading it must copy.
            found = sklearn.cluster.KMeans(
                clusters, init=starts, n_init=1, max_iter=iterations, algorithm="lloyd", tol=0, copy_x=job["streamed"]
            )
            return found.fit(points).cluster_centers_

        return fit

    def fit_partly(points: np.ndarray, passes: int) -> np.ndarray:
        found = sklearn.cluster.MiniBatchKMeans(clusters, init=starts, n_init=1, random_state=SEED)
        generator = np.random.default_rng(SEED)
        for _ in range(passes * -(-len(points) // job["mini_batch"])):
            found.partial_fit(points[generator.integers(0, len(points), min(job["mini_batch"], len(points)))])
        return found.cluster_centers_

    return fit_partly


def _sertool(job: dict, starts: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    import torch

    from sertool.core.clustering.kmeans import kmeans

    device = "cuda" if job["contestant"] == "sertool on a GPU" else "cpu"
    mini_batch = job["mini_batch"] if job["contestant"] in MINI_BATCH else None

    def run(points: np.ndarray, iterations: int) -> np.ndarray:
        found = kmeans(
            points,
            len(starts),
            iterations=iterations,
            seed=SEED,
            starts=torch.from_numpy(starts),
            mini_batch=mini_batch,
            device=device,
        )
        return found.centroids.cpu().numpy()

    return run


class _Watch:
    """Looks at the memory that is no file's every few milliseconds, since the system keeps no peak of it."""

    def __enter__(self) -> "_Watch":
        self.peak, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, _status("RssAnon"))
            if self._ended.wait(0.02):
                return


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _machine() -> dict:
    """Return what the numbers depend on beside the code."""
    import importlib.metadata as metadata

    import torch

    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    packages = [
        name for name in ("torch", "scikit-learn", "faiss-cpu", "numpy") if importlib.util.find_spec(_IMPORT[name])
    ]
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", f"{os.cpu_count()} (all)"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
    }


_IMPORT = {"torch": "torch", "scikit-learn": "sklearn", "faiss-cpu": "faiss", "numpy": "numpy"}


def _command() -> str:
    arguments, hidden = [], False
    for argument in sys.argv[1:]:
        arguments.append(Path(argument).name if hidden else argument)
        hidden = argument in ("-o", "--output", "--scratch")
    threads = os.environ.get("OMP_NUM_THREADS")
    return " ".join(
        [*([f"OMP_NUM_THREADS={threads}"] if threads else []), "python tests/benchmarks/kmeans.py", *arguments]
    )


if __name__ == "__main__":
    main()
