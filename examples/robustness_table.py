"""How well emotion is recognised in noise nobody trained on: every row, every corpus, one resumable command.

    python examples/robustness_table.py DATA WORK -o RESULTS.json [--corpora ravdess emodb nemo] [--folds 6] [--seeds 0]

DATA holds ravdess/, emodb/, nemo/, librispeech/, picovoice/ and noise/{seen,unseen}/. WORK takes manifests, runs and
outcomes. One encoder, pre-trained by denoising on speech that is in no test split (nEMO's train split, LibriSpeech
train-clean-100, the spoken commands), is where all trained rows start, and each takes the same updates. Every
training is tried at the same learning rates on the first fold of RAVDESS, and goes on everywhere with the one that
does best on that fold's dev speakers, in dev noise. A test utterance gets one noise, of a kind that training has not
met or the babble of six strangers, at every SNR. Rows come before folds and folds before seeds: what was not run
stays blank. Folds are pooled: scores are of all utterances of the folds that were run, and rows are compared over
speakers. The first run is timed, and the time of the whole grid printed, before the others begin.
"""

import argparse
import importlib.metadata
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd
from cluster_table import HERE, run_python, sertool

from sertool.core.evaluation.comparison import compare
from sertool.core.evaluation.scores import Subject, score_conditions
from sertool.core.metrics.speech import MEASURES

SNRS = ("clean", "20", "10", "5", "0", "-5")
SPEECH = ("nemo.csv", "librispeech.csv", "picovoice.csv")
ENCODER = Path("encoder")
MOST_FOLDS = 10

CORPORA = {
    "ravdess": {"folds": 6, "split": lambda fold: ["--folds", 6, "--fold", fold], "epochs": 20},
    "emodb": {"folds": 10, "split": lambda fold: ["--folds", 10, "--fold", fold], "epochs": 16},
    "nemo": {
        "folds": 1,
        "split": lambda fold: ["--test-speakers", "EB0,KS0", "--dev-speakers", "IC0,MP0"],
        "epochs": 8,
    },
}
"""How each corpus is split into folds, and how many epochs every row learns for."""

EMOTION, ENHANCEMENT = ("--task", "emotion"), ("--task", "enhancement")
BOTH = (*EMOTION, *ENHANCEMENT)
TRAININGS: dict[str, dict] = {
    "clean": {"train": (*EMOTION, "--schedule", "at-once"), "noise": False},
    "noise": {"train": (*EMOTION, "--schedule", "at-once")},
    "enhancement": {"train": (*ENHANCEMENT, "--schedule", "at-once")},
    "at-once": {"train": (*BOTH, "--schedule", "at-once")},
    "cascade": {"train": (*BOTH, "--schedule", "cascade")},
    "router": {"train": (*BOTH, "--schedule", "heads-then-all", "--adapt", "router")},
    "best": {"train": (*BOTH, "--schedule", "at-once", "--set", "layer_sum=per-head")},
}
"""What is told to `sertool train` for each training, beside what all of them are told."""

ROWS: dict[str, dict] = {
    "functionals + SVM": {"svm": True},
    "emotion only, clean": {"training": "clean"},
    "emotion only, in noise": {"training": "noise"},
    "enhancement, then emotion": {"training": "clean", "enhancer": "enhancement"},
    "joint, at once": {"training": "at-once"},
    "joint, cascade": {"training": "cascade"},
    "joint, router": {"training": "router"},
    "joint, best combination": {"training": "best"},
    "enhancement only": {"training": "enhancement"},
}
"""What each row of the table is judged on: a training, perhaps behind an enhancer, or the classical system."""

RATES = (3e-3, 1.5e-3)
"""The learning rates that every training is tried at."""

SPEECH_SCORED = (("ravdess", 0), ("emodb", 0))
"""Where speech quality is measured too."""

BASELINE = "emotion only, in noise"
"""What every other row is compared with."""


@dataclass(frozen=True)
class Cell:
    """A fold of a corpus under a seed."""

    corpus: str
    fold: int
    seed: int

    @property
    def manifest(self) -> str:
        """Its table of utterances."""
        return f"{self.corpus}-{self.fold}.csv" if CORPORA[self.corpus]["folds"] > 1 else f"{self.corpus}.csv"

    def run(self, training: str, rate: float) -> Path:
        """Return the folder of a training at a learning rate."""
        return Path(f"{self.corpus}-{self.fold}-{training}-rate{rate:g}-seed{self.seed}")

    def outcomes(self, row: str) -> Path:
        """Return the table of what a row heard in every utterance."""
        return Path(f"{self.corpus}-{self.fold}-{_slug(row)}-seed{self.seed}.csv")


TRIED_ON = Cell("ravdess", 0, 0)
"""On whose dev speakers learning rates are chosen."""


def main() -> None:
    """Train and judge what is missing, then write the table."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    options.data, options.output = options.data.resolve(), options.output.resolve()
    os.chdir(options.work)
    prepare(options)
    cells = list(_cells(options))
    needed = _needed(options.rows)
    tried = [(TRIED_ON, training, rate) for rate in RATES for training in needed]
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        for number, _ in enumerate(pool.map(lambda job: train(*job, options), tried)):
            if number + 1 == options.jobs and (spent := time.monotonic() - began) > 60:
                count = len(tried) + len(needed) * len({*cells} - {TRIED_ON})
                hours = spent * count / options.jobs / 3600
                print(f"the first trainings took {spent:.0f} s; all {count} will take about {hours:.1f} h")
        rates = {training: chosen_rate(training) for training in needed}
        jobs = [(cell, training, rates[training]) for cell in cells for training in needed]
        list(pool.map(lambda job: train(*job, options), jobs))
    if options.train_only:
        return
    for cell in cells:
        for row in options.rows:
            judge(cell, row, options)
    text = json.dumps(document(options, cells), indent=1, ensure_ascii=False)
    options.output.write_text(text + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--folds", type=int, default=MOST_FOLDS, help="folds of each corpus at most")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a core each")
    parser.add_argument("--train-only", action="store_true", help="judge nothing yet")
    return parser.parse_args()


def _cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the folds in the order in which they are run: the first of every corpus, then the second, seed by seed."""
    for seed in options.seeds:
        for fold in range(options.folds):
            for corpus in options.corpora:
                if fold < CORPORA[corpus]["folds"]:
                    yield Cell(corpus, fold, seed)


def _needed(rows: list[str]) -> list[str]:
    """Return the trainings that rows are judged on, each once."""
    named = set(chain.from_iterable((ROWS[row].get("training"), ROWS[row].get("enhancer")) for row in rows))
    return [training for training in TRAININGS if training in named]


def prepare(options: argparse.Namespace) -> None:
    """Write the manifests and pre-train the encoder, where that was not done before."""
    wanted = {
        "librispeech": ["folder", options.data / "librispeech" / "train-clean-100"],
        "picovoice": ["folder", options.data / "picovoice"],
        "babble": ["folder", options.data / "librispeech" / "test-other"],
    }
    for corpus, facts in CORPORA.items():
        for fold in range(facts["folds"]):
            wanted[Path(Cell(corpus, fold, 0).manifest).stem] = [corpus, options.data / corpus, *facts["split"](fold)]
    for name, arguments in wanted.items():
        if not Path(f"{name}.csv").is_file():
            sertool("corpus", *arguments, "-o", f"{name}.csv")
    sertool(
        *["pretrain", *SPEECH, "--task", "denoise", "--noise", options.data / "noise" / "seen"],
        *["--recipe", HERE / "recipes" / "robustness-encoder.yaml", "--seed", 0, "-o", ENCODER],
    )


def train(cell: Cell, training: str, rate: float, options: argparse.Namespace) -> None:
    """Train one model, or go on with it."""
    facts = TRAININGS[training]
    noise = ["--noise", options.data / "noise" / "seen"] if facts.get("noise", True) else []
    sertool(
        *["train", cell.manifest, "--recipe", HERE / "recipes" / "robustness.yaml", "--encoder", ENCODER, *noise],
        *[*facts["train"], "--set", f"optimisation.learning_rate={rate}"],
        *["--epochs", CORPORA[cell.corpus]["epochs"], "--seed", cell.seed, "-o", cell.run(training, rate)],
    )


def dev_scores(run: Path) -> dict:
    """Return what a finished run scored on the dev split in its best epoch."""
    return json.loads((run / "run.json").read_text(encoding="utf-8"))["summary"]["dev"]


def chosen_rate(training: str) -> float:
    """Return the learning rate at which a training does best on the dev speakers; the first of equals."""
    return max(RATES, key=lambda rate: dev_scores(TRIED_ON.run(training, rate))["score"])


def judge(cell: Cell, row: str, options: argparse.Namespace) -> None:
    """Write what a row heard in every test utterance of a fold, where that was not done before."""
    facts, outcomes = ROWS[row], cell.outcomes(row)
    if outcomes.is_file():
        return
    noise = ["--noise", options.data / "noise" / "unseen", "--babble", "babble.csv"]
    asked = [word for snr in SNRS for word in ("--snr", snr)]
    if facts.get("svm"):
        predictions = outcomes.with_suffix(".predictions.csv")
        script = [HERE / "functionals_svm.py", cell.manifest, "--train-noise", options.data / "noise" / "seen"]
        run_python(*script, *noise, *asked, "--training-seed", cell.seed, "-o", predictions)
        sertool("evaluate", cell.manifest, "--predictions", predictions, *asked, "--outcomes", outcomes)
        return
    enhancer = ["--enhancer", _chosen_run(cell, facts["enhancer"])] if "enhancer" in facts else []
    # PESQ of every fold and row would take longer than the trainings; behind the enhancer it is that of the enhancer.
    scored = (cell.corpus, cell.fold) in SPEECH_SCORED and not enhancer
    speech = [] if scored else ["--no-speech-metrics"]
    if not scored and facts["training"] == "enhancement":
        return
    sertool(
        *[
            "evaluate",
            cell.manifest,
            "--model",
            _chosen_run(cell, facts["training"]),
            *enhancer,
            *noise,
            "--unseen-noise",
        ],
        *[*asked, *speech, "--outcomes", outcomes],
    )


def _chosen_run(cell: Cell, training: str) -> Path:
    return cell.run(training, chosen_rate(training))


def document(options: argparse.Namespace, cells: list[Cell]) -> dict:
    """Return the scores of every row, its folds pooled, with what they were made by."""
    return {
        "command": ["python", "examples/robustness_table.py", *_command(options)],
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "scikit-learn", "numpy")},
        "seed": options.seeds if len(options.seeds) > 1 else options.seeds[0],
        "data": "test noise of unseen kinds and six-talker babble, a noise an utterance; encoder pre-trained on nEMO "
        "train, LibriSpeech train-clean-100 and Picovoice's commands",
        "trials": {training: trials(training) for training in _needed(options.rows)},
        "epochs": {corpus: CORPORA[corpus]["epochs"] for corpus in options.corpora},
        "corpora": {corpus: pooled(corpus, options, cells) for corpus in options.corpora},
    }


def trials(training: str) -> dict:
    """Return what a training scored on the dev speakers at every learning rate, and which was chosen."""
    found = {f"{rate:g}": dev_scores(TRIED_ON.run(training, rate)) for rate in RATES}
    return {"dev": found, "chosen": chosen_rate(training)}


def pooled(corpus: str, options: argparse.Namespace, cells: list[Cell]) -> dict:
    """Return what was found on a corpus: of each row the folds that were run, its scores, and how it compares."""
    done = {
        row: complete([one for one in cells if one.corpus == corpus and one.outcomes(row).is_file()]) for row in ROWS
    }
    rows = []
    for row in options.rows:
        if done[row]:
            folds, seeds = ({getattr(cell, name) for cell in done[row]} for name in ("fold", "seed"))
            record = {"row": row, "folds": sorted(folds), "seeds": sorted(seeds)} | scores(read(done[row], row))
            if (both := complete([cell for cell in done[row] if cell in done[BASELINE]])) and row != BASELINE:
                record |= comparison(read(both, row), read(both, BASELINE))
            rows.append(record)
    blank = [row for row in options.rows if not done[row]]
    return {"folds_of_the_corpus": CORPORA[corpus]["folds"], "blank": blank, "rows": rows}


def complete(cells: list[Cell]) -> list[Cell]:
    """Return the cells of the folds that the first seed has run, of seeds that have run all of these."""
    folds = {cell.fold for cell in cells if cell.seed == cells[0].seed}
    whole = {cell.seed for cell in cells if folds <= {one.fold for one in cells if one.seed == cell.seed}}
    return [cell for cell in cells if cell.fold in folds and cell.seed in whole]


def read(cells: list[Cell], row: str) -> pd.DataFrame:
    """Return what a row heard in these cells, one below the other."""
    parts = [pd.read_csv(cell.outcomes(row), dtype={"speaker": str}).assign(seed=cell.seed) for cell in cells]
    return pd.concat(parts, ignore_index=True)


def scores(table: pd.DataFrame) -> dict:
    """Return the scores of a row by condition and by kind of noise."""
    found: dict = {}
    measures = tuple(name for name in MEASURES if f"enhanced_{name}" in table)
    if measures:
        # Of folds in which speech is not scored there is neither a value nor a reason.
        asked = [f"enhanced_{name}{end}" for name in measures for end in ("", "_unscored")]
        heard = table[table[asked].notna().any(axis=1)]
        found["speech"] = [
            {"condition": one["condition"], "n": one["n"]}
            | {
                name: {signal: one["speech"][name][signal]["mean"] for signal in ("unprocessed", "enhanced")}
                for name in measures
            }
            for one in score_conditions(heard, Subject((), (), measures))
        ]
    if "predicted" not in table:
        return found
    classes = tuple(sorted(table["emotion"].unique()))
    subject = Subject(classes, (), ())
    kept = ("condition", "n", "f1_macro", "ua", "intervals")
    found["conditions"] = [{name: one[name] for name in kept} for one in score_conditions(table, subject)]
    kinds = score_conditions(table, subject, by_kind=True)
    found["by_kind"] = [{name: one[name] for name in ("condition", "noise_kind", "n", "ua")} for one in kinds]
    return found


def comparison(table: pd.DataFrame, baseline: pd.DataFrame) -> dict:
    """Return how a row compares with the baseline, where both recognise emotion."""
    if "predicted" not in table:
        return {}
    return {"comparison": compare(table, baseline, tuple(sorted(table["emotion"].unique())), name=BASELINE)}


def _command(options: argparse.Namespace) -> list[str]:
    """Return the arguments this was called with, folders by their names alone."""
    words = [options.data.name, options.work.name, "-o", f"examples/results/{options.output.name}"]
    for name, default in (("rows", list(ROWS)), ("corpora", list(CORPORA)), ("seeds", [0])):
        if getattr(options, name) != default:
            words += [f"--{name}", *map(str, getattr(options, name))]
    return words + (["--folds", str(options.folds)] if options.folds != MOST_FOLDS else [])


def _slug(row: str) -> str:
    return row.replace(", ", "-").replace(" + ", "-").replace(" ", "-")


if __name__ == "__main__":
    main()
