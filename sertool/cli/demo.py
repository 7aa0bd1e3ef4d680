"""`sertool demo`: the whole line on the sample corpus, in a few minutes."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.train import TrainingBar

CAVEAT = (
    "The voices are synthetic and the emotions are prosody rules: this shows the way and supports no claim "
    "(one seed, {n} test utterances a row)."
)

TITLE = "Voices and noises unheard in training (UA by chance 0.25; before → after)"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("sertool-demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of noise, weights and order.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove an earlier demo there first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON a row instead of the table.")] = False,
) -> None:
    """Mix noise, train a small model in it and one without, compare both at 0 dB, enhance one file.

    Works on the sample corpus in the package, with no download, in under five minutes on two cores. Interrupted and run
    again, it goes on.
    """
    console.note("sertool demo: on the sample corpus in the package (10 synthetic voices)")
    from sertool.core.demo import LAYOUT, Settings, run_demo

    result = run_demo(output, Settings(seed=seed), overwrite=overwrite, watcher=Bars())
    if result.was_finished:
        console.note(f"{result.folder}: this demo is finished; here is what it found (--overwrite starts anew)")
    if as_json:
        for row in result.table:
            console.json_line(row)
        return
    _print_table(result.table)
    console.result("")
    console.result(CAVEAT.format(n=min(row["n"] for row in result.table)))
    console.result("")
    console.table(("where", "what"), [(f"{result.folder / name}{'/'}", what) for name, what in LAYOUT.items()])
    console.result("")
    run = result.folder / "trained-in-noise"
    console.result(f"Next: sertool enhance YOUR.wav --model {run}")
    console.result(f"      sertool predict YOUR.wav --model {run}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    measures = {"pesq_wb": ("PESQ-WB", 2), "stoi": ("STOI", 3), "si_sdr": ("SI-SDR (dB)", 1)}
    measures = {name: how for name, how in measures.items() if name in rows[0]}
    columns = ["trained", "tested", "n", "F1-macro", "UA", *(title for title, _ in measures.values())]
    cells = []
    for row in rows:
        trained = row["model"].removeprefix("trained-").replace("-", " ")
        pairs = [_pair(row[name], digits) for name, (_, digits) in measures.items()]
        cells.append([trained, row["condition"], row["n"], f"{row['f1_macro']:.2f}", f"{row['ua']:.2f}", *pairs])
    console.table(columns, cells, title=TITLE)


def _pair(values: dict[str, float | None], digits: int) -> str:
    before, after = (values[signal] for signal in ("unprocessed", "enhanced"))
    return " → ".join("–" if value is None else f"{value:.{digits}f}" for value in (before, after))


class Bars:
    """Draws the demo's steps as bars on stderr."""

    def bar(self, title: str, total: int) -> AbstractContextManager:
        """Return a bar for a step of so many items."""
        return console.progress(total, title)

    def training(self, title: str) -> TrainingBar:
        """Return a bar for a training."""
        return TrainingBar(title=f"training {title}")
