"""Every curriculum under the same pacing: one table, of one resumable command.

    python examples/curriculum_table.py DATA WORK -o RESULTS.json [--seeds 0 1 2 3 4]

DATA holds ravdess/, emodb/, nemo/, librispeech/, picovoice/ and noise/seen/. WORK takes manifests, an encoder
pre-trained to denoise, a cluster run for each corpus, and the scores. A small head learns categories from fixed vectors
of that encoder (the means over time of four hidden states), utterances coming in by the scores that
`sertool score-curriculum` gives them: ten bins, one every five epochs, the learning rate of 1e-3 halved with each, 70
epochs in all (Lin, Sridhar & Busso 2024). The epoch is chosen on the dev split. Tested on RAVDESS fold 0, on EmoDB's
speakers 03 and 08, and, of the heads trained on RAVDESS, on the categories EmoDB shares, its vectors standardised by
its own training split. Nothing learned has heard a test speaker.
"""

import argparse
import importlib.metadata
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cluster_table
import numpy as np
import pandas as pd
from adaptation_table import HERE
from cluster_table import CORPORA, sertool

BINS, EPOCHS_PER_BIN, EPOCHS, RATE, RATE_FACTOR = 10, 5, 70, 1e-3, 0.5

LAYERS = (0, 2, 4, 6)
"""Hidden states of the encoder: together they did best on the dev split, the head trained without a curriculum."""

SCORED = {
    "deepmi": ["deepmi"],
    "pmi": ["pmi"],
    "disagreement": ["disagreement"],
    "teacher-loss": ["teacher-loss"],
    "mc-dropout": ["mc-dropout"],
    "random": ["random"],
}
ROWS = ("none", *SCORED, "self-paced", "anti deepmi")


@dataclass(frozen=True)
class Corpus:
    """Vectors and labels of a corpus by split; rows of the training split in the manifest's order."""

    categories: tuple[str, ...]
    names: dict[str, list[str]]
    vectors: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def main() -> None:
    """Make what is missing, train every head, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.data, options.output = options.data.resolve(), options.output.resolve()
    os.chdir(options.work)
    prepare(options.data)
    corpora = {name: read_corpus(name) for name in CORPORA}
    rows = []
    for name in CORPORA:
        for row in ROWS:
            scores = [make_scores(name, row, seed) for seed in options.seeds]
            if None in scores:
                rows.append({"corpus": name, "row": row, "runs": [], "why": "nobody voted on this corpus"})
                continue
            runs = [train(row, one, corpora, name, seed) for one, seed in zip(scores, options.seeds, strict=True)]
            rows.append({"corpus": name, "row": row, "runs": runs})
            print(f"{name}, {row}: {[round(run['test']['f1_macro'], 3) for run in runs]}")
    document = {
        "command": [
            *["python", "examples/curriculum_table.py", options.data.name, options.work.name],
            *["-o", f"examples/results/{options.output.name}", "--seeds", *map(str, options.seeds)],
        ],
        "versions": {name: importlib.metadata.version(name) for name in ("sertool", "torch", "scikit-learn", "numpy")},
        "seed": options.seeds,
        "data": "RAVDESS: fold 0; EmoDB: test 03 and 08, dev 09 and 10; vectors of an encoder pre-trained to denoise, "
        "which heard no test speaker",
        "pacing": {"bins": BINS, "epochs_per_bin": EPOCHS_PER_BIN, "epochs": EPOCHS, "rate_factor": RATE_FACTOR},
        "clusters": {name: what_clusters_tell(name) for name in CORPORA},
        "rows": rows,
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def prepare(data: Path) -> None:
    """Write manifests, encoder, vectors and cluster runs, where that was not done before."""
    options = argparse.Namespace(data=data, corpora=list(CORPORA))
    cluster_table.prepare(options)
    speech = [f"{name}.csv" for name in ("ravdess", "emodb", "librispeech", "picovoice")]
    noise = ["--noise", data / "noise" / "seen"]
    sertool("pretrain", *speech, *noise, "--recipe", HERE / "recipes" / "denoise.yaml", "-o", "denoise")
    for name, settings in CORPORA.items():
        for layer in LAYERS:
            if not Path(f"{name}-{layer}.parquet").is_file():
                how = ["--layer", layer, "--pool", "mean"]
                sertool("extract", f"{name}.csv", "--model", "denoise", *how, "-o", f"{name}-{layer}.parquet")
        sertool(
            *["cluster", f"{name}.csv", "--recipe", HERE / "recipes" / "clusters-small.yaml"],
            *[word for other in ("librispeech", "picovoice", "nemo") for word in ("--unlabelled", f"{other}.csv")],
            *["--chunks", settings["chunks"], "-o", f"{name}-clusters"],
        )


def what_clusters_tell(corpus: str) -> dict:
    """Return what a corpus's cluster run found of its dev speakers."""
    dev = json.loads(Path(f"{corpus}-clusters", "analysis.json").read_text(encoding="utf-8"))["parts"]["dev"]
    told = {"ami_emotion": dev["categories"]["ami"], "ami_speaker": dev["speakers"]["ami"]}
    return {**told, "ami_place": dev["place"]["ami"], "temporal": dev["temporal"]}


def read_corpus(name: str) -> Corpus:
    """Return the vectors `extract` left, by split."""
    from sertool.core.training.utterances import in_canonical_order

    tables = [pd.read_parquet(f"{name}-{layer}.parquet") for layer in LAYERS]
    table = tables[0]
    categories = in_canonical_order(table["emotion"].unique())
    columns = [column for column in table.columns if column[0] == "f" and column[1:].isdigit()]
    vectors = np.concatenate([one[columns].to_numpy(np.float32) for one in tables], axis=1)
    rows = {split: np.flatnonzero(table["split"] == split) for split in ("train", "dev", "test")}
    return Corpus(
        categories=categories,
        names={split: table["file_name"].iloc[chosen].tolist() for split, chosen in rows.items()},
        vectors={split: vectors[chosen] for split, chosen in rows.items()},
        labels={split: np.array([categories.index(x) for x in table["emotion"].iloc[c]]) for split, c in rows.items()},
    )


def make_scores(corpus: str, row: str, seed: int) -> Path | str | None:
    """Return the table of scores a row goes by, made where it is not there; its name where it goes by none.

    None where the corpus has nothing to make it of. A random order is drawn for each seed; all else is scored once.
    """
    metric = row.removeprefix("anti ")
    if metric not in SCORED:
        return row
    if metric == "disagreement" and corpus == "ravdess":
        return None
    path = Path(f"{corpus}-random-{seed}.csv" if metric == "random" else f"{corpus}-{metric}.csv")
    if not path.is_file():
        run = [] if metric in ("random", "disagreement") else ["--cluster-run", f"{corpus}-clusters"]
        drawn = ["--seed", seed] if metric == "random" else []
        sertool("score-curriculum", f"{corpus}.csv", "--metric", metric, *run, *drawn, "-o", path)
    return path


def train(row: str, scores: Path | str, corpora: dict[str, Corpus], corpus: str, seed: int) -> dict:
    """Train one head, and return how it does: on the dev split by epoch, at the best of these on the test splits."""
    from sertool.core.curriculum.small_head import SmallHead, train_head

    own = corpora[corpus]
    dev: list[float] = []
    best: dict = {}
    heads: list[SmallHead] = []

    def judge_epoch(number: int, head: SmallHead) -> None:
        heads[:] = [head]
        dev.append(judge(head, own.vectors["dev"], own.labels["dev"], own.categories)["f1_macro"])
        if dev[-1] <= max(dev[:-1], default=-1.0):
            return
        best["epoch"], best["test"] = number, judge(head, own.vectors["test"], own.labels["test"], own.categories)
        if corpus == "ravdess":
            best["mismatched"] = judge_across(head, own, corpora["emodb"])

    train_head(
        own.vectors["train"],
        own.labels["train"],
        classes=len(own.categories),
        plan=plan_of(row, scores, own, seed, heads),
        seed=seed,
        on_epoch=judge_epoch,
    )
    return {
        "seed": seed,
        "best_epoch": best.pop("epoch"),
        "dev": max(dev),
        # Deviation of the steps from epoch to epoch: a steady rise has none.
        "spread": float(np.diff(dev).std()),
        **best,
    }


def plan_of(row: str, scores: Path | str, corpus: Corpus, seed: int, heads: list) -> Iterator[tuple[np.ndarray, float]]:
    """Yield, epoch by epoch, the utterances a row learns from and the learning rate: the same pacing for all rows.

    Args:
        row: of the table.
        scores: the table it goes by, if it goes by one.
        corpus: learned from.
        seed: of what is drawn.
        heads: holds the head as it is, from the end of the first epoch on.
    """
    from sertool.core.randomness import generator_for
    from sertool.core.training.pacing import Pacing

    count = len(corpus.labels["train"])
    pacing = Pacing(np.zeros(count, np.int64), BINS, EPOCHS_PER_BIN, RATE_FACTOR, draws=seed if row == "none" else None)
    if isinstance(scores, Path):
        ranks = pd.read_csv(scores).set_index("file_name")["rank"]
        order = np.argsort(ranks.loc[corpus.names["train"]].to_numpy())
        pacing = pacing.with_order(order[::-1] if row.startswith("anti") else order)
    elif row == "self-paced":
        pacing = pacing.with_order(generator_for("self-paced", seed).permutation(count))
    for epoch in range(EPOCHS):
        if row == "self-paced" and epoch and pacing.bin_start(epoch) == epoch:
            pacing = pacing.with_order(np.argsort(losses(heads[0], corpus), kind="stable"))
        yield pacing.members(epoch), RATE * pacing.rate(epoch)


def losses(head, corpus: Corpus) -> np.ndarray:
    """Return the cross-entropy of each training utterance, (N,)."""
    logits = head.outputs(corpus.vectors["train"])
    labels = corpus.labels["train"]
    return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]


def judge(head, vectors: np.ndarray, labels: np.ndarray, categories: tuple[str, ...]) -> dict[str, float]:
    """Return F1-macro and UA of a head."""
    from sertool.core.metrics.emotion import category_scores

    names = np.array(categories)
    found = category_scores(names[labels], names[head.outputs(vectors).argmax(1)], categories)
    return {"f1_macro": found["f1_macro"], "ua": found["ua"]}


def judge_across(head, own: Corpus, other: Corpus) -> dict[str, float]:
    """Return F1-macro and UA on another corpus's test split, among the categories both have and no others."""
    from sertool.core.metrics.emotion import category_scores

    shared = [name for name in own.categories if name in other.categories]
    truths = np.array(other.categories)[other.labels["test"]]
    known = np.isin(truths, shared)
    theirs, ours = other.vectors["train"], own.vectors["train"]
    vectors = (other.vectors["test"][known] - theirs.mean(0)) / theirs.std(0) * ours.std(0) + ours.mean(0)
    logits = head.outputs(vectors)[:, [own.categories.index(name) for name in shared]]
    found = category_scores(truths[known], np.array(shared)[logits.argmax(1)], shared)
    return {"n": found["n"], "f1_macro": found["f1_macro"], "ua": found["ua"]}


if __name__ == "__main__":
    main()
