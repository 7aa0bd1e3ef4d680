"""What each pre-training is worth to emotion recognition: one table, of one resumable command.

    python examples/pretext_table.py DATA WORK -o RESULTS.json [--rows NAME...] [--seeds 0 1 2]

DATA holds ravdess/ (with faces/au35_by_clip.csv), emodb/, nemo/, librispeech/ and noise/{seen,unseen}/. WORK takes
manifests and runs. Every encoder is pre-trained, by the same recipe and for as many epochs, on RAVDESS's train split
of fold 0, whose faces are known, and on nEMO's train split and LibriSpeech train-clean-100, whose are not; on clean
speech, but for denoising, since noise hides what energy variation is made of. Then it is fine-tuned to emotion in noise
on RAVDESS or EmoDB, with all labels of the train split or a fifth of them, and tested on speakers and kinds of noise
that nothing has heard. The first run is timed, and the time of the whole grid printed, before the others begin.
"""

import argparse
import importlib.metadata
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from cluster_table import HERE, sertool

ROWS: dict[str, tuple[str, ...]] = {
    "scratch": (),
    "denoise": ("denoise",),
    "energy": ("energy",),
    "action units": ("action-units",),
    "both": ("energy", "action-units"),
    "masked": ("masked",),
    "masked + both": ("masked", "energy", "action-units"),
}
"""The tasks of each row's pre-training; none where fine-tuning begins with random weights."""

CORPORA = {
    "ravdess": ["--folds", "6", "--fold", "0"],
    "emodb": ["--test-speakers", "03,08", "--dev-speakers", "09,10"],
}
EPOCHS = {("ravdess", "all"): 12, ("ravdess", "fifth"): 24, ("emodb", "all"): 20, ("emodb", "fifth"): 30}
"""Of fine-tuning, by corpus and share of the labels; the same for every row."""

CONDITIONS = ("clean", "0")
SPEECH = ("ravdess.csv", "nemo.csv", "librispeech.csv")


def main() -> None:
    """Pre-train, fine-tune and test what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    options.data, options.output = options.data.resolve(), options.output.resolve()
    os.chdir(options.work)
    prepare(options.data)
    pooled = one_median()
    rows: list[dict] = []
    runs = [(row, seed) for seed in options.seeds for row in options.rows]
    for number, (row, seed) in enumerate(runs):
        began = time.monotonic()
        pretrained = pretrain(row, seed, options.data)
        for corpus, share in EPOCHS:
            rows.append(record(row, seed, corpus, share, pretrained, options.data))
        if number == 0 and time.monotonic() - began > 60:
            hours = (time.monotonic() - began) / 3600
            print(f"the first row took {hours:.2f} h; all {len(runs)} will take about {hours * len(runs):.1f} h")
        options.output.write_text(json.dumps(document(options, rows, pooled), indent=1) + "\n", encoding="utf-8")


def prepare(data: Path) -> None:
    """Write the manifests, where that was not done before; those of a fifth keep every speaker and every emotion."""
    wanted = {name: [name, data / name, *split] for name, split in CORPORA.items()}
    wanted["nemo"] = ["nemo", data / "nemo", "--test-speakers", "EB0,KS0", "--dev-speakers", "IC0,MP0"]
    wanted["librispeech"] = ["folder", data / "librispeech" / "train-clean-100"]
    for name, arguments in wanted.items():
        if not Path(f"{name}.csv").is_file():
            sertool("corpus", *arguments, "-o", f"{name}.csv")
    for name in CORPORA:
        if not Path(f"{name}-fifth.csv").is_file():
            a_fifth(pd.read_csv(f"{name}.csv", dtype=str)).to_csv(f"{name}-fifth.csv", index=False)


def a_fifth(table: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest whose train split keeps a fifth of the utterances of each emotion, drawn with seed 0."""
    generator = np.random.default_rng(0)
    train = table[table["split"] == "train"]
    kept = [
        generator.choice(part.index, size=round(len(part) / 5), replace=False)
        for _, part in train.groupby("emotion", sort=True)
    ]
    return table[(table["split"] != "train") | table.index.isin(np.concatenate(kept))]


def pretrain(row: str, seed: int, data: Path) -> Path | None:
    """Pre-train an encoder by a row's tasks, or go on with it; None where the row has none."""
    if not ROWS[row]:
        return None
    run = Path(f"pretrained-{_slug(row)}-seed{seed}")
    faces = ["--faces", data / "ravdess" / "faces" / "au35_by_clip.csv"] if "action-units" in ROWS[row] else []
    noise = ["--noise", data / "noise" / "seen"] if "denoise" in ROWS[row] else []
    sertool(
        *["pretrain", *SPEECH, *faces, *noise],
        *[word for task in ROWS[row] for word in ("--task", task)],
        *["--recipe", HERE / "recipes" / "pretext.yaml", "--seed", seed, "-o", run],
    )
    return run


def one_median() -> dict:
    """Return what gives energy variation away where one median is taken of all corpora; the smallest model makes it."""
    run = Path("one-median")
    sertool(
        *["pretrain", *SPEECH, "--task", "energy", "--epochs", 1, "--set", "pretext.medians=pooled"],
        *["--set", "encoder.compact.dim=8", "--set", "encoder.compact.layers=1", "-o", run],
    )
    return json.loads((run / "targets.json").read_text(encoding="utf-8"))["tasks"]["energy"]


def record(row: str, seed: int, corpus: str, share: str, pretrained: Path | None, data: Path) -> dict:
    """Fine-tune and test one cell, or go on with that, and return its scores on the test split."""
    run = Path(f"{corpus}-{share}-{_slug(row)}-seed{seed}")
    result = run.with_name(f"{run.name}.json")
    manifest = f"{corpus}.csv" if share == "all" else f"{corpus}-{share}.csv"
    sertool(
        *["train", manifest, "--task", "emotion", "--recipe", HERE / "recipes" / f"{corpus}.yaml"],
        *["--noise", data / "noise" / "seen", "--encoder", pretrained or "compact"],
        *["--epochs", EPOCHS[corpus, share], "--seed", seed, "-o", run],
    )
    conditions = [word for snr in CONDITIONS for word in ("--snr", snr)]
    if not result.is_file():
        sertool(
            *["evaluate", f"{corpus}.csv", "--model", run, "--noise", data / "noise" / "unseen"],
            *["--unseen-noise", *conditions, "-o", result],
        )
    return {"row": row, "seed": seed, "corpus": corpus, "labels": share, "conditions": scores(result)}


def scores(result: Path) -> list[dict]:
    """Return precision, recall and F1, each the mean over all classes, under each condition of an evaluation."""
    told = []
    for one in json.loads(result.read_text(encoding="utf-8"))["conditions"]:
        classes = one["per_class"].values()
        told.append(
            {
                "condition": one["condition"],
                "precision_macro": float(np.mean([each["precision"] for each in classes])),
                "recall_macro": one["ua"],
                "f1_macro": one["f1_macro"],
            }
        )
    return told


def document(options: argparse.Namespace, rows: list[dict], pooled: dict) -> dict:
    """Return the results with what they were made by."""
    return {
        "command": ["python", "examples/pretext_table.py", *_command(options)],
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "scikit-learn", "numpy")},
        "seed": options.seeds if len(options.seeds) > 1 else options.seeds[0],
        "data": "pre-training: RAVDESS train of fold 0 (with faces), nEMO train, LibriSpeech train-clean-100, "
        "clean but for denoising; fine-tuning and test: RAVDESS fold 0; EmoDB test 03 and 08, dev 09 and 10",
        "epochs": {f"{corpus}, {share}": epochs for (corpus, share), epochs in EPOCHS.items()},
        "pre_trained": [
            {"row": row, "seed": seed, "tasks": ROWS[row], **judged(Path(f"pretrained-{_slug(row)}-seed{seed}"))}
            for row, seed in dict.fromkeys((one["row"], one["seed"]) for one in rows)
            if ROWS[row]
        ],
        "energy_by_one_median": pooled,
        "rows": rows,
    }


def judged(run: Path) -> dict:
    """Return how a pre-trained encoder's own tasks went on the dev split, and what its targets are worth."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))["summary"]
    dev = {name: round(value, 4) for name, value in record["dev"].items() if name != "score"}
    targets = run / "targets.json"
    told = json.loads(targets.read_text(encoding="utf-8")) if targets.is_file() else {}
    return {"best_epoch": record["best_epoch"], "dev": dev, "targets": told.get("tasks", {})}


def _command(options: argparse.Namespace) -> list[str]:
    """Return the arguments this was called with, folders by their names alone."""
    words = [options.data.name, options.work.name, "-o", f"examples/results/{options.output.name}"]
    for name, default in (("rows", list(ROWS)), ("seeds", [0])):
        if getattr(options, name) != default:
            words += [f"--{name}", *map(str, getattr(options, name))]
    return words


def _slug(row: str) -> str:
    return row.replace(" + ", "-").replace(" ", "-")


if __name__ == "__main__":
    main()
