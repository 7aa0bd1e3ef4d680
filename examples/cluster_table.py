"""Cluster speech in every temporal form, and learn emotion along: one table, of one resumable command.

    python examples/cluster_table.py DATA WORK -o RESULTS.json [--corpora ravdess emodb] [--clusters 10 30]

DATA holds ravdess/, emodb/, nemo/, librispeech/ and picovoice/. WORK takes manifests and runs. Every row learns from
the same speech for as many epochs, by examples/recipes/clusters-small.yaml; each is judged on speakers that nothing
learned has heard: RAVDESS fold 0, or EmoDB's 03 and 08. Attributes are derived from the categories. The first run is
timed, and the time of the whole grid printed, before the others begin.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECIPE = HERE / "recipes" / "clusters-small.yaml"

ROWS: dict[str, list[str]] = {
    "no clusters": ["--clusters", "0"],
    "vanilla": ["--temporal", "none"],
    "gru": ["--temporal", "gru"],
    "cnn": ["--temporal", "cnn"],
    "transformer": ["--temporal", "transformer"],
    "triplet": ["--temporal", "triplet"],
}
"""What is told to `sertool cluster` for each row, beside what all of them are told."""

ATTRIBUTES = ("arousal", "dominance", "valence")
TARGETS = {"attributes": [word for name in ATTRIBUTES for word in ("--attribute", name)], "categories": []}

CORPORA = {
    "ravdess": {"split": ["--folds", "6", "--fold", "0"], "chunks": "6"},
    "emodb": {"split": ["--test-speakers", "03,08", "--dev-speakers", "09,10"], "chunks": "9"},
}
"""How each is split, and the chunks of a sentence: its longest utterance in seconds."""


def main() -> None:
    """Train and judge what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=["ravdess"])
    parser.add_argument("--clusters", nargs="+", type=int, default=[10])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--published-size", action="store_true", help="also an epoch of the published size, timed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.data, options.output = options.data.resolve(), options.output.resolve()
    os.chdir(options.work)
    prepare(options)
    runs = [
        (corpus, row, target, clusters, seed)
        for clusters in options.clusters
        for corpus in options.corpora
        for seed in options.seeds
        for row in options.rows
        for target in options.targets
        if row != "no clusters" or clusters == options.clusters[0]
    ]
    rows: list[dict] = []
    published = published_size() if options.published_size else None
    for number, run in enumerate(runs):
        began = time.monotonic()
        rows.append(record(*run))
        if number == 1 and time.monotonic() - began > 60:
            print(f"all {len(runs)} runs will take about {(time.monotonic() - began) * len(runs) / 3600:.1f} h")
        document = {
            "command": ["python", "examples/cluster_table.py", *_command(options)],
            "versions": {
                name: importlib.metadata.version(name) for name in ("sertool", "torch", "scikit-learn", "numpy")
            },
            "seed": options.seeds if len(options.seeds) > 1 else options.seeds[0],
            "data": "train: the corpus's train split, and 600 unlabelled utterances drawn from LibriSpeech "
            "train-clean-100, picovoice and nEMO's train split; test: speakers heard by nothing that learned",
            "recipe": RECIPE.name,
            "published_size": published,
            "rows": rows,
        }
        options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def prepare(options: argparse.Namespace) -> None:
    """Write the manifests, where that was not done before."""
    data = options.data
    wanted = {name: [name, data / name, "--derive-attributes", *CORPORA[name]["split"]] for name in options.corpora}
    wanted |= {
        "nemo": ["nemo", data / "nemo", "--test-speakers", "EB0,KS0", "--dev-speakers", "IC0,MP0"],
        "librispeech": ["folder", data / "librispeech" / "train-clean-100"],
        "picovoice": ["folder", data / "picovoice"],
    }
    for name, arguments in wanted.items():
        if not Path(f"{name}.csv").is_file():
            sertool("corpus", *arguments, "-o", f"{name}.csv")


def record(corpus: str, row: str, target: str, clusters: int, seed: int) -> dict:
    """Train one row, or go on with it, and return how it does on the test split."""
    run = Path(f"{corpus}-{row.replace(' ', '-')}-{target}-k{clusters}-seed{seed}")
    result = run.with_name(f"{run.name}.json")
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    began = time.monotonic()
    sertool(
        *["cluster", f"{corpus}.csv", "--recipe", RECIPE, "--chunks", CORPORA[corpus]["chunks"]],
        *[word for name in ("librispeech", "picovoice", "nemo") for word in ("--unlabelled", f"{name}.csv")],
        *[*TARGETS[target], "--clusters", clusters, *ROWS[row], "--seed", seed, "-o", run],
    )
    found = {"corpus": corpus, "row": row, "target": target, "clusters": clusters, "seed": seed}
    found |= {"seconds": round(time.monotonic() - began), **judged(run, corpus, seed)}
    result.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def published_size() -> dict:
    """Return what one epoch of the published size takes on RAVDESS, and how far it gets."""
    run, recipe = Path("published-size"), HERE / "recipes" / "deepemocluster.yaml"
    result = run.with_name(f"{run.name}.json")
    if not result.is_file():
        began = time.monotonic()
        sertool(
            *["cluster", "ravdess.csv", "--recipe", recipe, "--attribute", "arousal", "--epochs", 1],
            *[word for name in ("librispeech", "picovoice", "nemo") for word in ("--unlabelled", f"{name}.csv")],
            *["--set", "data.most_unlabelled=600", "--set", "data.workers=2", "-o", run],
        )
        found = {"recipe": recipe.name, "seconds": round(time.monotonic() - began)}
        told = {name: value for name, value in judged(run, "ravdess", 0).items() if name in ("dev", "test")}
        result.write_text(json.dumps({**found, **told}, indent=1) + "\n", encoding="utf-8")
    return json.loads(result.read_text(encoding="utf-8"))


def judged(run: Path, corpus: str, seed: int) -> dict:
    """Return what a run says of test speakers: scores, and what its clusters tell."""
    from sertool.core.clustering.assignments import cluster_utterances
    from sertool.core.clustering.judging import judge
    from sertool.core.clustering.results import analyse_part
    from sertool.core.corpus.derived_attributes import sources_in_words
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.training.run import open_run

    finished = open_run(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = cluster_utterances(run, Manifest.read(f"{corpus}.csv").split("test"), workers=2, features=True)
    dev = {name: value for name, value in finished.record["summary"]["dev"].items() if name != "score"}
    test = judge(found.estimates, found.part, found.config)
    told = {
        "attributes": sources_in_words(found.part.sources),
        "best_epoch": finished.record["summary"]["best_epoch"],
        "dev": dev,
        "test": {name: value for name, value in test.items() if name != "score"},
    }
    if found.config.clusters:
        analysis = analyse_part(found.part, found.sentences, found.chunks, found.features, seed=seed)
        told |= {
            "nmi_by_epoch": [line["clusters"]["train"]["nmi"] for line in lines],
            "temporal": analysis["temporal"],
            "separation": analysis["separation"],
            "explained": analysis["attributes"],
            "ami_emotion": analysis["categories"]["ami"],
            "ami_speaker": analysis["speakers"]["ami"],
            "ami_place": analysis["place"]["ami"],
        }
    return told


def sertool(*arguments: object) -> None:
    """Run a command of sertool, and end with it where it fails."""
    run_python("-m", "sertool", *arguments)


def run_python(*arguments: object) -> None:
    """Run Python on a script or module, and end with it where it fails."""
    # glibc gives large blocks back to the system after each update and takes them anew, at a third of the time.
    memory = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
    command = [sys.executable, *map(str, arguments)]
    ended = subprocess.run(command, env={**memory, **os.environ}, check=False)
    if ended.returncode:
        sys.exit(ended.returncode)


def _command(options: argparse.Namespace) -> list[str]:
    """Return the arguments this was called with, folders by their names alone."""
    words = [options.data.name, options.work.name, "-o", f"examples/results/{options.output.name}"]
    words += ["--published-size"] if options.published_size else []
    lists = {"rows": ROWS, "targets": TARGETS, "corpora": ["ravdess"], "clusters": [10], "seeds": [0]}
    for name, default in lists.items():
        value = getattr(options, name)
        if value != list(default):
            words += [f"--{name}", *map(str, value)]
    return words


if __name__ == "__main__":
    main()
