"""`sertool cluster`: DeepEmoCluster, clusters of speech chunks that learn emotion along."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.train import AsJson, Device, Overwrite, merge

TEMPORAL = "none|gru|cnn|transformer|triplet"


def cluster(
    labelled: Annotated[
        list[Path], typer.Argument(metavar="LABELLED", help="Manifests with the splits train and dev.")
    ],
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(
            "--unlabelled",
            metavar="MANIFEST",
            help="Speech without labels; who is in dev or test is left out. Repeatable.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder.")] = Path("runs/clusters"),
    recipe: Annotated[Path | None, typer.Option("--recipe", help="YAML file of settings.", show_default=False)] = None,
    clusters: Annotated[
        int | None, typer.Option("--clusters", help="Clusters, K; 0 learns the labels alone.", show_default="10")
    ] = None,
    temporal: Annotated[
        str | None,
        typer.Option("--temporal", metavar=TEMPORAL, help="What lies along a sentence's chunks.", show_default="none"),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            help="Learn arousal, dominance or valence; repeatable, for all at once.",
            show_default="none: learn categories",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="mel|RUN|NAME|DIR",
            help="Mel spectra, as published; or the hidden states of a run's or an SSL encoder, which does not learn.",
            show_default="mel",
        ),
    ] = None,
    chunks: Annotated[int | None, typer.Option("--chunks", help="Chunks of a sentence.", show_default="11")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs.", show_default="50")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of weights, draws, k-means and dropout.")] = None,
    device: Device = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, such as dropout=0.3."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Cluster chunks of speech while learning emotion from them (DeepEmoCluster, Lin, Sridhar & Busso 2021).

    Leaves, in the run's folder: the cluster of each chunk and the shares of each utterance (chunks.parquet,
    utterances.parquet), what the clusters tell (analysis.json, analysis.png), and the model. Interrupted and run again,
    it goes on. Rows of the split test are never used. Prints the run's folder.
    """
    from sertool.core.clustering.recipe import read_cluster_recipe

    flags = {
        "data.labelled": [str(path) for path in labelled],
        "data.unlabelled": [str(path) for path in unlabelled or []] or None,
        "clusters": clusters,
        "temporal": temporal,
        "attributes": attribute or None,
        "input.encoder": encoder,
        "input.chunks": chunks,
        "optimisation.epochs": epochs,
        "seed": seed,
        "device": device,
    }
    resolved = read_cluster_recipe(recipe, merge(flags, setting))
    run_clusters(resolved, output, overwrite=overwrite, bar=PhaseBar(as_json))


def run_clusters(recipe: Any, folder: Path, *, overwrite: bool, bar: "PhaseBar") -> None:
    """Train, then print where the run lies and how good it is; of several processes only the first one speaks."""
    from sertool.core.clustering.loop import train_clusters

    if overwrite:
        console.if_interrupted("run the same command again, without --overwrite, to go on")
    try:
        run = train_clusters(recipe, folder, overwrite=overwrite, reporter=bar)
    finally:
        bar.close()
    if os.environ.get("RANK", "0") != "0":
        return
    if not bar.was_needed:
        console.note(f"{folder}: this run is finished already; nothing to do (--overwrite starts anew)")
    summary = run.record["summary"]
    if bar.as_json:
        console.json_line({"run": str(run.folder), "attributes": run.attributes, **summary})
        return
    scores = ", ".join(f"{name} {value:.3f}" for name, value in summary["dev"].items() if name != "score")
    console.note(f"best epoch {summary['best_epoch'] + 1}, on the dev split: {scores}")
    console.result(run.folder)


class PhaseBar:
    """Draws each phase of a cluster run as a bar on stderr, and prints an epoch a line where JSON was asked for."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._stack = contextlib.ExitStack()
        self._advance: Any = None
        self.was_needed = False

    def phase(self, name: str, total: int) -> None:
        """Take the bar of the phase before away, and show this one's."""
        self.was_needed = True
        self._stack.close()
        self._advance = self._stack.enter_context(console.progress(total or None, name))

    def advance(self, steps: int) -> None:
        """Advance the bar."""
        self._advance(steps)

    def epoch(self, line: dict[str, Any]) -> None:
        """Print the epoch as JSON, or its dev scores as a line."""
        if self.as_json:
            console.json_line(line)
            return
        scores = ", ".join(f"{name} {value:.3f}" for name, value in line["dev"].items() if name != "score")
        nmi = line["clusters"].get("train", {}).get("nmi")
        told = "" if nmi is None else f"; NMI with the clusters before {nmi:.3f}"
        console.note(f"epoch {line['epoch'] + 1}: dev {scores}{told}")

    def note(self, message: str) -> None:
        """Write a line to stderr."""
        console.note(message)

    def close(self) -> None:
        """Take the bar away, also where the run ended early."""
        self._stack.close()
