"""How fast `sertool predict` and `sertool enhance` go through a folder, beside a plain loop over its files.

    python tests/benchmarks/folder_speed.py SPEECH --model RUN [--clips 1000] [--turns 3] -o FILE

The folder holds that many clips of SPEECH, cut in turn from its files (16-bit WAV, as they are; repeated where there
are fewer). The plain loop is what anyone would write: a new process loads the model once, `sertool.load()`, and gives
it one file after the other; torch takes as many threads as there are cores. It and the command are run one after the
other, `--turns` times; a ratio is the loop's time over the command's in one turn, above 1 where the command is faster,
and start-up belongs to both. With more than one way of working (`--workers`), each stands beside the same loop.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PACKAGES = ["sertool", "torch", "numpy", "soundfile", "soxr"]

LOOPS = {
    "predict": "import sys, sertool\n"
    "from pathlib import Path\n"
    "from sertool.core.audio.files import read_audio_native\n"
    "model = sertool.load(sys.argv[1], 'cpu')\n"
    "for path in sorted(Path(sys.argv[2]).iterdir()):\n"
    "    print(path, model.predict(*read_audio_native(path)).label)\n",
    "enhance": "import sys, sertool\n"
    "from pathlib import Path\n"
    "from sertool.core.audio.files import read_audio_native, write_audio\n"
    "model, out = sertool.load(sys.argv[1], 'cpu'), Path(sys.argv[3])\n"
    "for path in sorted(Path(sys.argv[2]).iterdir()):\n"
    "    samples, rate = read_audio_native(path)\n"
    "    write_audio(out / path.name, model.enhance(samples, rate), rate)\n",
}
"""A plain loop for each command: the model, the folder of clips, the folder of outputs."""


def main() -> None:
    """Make the folder, time, print, write."""
    options = _options()
    from sertool.core.environment import installed_versions

    with tempfile.TemporaryDirectory(prefix="folder-speed-") as place:
        work = Path(place)
        audio_s = make_folder(options.speech, work / "clips", options.clips)
        commands = {name: measure(name, options, work) for name in options.commands}
    document = {
        "command": [
            *("python", "tests/benchmarks/folder_speed.py", options.speech.name, "--model", Path(options.model).name),
            *("--clips", str(options.clips), "--turns", str(options.turns), "--commands", *options.commands),
            *("--workers", *map(str, options.workers), "-o", options.output.name),
        ],
        "versions": installed_versions(PACKAGES),
        "seed": 0,
        "clips": options.clips,
        "audio_s": round(audio_s, 1),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "commands": commands,
    }
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


def make_folder(speech: Path, folder: Path, clips: int) -> float:
    """Write so many clips as WAV; return how many seconds they last."""
    import soundfile

    from sertool.core.audio.files import find_audio, read_audio_native

    folder.mkdir()
    files, total = find_audio(speech), 0.0
    if not files:
        raise SystemExit(f"{speech}: holds no audio")
    for number in range(clips):
        samples, rate = read_audio_native(files[number % len(files)])
        soundfile.write(folder / f"{number:05d}.wav", np.clip(samples, -1, 1), rate, subtype="PCM_16")
        total += len(samples) / rate
    return total


def measure(name: str, options: argparse.Namespace, work: Path) -> dict:
    """Time the plain loop and the command, turn by turn."""
    turns: list[dict[str, float]] = []
    for number in range(options.turns):
        turns.append({"loop": _loop(name, options.model, work)})
        turns[-1] |= {_label(workers): _command(name, options, work, workers) for workers in options.workers}
        print(f"{name}, turn {number + 1}: " + ", ".join(f"{way} {one:.1f} s" for way, one in turns[-1].items()))
    ratios = {way: [one["loop"] / one[way] for one in turns] for way in turns[0] if way != "loop"}
    return {
        "seconds": {way: round(statistics.median(one[way] for one in turns), 2) for way in turns[0]},
        "loop_over_command": {way: round(statistics.median(found), 3) for way, found in ratios.items()},
        "of_each_turn": {way: [round(one, 3) for one in found] for way, found in ratios.items()},
    }


def _loop(name: str, model: str, work: Path) -> float:
    out = work / "loop"
    out.mkdir(exist_ok=True)
    return _timed([sys.executable, "-c", LOOPS[name], model, str(work / "clips"), str(out)])


def _command(name: str, options: argparse.Namespace, work: Path, workers: int) -> float:
    how = ["--workers", str(workers)] if workers else []
    where = ["-o", str(work / "out"), "--overwrite"] if name == "enhance" else ["--json"]
    sertool = [sys.executable, "-m", "sertool", name, str(work / "clips"), "--model", options.model, "--device", "cpu"]
    return _timed([*sertool, *where, *how])


def _label(workers: int) -> str:
    return f"--workers {workers}" if workers else "command"


def _timed(command: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begin


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--commands", nargs="+", choices=list(LOOPS), default=list(LOOPS))
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="0 is what the command does unasked")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
