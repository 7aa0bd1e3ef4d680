"""Adapt one pre-trained encoder in every way, and pool it by every head: one table, of one resumable command.

    python examples/adaptation_table.py DATA WORK -o RESULTS.json [--rows NAME...] [--seeds 0 1 2] [--epochs 12]

DATA holds ravdess/, emodb/, librispeech/, picovoice/ and noise/{seen,unseen}/. WORK takes manifests and runs, among
them the denoising encoder all rows start from. Every row trains on RAVDESS, fold 0, in noise, by the same recipe and
for as many epochs, and is tested on noise of kinds never heard. Nothing learned has heard a test speaker. The first run
is timed, and the time of the whole grid printed, before the others begin.
"""

import argparse
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONDITIONS = ("clean", "10", "0", "-5")
ADAPT = ["--task", "emotion", "--schedule", "heads-then-all"]
HEADS = ["--task", "emotion", "--schedule", "at-once", "--learning-rate", "1e-3"]
"""At the recipe's rate, three times this, recurrent attention did not learn (seen on the dev split)."""
HEADS += ["--set", "optimisation.encoder_rate=1.5"]  # the encoder keeps its rate
CHUNKS = [*HEADS, "--set", "emotion.chunks.longest_s=5.3", "--set", "emotion.chunks.encoder=mean"]
JOINT = ["--task", "emotion", "--task", "enhancement"]

ROWS: dict[str, list[str]] = {
    "full": [*ADAPT, "--adapt", "full"],
    "frozen": [*ADAPT, "--adapt", "frozen"],
    "router-10": [*ADAPT, "--adapt", "router", "--sparsity", "0.1"],
    "lora": [*ADAPT, "--adapt", "lora", "--set", "encoder.lora.layers=feed-forward"],
    "cascade": ["--task", "emotion", "--schedule", "cascade"],
    "at-once": ["--task", "emotion", "--schedule", "at-once"],
    "attentive": HEADS,
    "self-attention": [*CHUNKS, "--set", "emotion.pooling=chunk-self-attention"],
    "recurrent": [*CHUNKS, "--set", "emotion.pooling=chunk-recurrent"],
    "gated": [*CHUNKS, "--set", "emotion.pooling=chunk-gated"],
    "mean": [*CHUNKS, "--set", "emotion.pooling=chunk-mean"],
    "router-2": [*ADAPT, "--adapt", "router", "--sparsity", "0.02"],
    "router-6": [*ADAPT, "--adapt", "router", "--sparsity", "0.06"],
    "router-20": [*ADAPT, "--adapt", "router", "--sparsity", "0.2"],
    "joint-cascade": [*JOINT, "--schedule", "cascade"],
    "joint-masks": [
        *[*JOINT, "--schedule", "heads-then-all", "--adapt", "router"],
        *["--set", "encoder.router.masks=per-head", "--set", "layer_sum=per-head"],
    ],
}
"""What is told to `sertool train` for each row, beside what all of them are told."""


def main() -> None:
    """Train and test what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    options.data, options.output = options.data.resolve(), options.output.resolve()
    os.chdir(options.work)
    prepare(options.data)
    runs = [(row, seed) for seed in options.seeds for row in options.rows]
    for number, (row, seed) in enumerate(runs):
        began = time.monotonic()
        run = train(row, seed, options)
        evaluate(run, options)
        if number == 0 and time.monotonic() - began > 1:
            hours = (time.monotonic() - began) * len(runs) / 3600
            print(f"the first run took {hours / len(runs):.2f} h; all {len(runs)} will take about {hours:.1f} h")
    document = {
        "command": ["python", "examples/adaptation_table.py", *_command(options)],
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "peft", "numpy")},
        "seed": options.seeds if len(options.seeds) > 1 else options.seeds[0],
        "data": "RAVDESS, fold 0: 960 utterances to train, 240 of 4 speakers to choose the epoch, 240 of 4 to test",
        "epochs": options.epochs,
        "rows": [record(row, seed, options) for row, seed in runs],
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def prepare(data: Path) -> None:
    """Write the manifests and pre-train the encoder, where that was not done before."""
    if not Path("ravdess.csv").is_file():
        sertool("corpus", "ravdess", data / "ravdess", "--folds", "6", "--fold", "0", "-o", "ravdess.csv")
        sertool("corpus", "emodb", data / "emodb", "-o", "emodb.csv")
        sertool("corpus", "folder", data / "librispeech" / "train-clean-100", "-o", "librispeech.csv")
        sertool("corpus", "folder", data / "picovoice", "-o", "picovoice.csv")
    manifests = [f"{name}.csv" for name in ("ravdess", "emodb", "librispeech", "picovoice")]
    recipe = HERE / "recipes" / "denoise.yaml"
    noise = ["--noise", data / "noise" / "seen"]
    sertool("pretrain", *manifests, "--task", "denoise", *noise, "--recipe", recipe, "-o", "denoise")


def train(row: str, seed: int, options: argparse.Namespace) -> Path:
    """Train one row, or go on with it; the processor time it took is kept beside the run."""
    run = Path(f"{row}-seed{seed}")
    before = _processor_seconds()
    sertool(
        *["train", "ravdess.csv", "--recipe", HERE / "recipes" / "ravdess.yaml"],
        *["--encoder", "denoise", "--noise", options.data / "noise" / "seen"],
        *["--epochs", str(options.epochs), "--seed", str(seed), *ROWS[row], "-o", run],
    )
    clock = run.with_name(f"{run.name}.seconds")
    spent = float(clock.read_text()) if clock.is_file() else 0.0
    spent += _processor_seconds() - before
    if not run.with_name(f"{run.name}.json").is_file():
        clock.write_text(f"{spent:.1f}\n")
    return run


def evaluate(run: Path, options: argparse.Namespace) -> None:
    """Test a run on unseen noise, or go on with that."""
    conditions = [word for snr in CONDITIONS for word in ("--snr", snr)]
    if not run.with_name(f"{run.name}.json").is_file():
        sertool(
            *["evaluate", "ravdess.csv", "--model", run, "--noise", options.data / "noise" / "unseen"],
            *["--unseen-noise", *conditions, "-o", run.with_name(f"{run.name}.json")],
        )


def record(row: str, seed: int, options: argparse.Namespace) -> dict:
    """Return what is known of a row: scores, sizes, time."""
    from sertool.core.models.shared import SharedModel
    from sertool.core.training.run import open_run
    from sertool.core.training.schedule import parts

    run = open_run(Path(f"{row}-seed{seed}"))
    model = SharedModel.from_pretrained(run.model_folder)
    trained = {part for stage in run.recipe.stages() for part in stage.train}
    by_part = {part: sum(tensor.numel() for tensor in tensors) for part, tensors in parts(model).items()}
    results = json.loads(run.folder.with_name(f"{run.folder.name}.json").read_text(encoding="utf-8"))
    seconds = float(run.folder.with_name(f"{run.folder.name}.seconds").read_text())
    kept = ("condition", "f1_macro", "ua", "by_duration")
    return {
        "row": row,
        "seed": seed,
        "settings": ROWS[row],
        "parameters_trained_of_encoder": sum(count for part, count in by_part.items() if part in trained - {"heads"}),
        "parameters_trained_of_heads": by_part["heads"],
        "stored_bytes": (run.model_folder / "model.safetensors").stat().st_size,
        "processor_seconds_an_epoch": round(seconds / options.epochs, 1),
        "best_epoch": run.record["summary"]["best_epoch"],
        "dev": run.record["summary"]["dev"],
        "conditions": [{name: one[name] for name in kept if name in one} for one in results["conditions"]],
        "speech": {one["condition"]: one["speech"] for one in results["conditions"] if one.get("speech")},
    }


def sertool(*words: object) -> None:
    """Run a command of sertool; what it says goes to stderr."""
    print("sertool", *words, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "sertool", *map(str, words)], check=True, stdout=sys.stderr)


def _processor_seconds() -> float:
    """Return the processor time of all commands run so far: what else the machine does hardly changes it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _command(options: argparse.Namespace) -> list[str]:
    words = [options.data.name, options.work.name, "-o", options.output.name]
    return [*words, "--seeds", *map(str, options.seeds), "--epochs", str(options.epochs), "--rows", *options.rows]


if __name__ == "__main__":
    main()
