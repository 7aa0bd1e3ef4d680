"""A picture of how alike masks are, layer by layer, with what chance would have them share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.core.models.mask_overlap import Overlap
from sertool.core.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")

MOST_LINES = 6
"""Pairs that can be told apart as lines; of more, there is a heat map."""

MOST_TICKS = 13
"""Layers named along an axis; of more, every second or third."""


@dataclass(frozen=True)
class Pair:
    """Two mask sets by their labels, and what they share by layer."""

    labels: tuple[str, str]
    layers: tuple[Overlap, ...]

    @property
    def title(self) -> str:
        """Both labels."""
        return " · ".join(self.labels)


def draw_overlaps(path: Path | str, pairs: Sequence[Pair]) -> None:
    """Write a picture of φ and Jaccard's index of the dropped connections, by layer, one line or one row a pair.

    Args:
        path: ends in .png, .svg or .pdf.
        pairs: at least one.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = overlap_figure(pairs)
    with whole_file(path) as partial:
        figure.savefig(partial)


def overlap_figure(pairs: Sequence[Pair]) -> "Figure":
    """Return the picture: φ on the left, Jaccard's index on the right."""
    # Without pyplot, whose figures and backend are global.
    from matplotlib.figure import Figure

    places = list(dict.fromkeys(layer.where for pair in pairs for layer in pair.layers))
    places.sort(key=lambda where: (not where.isdigit(), int(where) if where.isdigit() else 0))
    lines = len(pairs) <= MOST_LINES
    size = (10.0, 4.0 + 0.2 * len(pairs)) if lines else (12.0, 1.6 + 0.28 * len(pairs))
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    panels = figure.subplots(1, 2, sharey=not lines)
    (_draw_lines if lines else _draw_maps)(figure, panels, pairs, places)
    step = -(-len(places) // MOST_TICKS)
    for axes in panels:
        axes.set_xticks(range(0, len(places), step), places[::step])
        axes.set_xlabel("layer")
    return figure


def _draw_lines(figure: "Figure", panels: Sequence["Axes"], pairs: Sequence[Pair], places: list[str]) -> None:
    left, right = panels
    for index, pair in enumerate(pairs):
        colour = f"C{index}"
        for axes, name in ((left, "phi"), (right, "jaccard")):
            low, high = (_by_place(pair, places, _end(f"{name}_interval", end)) for end in (0, 1))
            axes.fill_between(range(len(places)), low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(_by_place(pair, places, _number(name)), color=colour, marker="o", markersize=4, label=pair.title)
        right.plot(_by_place(pair, places, _number("jaccard_by_chance")), color=colour, linestyle=":", linewidth=1)
    left.axhline(0.0, color="grey", linestyle=":", linewidth=1)
    left.set_ylabel("φ of the dropped connections")
    right.set_ylabel("Jaccard index of the dropped connections")
    right.set_ylim(bottom=0.0)
    for axes in panels:
        axes.grid(alpha=0.3)
    title = "dotted: by chance; band: 95 of 100 pairs of independent masks"
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", title=title)


def _draw_maps(figure: "Figure", panels: Sequence["Axes"], pairs: Sequence[Pair], places: list[str]) -> None:
    left, right = panels
    for axes, title, value in (
        (left, "φ of the dropped connections (0 by chance)", _number("phi")),
        (right, "their Jaccard index, less that by chance", _jaccard_above_chance),
    ):
        cells = [_by_place(pair, places, value) for pair in pairs]
        # White is chance in both, and the colours reach as far as the numbers do.
        reach = max((abs(cell) for row in cells for cell in row if not math.isnan(cell)), default=1.0) or 1.0
        image = axes.imshow(cells, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        axes.set_title(title, fontsize="medium")
        figure.colorbar(image, ax=axes)
    left.set_yticks(range(len(pairs)), [pair.title for pair in pairs])


Value = Callable[[Overlap], float | None]


def _by_place(pair: Pair, places: list[str], value: Value) -> list[float]:
    """Return a value for each place, NaN (which is not drawn) where there is none."""
    found: dict[str, Any] = {layer.where: value(layer) for layer in pair.layers}
    return [math.nan if found.get(where) is None else found[where] for where in places]


def _number(name: str) -> Value:
    return lambda layer: getattr(layer, name)


def _end(name: str, end: int) -> Value:
    """Return what takes one end of an interval."""
    return lambda layer: None if getattr(layer, name) is None else getattr(layer, name)[end]


def _jaccard_above_chance(layer: Overlap) -> float | None:
    return None if layer.jaccard is None else layer.jaccard - layer.jaccard_by_chance
