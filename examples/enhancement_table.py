"""How good enhanced speech is beside published networks, on mixtures anyone can make again, and what it costs.

    python examples/enhancement_table.py DATA WORK [--model RUN] [--mixtures TABLE] [--turns 5] -o RESULTS.json

DATA holds reference/mixtures.csv, ravdess/, emodb/ and noise/; RUN is the model that comes with the package unless
another is named. WORK takes the mixtures themselves, WORK/noisy/*.wav, and their clean references, WORK/clean/*.wav,
float WAV at 16 kHz and so sample for sample those of the table, with a manifest, WORK/metadata.csv: any other tool can
be run on the identical files, and

    sertool evaluate WORK/metadata.csv --enhancer 'their-command {in} {out}' --model RUN

scores it. The model is scored by `sertool evaluate --mixtures` beside the scores stored in the table. Then, in one
thread: the real-time factor over all mixtures, after a first pass that is not counted; of a causal model also block by
block, with its latency; and fresh processes of `sertool enhance` on one mixture: their wall time, and the most memory
they had resident. Two pictures beside RESULTS.json show the first mixture at the lowest SNR of two corpora, before and
after: chosen by their place in the table and not by how well they came out.
"""

import argparse
import csv
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SAMPLE_RATE = 16_000
PACKAGES = ["sertool", "torch", "numpy", "soundfile", "pesq", "matplotlib"]
BLOCK = 256
"""Samples of a block of a stream: 16 ms."""

SHADES = 48
"""Colours of a picture."""


def main() -> None:
    """Write the mixtures, score, measure, draw."""
    options = _options()
    # Before torch is imported, here and in the processes that are started.
    os.environ["OMP_NUM_THREADS"] = "1"
    from sertool.core.corpus.fixed_mixtures import read_fixed_mixtures
    from sertool.core.environment import installed_versions
    from sertool.core.models.locate import model_folder

    table = read_fixed_mixtures(options.mixtures or options.data / "reference" / "mixtures.csv")
    folder = model_folder(options.model)
    names = write_mixtures(table, options.work)
    print(f"{len(names)} mixtures are in {options.work}")
    noisy = [options.work / "noisy" / name for name in names]
    document = {
        "command": _command(options),
        "versions": installed_versions(PACKAGES),
        "seed": 0,
        "mixtures": len(names),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "threads": 1},
        **scores_of(table.path, options.model, options.work),
        "stored_bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()},
        "speed": speed_of(folder, noisy, turns=options.turns),
        "fresh_process": fresh_process(folder, noisy[0], options.work, turns=options.turns),
    }
    document["pictures"] = draw_all(table, names, options.work, folder, options.output)
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    print(f"written to {options.output}")


def write_mixtures(table, work: Path) -> list[str]:
    """Write every mixture and its clean reference, and a manifest of them; return the files' names, in order."""
    from sertool.core.audio.files import write_audio
    from sertool.core.corpus.fixed_mixtures import mixture_of

    rows = []
    for number, row in enumerate(table.rows):
        noisy, clean = mixture_of(row)
        name = f"{number:02d}-{Path(row.clip).stem}-{row.noise_kind}-{row.snr_db:g}dB.wav"
        for part, samples in (("noisy", noisy), ("clean", clean)):
            (work / part).mkdir(parents=True, exist_ok=True)
            write_audio(work / part / name, samples, SAMPLE_RATE)
        rows.append(
            {
                "file_name": f"noisy/{name}",
                "clean_file": f"clean/{name}",
                "speech_file": row.clip,
                "noise_file": row.noise,
                "noise_kind": row.noise_kind,
                "snr_db": f"{row.snr_db:g}",
                "noise_offset_s": f"{row.offset / SAMPLE_RATE:.9g}",
                "speech_level": "utterance",
                "split": "test",
            }
        )
    with open(work / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return [Path(row["file_name"]).name for row in rows]


def scores_of(table: Path, model: str, work: Path) -> dict:
    """Return the model, and the mean scores of it and of the stored systems in every condition."""
    results = work / "evaluation.json"
    command = [sys.executable, "-m", "sertool", "evaluate", "--mixtures", table, "--model", model, "-o", results]
    subprocess.run([*map(str, command), "--overwrite"], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(results.read_text(encoding="utf-8"))
    systems = {
        name: {condition: {measure: one["mean"] for measure, one in by.items()} for condition, by in parts.items()}
        for name, parts in found["stored"]["systems"].items()
    }
    measures = sorted({measure for parts in systems.values() for by in parts.values() for measure in by})
    systems["ours"] = {
        one["condition"]: {measure: one["speech"][measure]["enhanced"]["mean"] for measure in measures}
        for one in found["conditions"]
    }
    model = {name: found["model"][name] for name in ("id", "name", "parameters")}
    return {"model": model, "scores": systems, "largest_deviation": found["stored"]["largest_deviation"]}


def speed_of(folder: Path, noisy: list[Path], *, turns: int) -> dict:
    """Return real-time factors in one thread: of whole mixtures, and of blocks as they come where the model can."""
    import torch

    from sertool.core.audio.files import read_audio
    from sertool.core.models.inference import load

    torch.set_num_threads(1)
    recognizer = load(folder, "cpu")
    signals = [read_audio(path) for path in noisy]
    seconds = sum(map(len, signals)) / SAMPLE_RATE

    def factor(work) -> float:
        """Return the median over turns of the time all signals take, over how long they are."""
        took = []
        for _ in range(turns + 1):
            begin = time.perf_counter()
            for samples in signals:
                work(samples)
            took.append(time.perf_counter() - begin)
        return round(statistics.median(took[1:]) / seconds, 5)

    whole = factor(lambda samples: recognizer.enhance(samples, SAMPLE_RATE))
    return {"audio_s": round(seconds, 3), "real_time_factor": whole, "stream": _stream_speed(recognizer, factor)}


def _stream_speed(recognizer, factor) -> dict:
    from sertool.core.errors import InputError
    from sertool.core.models.streaming import LATENCY_MS

    try:
        stream = recognizer.stream()
    except InputError as error:
        return {"real_time_factor": None, "latency_ms": None, "reason": str(error)}

    def work(samples: np.ndarray) -> None:
        for start in range(0, len(samples), BLOCK):
            stream.push(samples[start : start + BLOCK])
        stream.flush()

    return {"real_time_factor": factor(work), "latency_ms": LATENCY_MS, "block_ms": 1000 * BLOCK / SAMPLE_RATE}


def fresh_process(folder: Path, noisy: Path, work: Path, *, turns: int) -> dict:
    """Return what `sertool enhance` takes as a process of its own, begun anew for one mixture: medians over turns."""
    from sertool.core.audio.files import audio_info

    command = [sys.executable, "-m", "sertool", "enhance", noisy, "-o", work / "enhanced.wav", "--overwrite"]
    command += ["--device", "cpu", "--model", folder]
    # The first fills the disk's cache, and is not counted.
    walls, peaks = zip(*[took([str(word) for word in command]) for _ in range(turns + 1)][1:], strict=True)
    return {
        "audio_s": round(audio_info(noisy).duration_s, 3),
        "wall_s": round(statistics.median(walls), 3),
        "wall_s_of_each_turn": [round(wall, 3) for wall in walls],
        "peak_rss_mb": round(statistics.median(peaks), 1),
    }


def took(command: list[str]) -> tuple[float, float]:
    """Return the wall time in seconds of a process, and the most memory it had resident, in MB (10^6 bytes).

    It is begun by a small process of its own: what its parent has resident counts as a process's peak on Linux.
    """
    done = subprocess.run([sys.executable, "-c", _WATCH, *command], check=True, capture_output=True, text=True)
    wall, peak = map(float, done.stdout.splitlines()[-1].split())
    # Kibibytes, but bytes on a Mac.
    return wall, peak * (1 if sys.platform == "darwin" else 1024) / 1e6


_WATCH = """
import os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - begin, usage.ru_maxrss)
process.returncode = os.waitstatus_to_exitcode(status)
sys.exit(process.returncode)
"""


def draw_all(table, names: list[str], work: Path, folder: Path, output: Path) -> list[dict]:
    """Draw the first mixture at the lowest SNR of each of the first two corpora, before and after."""
    from sertool.core.audio.files import read_audio
    from sertool.core.models.inference import load

    lowest = min(row.snr_db for row in table.rows)
    chosen: dict[str, int] = {}
    for number, row in enumerate(table.rows):
        if row.snr_db == lowest:
            chosen.setdefault(Path(row.clip).parts[0], number)
    recognizer, pictures = load(folder, "cpu"), []
    for corpus, number in list(chosen.items())[:2]:
        noisy = read_audio(work / "noisy" / names[number])
        picture = output.with_name(f"{output.stem}-{corpus}.png")
        row = table.rows[number]
        title = f"{row.noise_kind}, {row.snr_db:g} dB"
        draw(noisy, recognizer.enhance(noisy, SAMPLE_RATE), title, picture)
        pictures.append({"file": picture.name, "mixture": names[number], "clip": row.clip, "noise": row.noise})
    return pictures


def draw(noisy: np.ndarray, enhanced: np.ndarray, title: str, path: Path) -> None:
    """Draw two spectrograms on one scale, from the loudest point of the noisy one 70 dB down."""
    from matplotlib.figure import Figure
    from PIL import Image

    from sertool.core.evaluation.report.spectrograms import MAP, RANGE_DB, levels_db

    levels = [levels_db(noisy), levels_db(enhanced)]
    top_db, seconds = levels[0].max(), len(noisy) / SAMPLE_RATE
    figure = Figure(figsize=(7.0, 2.1), dpi=90, layout="constrained")
    for axes, level, name in zip(figure.subplots(1, 2, sharey=True), levels, (title, "enhanced"), strict=True):
        axes.imshow(
            level,
            origin="lower",
            aspect="auto",
            cmap=MAP,
            vmin=top_db - RANGE_DB,
            vmax=top_db,
            extent=(0.0, seconds, 0.0, SAMPLE_RATE / 2000),
        )
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("seconds", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.axes[0].set_ylabel("kHz", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, metadata={"Software": None})
    # A quarter of the bytes: so few shades make the picture small, and nobody sees them.
    Image.open(buffer).convert("RGB").quantize(SHADES).save(path, optimize=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument(
        "--model", default="shipped", metavar="RUN", help="default: the one that comes with the package"
    )
    parser.add_argument("--mixtures", type=Path, metavar="TABLE", help="default: DATA/reference/mixtures.csv")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RESULTS.json")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> list[str]:
    """Return the command line, files and folders by their names alone."""
    command = ["python", "examples/enhancement_table.py", options.data.name, options.work.name]
    command += ["--model", Path(options.model).name, "--turns", str(options.turns)]
    command += ["--mixtures", options.mixtures.name] if options.mixtures else []
    return [*command, "-o", options.output.name]


if __name__ == "__main__":
    main()
