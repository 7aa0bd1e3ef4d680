"""The panels of the page about clusters that count and measure; each says why where there is nothing to draw."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.core.clustering.panel_parts import (
    CHARACTER,
    COLOURS,
    MARKERS,
    POINTS_PER_INCH,
    SMALL,
    TEXT,
    bare,
    blank,
    heading,
    largest,
    look,
    panel,
    percent,
    plain,
    remark,
    told,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

MOST_BARS = 60
"""Clusters with a bar of their own; of more, the outline."""

MOST_COLUMNS = 12
"""Categories with numbers in their cells; of more, shades alone."""


def draw_table(place: "SubFigure", analysis: dict[str, Any]) -> None:
    """Draw the table of cluster × category: counts as numbers, shares of the cluster as shades."""
    axes = panel(place, "Which emotions are in which cluster: number of chunks")
    categories = analysis["categories"]
    if not categories:
        blank(axes, "No chunk has a category.")
        return
    table = np.array(categories["table"])
    rows = largest(table.sum(axis=1).tolist())
    left_out = f" {categories['unlabelled']:,} chunks have no label." if categories["unlabelled"] else ""
    shown = f"The {len(rows)} largest of {len(table)} clusters. " if len(rows) < len(table) else ""
    size = TEXT if len(rows) <= 20 else SMALL
    _draw_shares(axes, table[rows], size)
    axes.set_yticks(range(len(rows)), [str(row) for row in rows], fontsize=size)
    names = [plain(name, 16) for name in categories["names"]]
    upright = max(map(len, names)) * CHARACTER["normal"] * size / POINTS_PER_INCH > 3.0 / len(names)
    axes.set_xticks(range(len(names)), names, fontsize=size, rotation=90 if upright else 0)
    axes.set_ylabel("cluster", fontsize=TEXT)
    axes.tick_params(length=0)
    remark(place, f"{shown}The darker, the larger the share of the cluster's chunks.{left_out}")


def draw_sizes(place: "SubFigure", analysis: dict[str, Any]) -> None:
    """Draw how many chunks each cluster holds, beside equal shares."""
    from matplotlib.ticker import MaxNLocator

    clusters = analysis["clusters"]
    sizes, count = clusters["sizes"], clusters["count"]
    axes = panel(place, "How many chunks each cluster holds")
    if count <= MOST_BARS:
        axes.bar(range(count), sizes, color=[look(cluster)[0] for cluster in range(count)], width=0.8)
    else:
        axes.stairs(sizes, np.arange(count + 1) - 0.5, fill=True, color=COLOURS[0])
    axes.axhline(analysis["chunks"] / count, color="0.3", linestyle="--", linewidth=0.8)
    whole_numbers(axes)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("cluster", fontsize=TEXT)
    bare(axes)
    empty = clusters["empty"]
    emptied = f"Empty: {_few(empty)}." if empty else "None is empty."
    even = f" Evenness {clusters['evenness']:.2f} (1: all alike)." if count > 1 else ""
    remark(place, f"Dashed: equal shares.{even} {emptied}")


def draw_consistency(place: "SubFigure", analysis: dict[str, Any]) -> None:
    """Draw temporal consistency as two bars: neighbours, and the same chunks shuffled."""
    found = analysis["temporal"]
    axes = panel(place, "Neighbouring chunks of a sentence that share a cluster")
    if not found["pairs"]:
        blank(axes, "No sentence has two chunks.")
        return
    shares = [found["shuffled"], found["adjacent"]]
    axes.barh(range(2), shares, color=["0.7", COLOURS[0]], height=0.6)
    for place_, share in enumerate(shares):
        axes.text(share, place_, f" {share:.1%}", va="center", fontsize=TEXT)
    axes.set_yticks(range(2), ["shuffled in\ntheir sentence", "as spoken"], fontsize=TEXT)
    axes.set_ylim(-0.6, 1.6)
    percent(axes, max(*shares, 0.01))
    points = told(found["consistency"] * 100, 1, "+")
    remark(place, f"Temporal consistency, the difference: {points} points, over {found['pairs']:,} pairs.")


def draw_explained(place: "SubFigure", analysis: dict[str, Any]) -> None:
    """Draw η² of each attribute as bars, with a stroke where chance lies."""
    attributes = analysis["attributes"]
    axes = panel(place, "How much of an attribute the clusters explain: η²")
    if all(found["eta_squared"] is None for found in attributes.values()):
        why = "No attribute has labels that differ." if any(one["chunks"] for one in attributes.values()) else None
        blank(axes, why or "No chunk has an attribute.")
        return
    names = list(attributes)[::-1]
    numbers = [attributes[name][key] or 0.0 for name in names for key in ("eta_squared", "by_chance")]
    reach = max(*numbers, 0.01)
    for row, name in enumerate(names):
        share, by_chance = attributes[name]["eta_squared"], attributes[name]["by_chance"]
        axes.barh(row, share or 0.0, color=COLOURS[2], height=0.6)
        if by_chance is not None:
            axes.plot([by_chance] * 2, [row - 0.4, row + 0.4], color="black", linewidth=1.5)
        number = f"{share:.1%}" if share is not None else "labels do not differ"
        number = number if attributes[name]["chunks"] else "no labels"
        axes.text(max(share or 0.0, by_chance or 0.0) + 0.03 * reach, row, number, va="center", fontsize=TEXT)
    axes.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=TEXT)
    percent(axes, reach)
    remark(place, "Black stroke: by chance, labels shuffled among sentences.")


def draw_epochs(place: "SubFigure", nmi: Sequence[dict[str, Any]], history: Sequence[float | None]) -> None:
    """Draw what training wrote by epoch: how far clusters stay what they were, and the dev score."""
    heading(place, "Epoch by epoch: do the clusters settle, does the score rise?")
    upper, lower = place.subplots(2, 1)
    _draw_agreement(upper, nmi)
    scores = _known(enumerate(history, start=1))
    if scores:
        _draw_line(lower, scores, 2)
        lower.set_ylabel("dev score", fontsize=TEXT)
    else:
        blank(lower, "There is no dev score.")
    drawn = [axes for axes in (upper, lower) if axes.axison]
    last = max([len(history), *(line["epoch"] for line in nmi)], default=1)
    for axes in drawn:
        axes.set_xlim(0.5, last + 0.5)
        whole_numbers(axes)
        bare(axes)
    if drawn:
        drawn[-1].set_xlabel("epoch", fontsize=TEXT)
    if upper in drawn:
        remark(place, "NMI: 1 where an epoch's clusters are those of the one before.")


def _draw_agreement(axes: "Axes", nmi: Sequence[dict[str, Any]]) -> None:
    """Draw how far each epoch's clusters are those of the epoch before, a line a kind of chunks."""
    for index, name in enumerate(("unlabelled", "labelled")):
        line = _known((one["epoch"], one[f"nmi_{name}"]) for one in nmi)
        if line:
            _draw_line(axes, line, index, f"{name} chunks")
    if not axes.lines:
        blank(axes, "There is no NMI, which compares the clusters of two epochs.")
        return
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("NMI with the\nepoch before", fontsize=TEXT)
    where = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.0}
    axes.legend(fontsize=SMALL, frameon=False, ncols=2, **where)


def _draw_line(axes: "Axes", line: list[tuple[int, float]], index: int, name: str | None = None) -> None:
    """Draw values over epochs, with no more markers than can be told apart."""
    marks = {"marker": MARKERS[index], "markersize": 3, "markevery": -(-len(line) // 20)}
    axes.plot(*zip(*line, strict=True), color=COLOURS[index], label=name, **marks)


def _draw_shares(axes: "Axes", table: np.ndarray, size: float) -> None:
    """Shade each cell by its share of the row, and write its count in it."""
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    reach = max(shares.max(), 0.01)
    axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0.0, vmax=reach, interpolation="nearest")
    if table.shape[1] > MOST_COLUMNS:
        return
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 0.6 * reach else "black"
        number = str(count) if count < 10_000 else f"{count / 1000:.0f}k"
        axes.text(column, row, number, ha="center", va="center", fontsize=size, color=colour)


def _known(line: Iterable[tuple[int, float | None]]) -> list[tuple[int, float]]:
    """Return the points of a line that have a value."""
    return [(epoch, value) for epoch, value in line if value is not None]


def _few(numbers: list[int]) -> str:
    """Return numbers as a list, of many the first ten and how many there are."""
    first = ", ".join(map(str, numbers[:10]))
    return first if len(numbers) <= 10 else f"{first} … ({len(numbers)} in all)"
