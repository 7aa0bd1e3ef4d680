"""Why enhancing beside emotion helps little here: joint training against emotion alone, one thing changed at a time.

    python examples/joint_training_search.py DATA WORK -o RESULTS.json [--seeds 0 1 2]

DATA and WORK are those of examples/robustness_table.py, whose runs are used again. Both trainings are on the first
fold of RAVDESS, for half the table's epochs but where it is said, and are scored on its dev speakers alone, in dev
noise at 5 dB; nothing here has seen a test speaker. What changes is the number of updates, the weight of the
enhancement loss, what the encoder was pre-trained on, and how wide it is. The reference is trained with further
seeds, to tell how much chance moves a score.
"""

import argparse
import importlib.metadata
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from cluster_table import HERE, sertool
from robustness_table import CORPORA, ENCODER, RATES, SPEECH, TRAININGS, TRIED_ON, dev_scores, prepare

RATE = RATES[0]
LONGER = Path("encoder-of-train-speakers")
"""An encoder pre-trained on the train speakers of the fold too."""

EPOCHS = CORPORA["ravdess"]["epochs"] // 2
"""Of every training here: half the table's."""

REFERENCE = "reference"


@dataclass(frozen=True)
class Variation:
    """One departure from the reference: what is told to `sertool train`, and the encoder it starts from."""

    settings: tuple[object, ...] = ()
    encoder: Path | str = ENCODER
    trainings: tuple[str, ...] = ("noise", "at-once")


VARIATIONS = {
    REFERENCE: Variation(),
    "twice the updates, as in the table": Variation(("--epochs", 2 * EPOCHS)),
    "enhancement loss weighs 0.1": Variation(("--set", "enhancement.weight=0.1"), trainings=("at-once",)),
    "enhancement loss weighs 10": Variation(("--set", "enhancement.weight=10"), trainings=("at-once",)),
    "encoder not pre-trained": Variation(encoder="compact"),
    "encoder not pre-trained, half as wide": Variation(("--set", "encoder.compact.dim=96"), encoder="compact"),
    "encoder pre-trained on the train speakers too": Variation(encoder=LONGER),
}


def main() -> None:
    """Train what is missing, then write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the reference; the first of all others"
    )
    parser.add_argument("--variations", nargs="+", choices=VARIATIONS, default=list(VARIATIONS))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a core each")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    options.data, options.output = options.data.resolve(), options.output.resolve()
    os.chdir(options.work)
    prepare(options)
    seen = options.data / "noise" / "seen"
    if any(VARIATIONS[name].encoder == LONGER for name in options.variations):
        recipe = HERE / "recipes" / "robustness-encoder.yaml"
        speech = [*SPEECH, TRIED_ON.manifest]
        sertool(
            *["pretrain", *speech, "--task", "denoise", "--noise", seen, "--recipe", recipe, "--seed", 0, "-o", LONGER]
        )
    jobs = [
        (name, training, seed)
        for name in options.variations
        for training in VARIATIONS[name].trainings
        for seed in (options.seeds if name == REFERENCE else options.seeds[:1])
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: train(*job, seen), jobs))
    text = json.dumps(document(options, jobs), indent=1, ensure_ascii=False)
    options.output.write_text(text + "\n", encoding="utf-8")


def folder(name: str, training: str, seed: int) -> Path:
    """Return the folder of a run: the table's own where it is one of the table's."""
    if VARIATIONS[name].settings == ("--epochs", 2 * EPOCHS):
        return replace(TRIED_ON, seed=seed).run(training, RATE)
    return Path(f"search-{name.replace(', ', '-').replace(' ', '-')}-{training}-seed{seed}")


def train(name: str, training: str, seed: int, noise: Path) -> None:
    """Train one model, or go on with it."""
    variation = VARIATIONS[name]
    sertool(
        *["train", TRIED_ON.manifest, "--recipe", HERE / "recipes" / "robustness.yaml", "--noise", noise],
        *["--encoder", variation.encoder, *TRAININGS[training]["train"], "--epochs", EPOCHS, *variation.settings],
        *["--set", f"optimisation.learning_rate={RATE}", "--seed", seed, "-o", folder(name, training, seed)],
    )


def document(options: argparse.Namespace, jobs: list[tuple[str, str, int]]) -> dict:
    """Return the dev scores of every run, with what they were made by."""
    rows = []
    for name in options.variations:
        row: dict = {"variation": name}
        for _, training, seed in (job for job in jobs if job[0] == name):
            dev = dev_scores(folder(name, training, seed))
            row.setdefault(training, []).append({"seed": seed} | {key: dev[key] for key in dev if key != "score"})
        rows.append(row)
    return {
        "command": ["python", "examples/joint_training_search.py", options.data.name, options.work.name, "-o"]
        + [f"examples/results/{options.output.name}", "--seeds", *map(str, options.seeds)]
        + ([] if options.variations == list(VARIATIONS) else ["--variations", *options.variations]),
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "numpy")},
        "seed": options.seeds,
        "data": "RAVDESS fold 0, dev speakers (256 utterances), dev noise of the seen kinds at 5 dB; no test speaker",
        "learning_rate": RATE,
        "epochs": EPOCHS,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
