"""`sertool masks`: what the masks of S³-Router runs drop, and how far they agree."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.options import Overwrite
from sertool.cli.outputs import refuse_losses
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.models.mask_overlap import Overlap
    from sertool.core.models.mask_sets import MaskSet

TABLES = (".json", ".csv")


class By(StrEnum):
    """How finely agreement is told."""

    TENSOR = "tensor"
    LAYER = "layer"
    ALL = "all"


def masks(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Runs of sertool train --adapt router.")],
    by: Annotated[By, typer.Option(metavar="tensor|layer|all", help="What gets a row of the table.")] = By.LAYER,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Also a picture (.png .svg .pdf), or every number (.json .csv)."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every number as a line of JSON.")] = False,
) -> None:
    """Show the masks of S³-Router runs: what they drop, their size, and how far any two agree, beside chance.

    Agreement is that of the [italic]dropped[/italic] connections: their φ coefficient (0 by chance) and Jaccard index,
    with that of independent masks of the same sizes, and where 95 of 100 such pairs would lie; z tells how many of
    their standard deviations these two are above them.

    Runs must have started from the same encoder. Those whose scores were initialised by weight all dropped the smallest
    weights at first: some of what they share is left from that.
    """
    from sertool.core.models.mask_overlap import overlaps, pairs
    from sertool.core.models.mask_sets import read_masks, told_apart

    _check(runs, output, overwrite=overwrite)
    sets = told_apart([found for run in runs for found in read_masks(run)])
    compared = [((first.label, second.label), overlaps(first, second)) for first, second in pairs(sets)]
    records = [_set_record(found) for found in sets]
    records += [_overlap_record(labels, one) for labels, found in compared for one in found]
    if output is not None:
        _write(output, compared, records)
    if as_json:
        for record in records:
            console.json_line(record)
        return
    _print_sets(sets)
    if compared:
        console.result("")
        _print_overlaps(compared, by)
        if any(found.config.adapt.router.init != "uniform" for found in sets):
            console.result("* scores that start by weight drop the smallest weights at first, in every run alike")


def _check(runs: list[Path], output: Path | None, *, overwrite: bool) -> None:
    """Refuse what cannot be done before anything is read."""
    from sertool.core.models.locate import model_folder
    from sertool.core.models.mask_picture import PICTURES

    places = [model_folder(run).resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{run}: is named twice; expected every run once: leave one out")
    if output is None:
        return
    if output.suffix.lower() not in (*PICTURES, *TABLES):
        raise InputError(
            f"{output}: cannot tell the format; expected a name in {', '.join((*PICTURES, *TABLES))}: choose one"
        )
    refuse_losses([output], overwrite=overwrite)


def _write(output: Path, compared: list[tuple[tuple[str, str], list["Overlap"]]], records: list[dict]) -> None:
    """Write a picture or a table, by the file's suffix."""
    from sertool.core.models.mask_picture import PICTURES, Pair, draw_overlaps
    from sertool.core.writing import write_text

    suffix = output.suffix.lower()
    if suffix in PICTURES:
        if not compared:
            raise InputError(f"{output}: a picture shows what two sets of masks share; expected two: name another run")
        layers = [(labels, [one for one in found if one.level == "layer"]) for labels, found in compared]
        draw_overlaps(output, [Pair(labels, tuple(found)) for labels, found in layers])
    elif suffix == ".json":
        write_text(output, json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        import pandas as pd

        rows = [record for record in records if record["record"] == ("overlap" if compared else "masks")]
        write_text(output, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _set_record(found: "MaskSet") -> dict[str, Any]:
    router = found.config.adapt.router
    return {
        "record": "masks",
        "masks": found.label,
        "head": found.head,
        "layers": router.layers,
        "init": router.init,
        "sparsity": router.sparsity,
        "tensors": len(found.masks),
        "connections": found.connections,
        "dropped": found.dropped,
        "bytes": found.bytes,
        "share_of_encoder": found.bytes / found.encoder_bytes,
    }


def _overlap_record(labels: tuple[str, str], one: "Overlap") -> dict[str, Any]:
    jaccard_low, jaccard_high = one.jaccard_interval or (None, None)
    phi_low, phi_high = one.phi_interval or (None, None)
    return {
        "record": "overlap",
        "first": labels[0],
        "second": labels[1],
        "level": one.level,
        "where": one.where,
        "connections": one.connections,
        "dropped_first": one.dropped[0],
        "dropped_second": one.dropped[1],
        "dropped_both": one.both,
        "dropped_both_by_chance": one.by_chance,
        "phi": one.phi,
        "phi_chance_low": phi_low,
        "phi_chance_high": phi_high,
        "jaccard": one.jaccard,
        "jaccard_by_chance": one.jaccard_by_chance,
        "jaccard_chance_low": jaccard_low,
        "jaccard_chance_high": jaccard_high,
        "z": one.z,
    }


def _print_sets(sets: list["MaskSet"]) -> None:
    columns = ["masks", "over", "start", "sparsity", "tensors", "connections", "dropped", "bytes", "of the encoder"]
    rows = []
    for found in sets:
        router = found.config.adapt.router
        share = f"{found.bytes / found.encoder_bytes:.2%}"
        counts = [len(found.masks), found.connections, found.dropped, found.bytes]
        rows.append([found.label, router.layers, router.init, f"{router.sparsity:g}", *counts, share])
    console.table(columns, rows, title="Masks, at one bit a connection; the encoder in float32")
    if len(sets) == 1:
        console.result("")
        rows = [
            [name, *mask.shape, mask.dropped, f"{mask.dropped / mask.connections:.4f}"]
            for name, mask in sets[0].masks.items()
        ]
        console.table(["tensor", "out", "in", "dropped", "sparsity"], rows)


def _print_overlaps(compared: list[tuple[tuple[str, str], list["Overlap"]]], by: By) -> None:
    columns = ["first", "second", *([by] if by != By.ALL else []), "dropped", "both", "φ", "Jaccard", "by chance", "z"]
    rows = []
    for labels, found in compared:
        for one in found:
            if one.level in (by, "all"):
                where = [] if by == By.ALL else [one.where]
                rows.append([*labels, *where, *_cells(one)])
    console.table(columns, rows, title="Dropped connections that two sets of masks share")


def _cells(one: "Overlap") -> list[object]:
    chance = None
    if one.jaccard_interval:
        low, high = one.jaccard_interval
        chance = f"{one.jaccard_by_chance:.3f} ({low:.3f}–{high:.3f})"
    first, second = one.dropped
    dropped = str(first) if first == second else f"{first}, {second}"
    numbers = [None if number is None else f"{number:z.3f}" for number in (one.phi, one.jaccard)]
    return [dropped, one.both, *numbers, chance, None if one.z is None else f"{one.z:+z.1f}"]
