"""Enhance an hour of noisy speech through the command line and draw how much memory it takes.

    python examples/enhance_memory.py [--model RUN] [--minutes 60] [--work DIR] [--results examples/results]

Two recordings are made of the sample corpus, its voices in its noises: 16 kHz mono and 48 kHz stereo. Each goes through
`sertool enhance` in a process of its own, whose resident memory, with that of its children, is read every second. The
numbers go to enhance-memory.json and the picture to enhance-memory.png. Without
--model a run is trained first, in a minute: its quality does not matter here, its size does.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from sertool.core.audio.files import SAMPLE_RATE, audio_info, find_audio, read_audio, resample
from sertool.core.corpus.sample import sample_manifest, sample_noise
from sertool.core.environment import installed_versions
from sertool.core.models.inference import load

CONDITIONS = {"16-khz-mono": (16_000, 1), "48-khz-stereo": (48_000, 2)}
PACKAGES = ["sertool", "torch", "numpy", "soundfile", "soxr"]
LIMIT_MB = 1500


def noisy_speech(seconds: float, rate: int, channels: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield one utterance after the other, with pauses, in noise at -5 to 15 dB; the noise differs in every channel."""
    rng = np.random.default_rng(seed)
    speech, noise = find_audio(sample_manifest().parent / "speech"), find_audio(sample_noise("seen"))
    left = math.ceil(seconds * rate)
    while left > 0:
        clean = np.pad(read_audio(speech[rng.integers(len(speech))]), (0, SAMPLE_RATE // 2))
        columns = []
        for _ in range(channels):
            stretch = np.resize(read_audio(noise[rng.integers(len(noise))]), len(clean))
            gain = clean.std() / max(stretch.std(), 1e-9) * 10 ** (-rng.uniform(-5, 15) / 20)
            columns.append(0.5 * (clean + gain * stretch))
        block = resample(np.stack(columns, axis=1), SAMPLE_RATE, rate)[:left]
        left -= len(block)
        yield block


def write_recording(path: Path, seconds: float, rate: int, channels: int) -> None:
    """Write noisy speech to a 16-bit FLAC, an utterance at a time."""
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for block in noisy_speech(seconds, rate, channels):
            file.write(np.clip(block, -1.0, 1.0))


def train(folder: Path) -> Path:
    """Train a joint model of the usual size on the sample corpus, for as long as it takes to learn a little."""
    command = [sys.executable, "-m", "sertool", "train", "--noise", str(sample_noise("seen")), "--epochs", "8"]
    subprocess.run([*command, "--task", "emotion", "--task", "enhancement", "-o", str(folder)], check=True)
    return folder


def watch(command: list[str], folder: Path) -> tuple[float, list[tuple[float, float]]]:
    """Run a command in one thread; return its wall time in seconds, and its resident memory over time: seconds, MB."""
    begin, samples = time.monotonic(), []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            samples.append((round(time.monotonic() - begin, 1), round(resident_mb(process.pid), 1)))
            time.sleep(1.0)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return time.monotonic() - begin, samples


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its children in MB (10^6 bytes); 0 where it has just ended."""
    try:
        import psutil
    except ImportError:
        return sum(_resident_kib(each) for each in _family(pid)) * 1024 / 1e6
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def _family(pid: int) -> list[int]:
    """Return a process and its descendants, from /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _resident_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def measure(name: str, model: Path, work: Path, minutes: float) -> dict:
    """Enhance one recording and return what it took."""
    rate, channels = CONDITIONS[name]
    noisy, enhanced = work / f"{name}.flac", work / f"{name}.enhanced.flac"
    write_recording(noisy, minutes * 60, rate, channels)
    options = ["--upper-band", "follow"] if rate > SAMPLE_RATE else []
    command = ["enhance", noisy.name, "-o", enhanced.name, "--overwrite", *options, "--model"]
    wall_s, samples = watch([sys.executable, "-m", "sertool", *command, str(model.resolve())], work)
    info = audio_info(enhanced)
    if info != audio_info(noisy):
        raise SystemExit(f"{enhanced}: {info} is not what went in")
    noisy.unlink()
    enhanced.unlink()
    return {
        "condition": name,
        "command": ["sertool", *command, model.name],
        "duration_s": round(info.duration_s, 3),
        "rate": rate,
        "channels": channels,
        "peak_rss_mb": max(mb for _, mb in samples),
        "wall_s": round(wall_s, 1),
        "real_time_factor": round(wall_s / info.duration_s, 4),
        "rss_mb": [{"s": seconds, "mb": mb} for seconds, mb in samples],
    }


def draw(document: dict, path: Path) -> None:
    """Draw resident memory over the time the enhancing took, one line a recording."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for condition, colour in zip(document["conditions"], ("#1b6ca8", "#d1603d"), strict=False):
        seconds, mb = zip(*((sample["s"], sample["mb"]) for sample in condition["rss_mb"]), strict=True)
        kind = "stereo" if condition["channels"] == 2 else "mono"
        label = f"{condition['rate'] / 1000:g} kHz {kind}: at most {condition['peak_rss_mb']:.0f} MB"
        axes.plot(seconds, mb, color=colour, linewidth=1.6, label=label)
    axes.axhline(LIMIT_MB, color="0.6", linewidth=1.0, linestyle="--")
    axes.annotate(f"{LIMIT_MB} MB", (0, LIMIT_MB), xytext=(2, 3), textcoords="offset points", color="0.4", fontsize=8)
    axes.set(xlabel="seconds since the start", ylabel="resident memory, MB", ylim=(0, LIMIT_MB * 1.15), xlim=(0, None))
    minutes = document["conditions"][0]["duration_s"] / 60
    axes.set_title(f"sertool enhance: {minutes:g} minutes of noisy speech", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, write the numbers, draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a run that enhances; trained here without")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", type=Path, help="folder for recordings and run; a temporary one without")
    parser.add_argument("--results", type=Path, default=Path(__file__).resolve().parent / "results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sertool-") as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        model = options.model or train(work / "sample-run")
        recognizer = load(model, "cpu")
        document = {
            "format": "sertool-enhance-memory-1",
            "command": ["python", "examples/enhance_memory.py", "--minutes", f"{options.minutes:g}"],
            "seed": 0,
            "versions": {"python": platform.python_version(), **installed_versions(PACKAGES)},
            "model": {
                "id": recognizer.model_id,
                "name": model.name,
                "parameters": sum(parameter.numel() for parameter in recognizer.model.parameters()),
            },
            "device": "cpu",
            "threads": 1,
            "conditions": [measure(name, model, work, options.minutes) for name in CONDITIONS],
        }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "enhance-memory.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draw(document, options.results / "enhance-memory.png")


if __name__ == "__main__":
    main()
