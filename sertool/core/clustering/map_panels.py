"""The map of chunks, twice: coloured by cluster, and by the emotion the chunks are labelled with."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.core.clustering.panel_parts import (
    COLOURS,
    MARKERS,
    MOST_NUMBERED,
    SMALL,
    TEXT,
    blank,
    largest,
    look,
    panel,
    plain,
    remark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

APART = 0.19
"""Inches between the middles of two numbers of two digits on the map."""

Group = tuple[str, np.ndarray, str, str]
"""What points share: its name, which points, their colour and marker."""


def draw_clusters_on_map(place: "SubFigure", analysis: dict[str, Any]) -> None:
    """Draw the map of chunks with a colour and shape for each cluster, and its number amid it."""
    found = analysis["map"]
    axes = panel(place, "Chunks of speech, coloured by the cluster the model put them in")
    if found["method"] is None:
        blank(axes, f"There is no map: {found['why']}.")
        return
    points, clusters = np.array(found["points"]), np.array(found["clusters"])
    groups = [(str(cluster), clusters == cluster, *look(cluster)) for cluster in np.unique(clusters).tolist()]
    _scatter(axes, points, groups)
    if len(groups) <= len(COLOURS) * len(MARKERS):
        _legend(axes, min(len(groups), 10))
    _number(axes, points, clusters)
    how = "laid out by t-SNE: near each other means alike; distances between groups mean little"
    if found["method"] == "PCA":
        how = "along their two principal components (t-SNE needs more of them)"
    few = f"{len(points):,} of " if len(points) < analysis["chunks"] else ""
    if len(groups) > MOST_NUMBERED:
        how += f"; numbers on the {MOST_NUMBERED} largest clusters"
    remark(place, f"{few}{analysis['chunks']:,} chunks, {how}.")


def draw_emotions_on_map(place: "SubFigure", analysis: dict[str, Any]) -> None:
    """Draw the same map with a colour for each category or, where there is none, for the level of an attribute."""
    found, categories = analysis["map"], analysis["categories"]
    labelled = [name for name, values in found["attributes"].items() if any(one is not None for one in values)]
    labelled.sort(key=lambda name: name != "arousal")
    what = "emotion" if categories else labelled[0] if labelled else "emotion"
    axes = panel(place, f"The same chunks, coloured by the {what} they are labelled with")
    if found["method"] is None:
        blank(axes, f"There is no map: {found['why']}.")
    elif categories:
        points = np.array(found["points"])
        category = np.array([-1 if one is None else one for one in found["categories"]])
        groups = [("no label", category < 0, "0.8", "o")] if (category < 0).any() else []
        names = enumerate(categories["names"])
        groups += [(plain(name), category == index, *look(index)) for index, name in names if (category == index).any()]
        _scatter(axes, points, groups)
        _legend(axes, 3)
        remark(place, "Where a colour keeps to one region, the features tell that emotion.")
    elif labelled:
        _scatter_levels(place, axes, np.array(found["points"]), found["attributes"][labelled[0]], labelled[0])
    else:
        blank(axes, "No chunk has a category or an attribute.")


def _scatter(axes: "Axes", points: np.ndarray, groups: list[Group]) -> None:
    """Draw points in the order they come in, so that no group covers the others."""
    colours = np.empty(len(points), dtype=object)
    markers = np.empty(len(points), dtype=object)
    for name, chosen, colour, marker in groups:
        colours[chosen], markers[chosen] = colour, marker
        axes.scatter([], [], s=8, c=colour, marker=marker, linewidths=0, label=name)
    for marker in MARKERS:
        x, y = points[markers == marker].T
        axes.scatter(x, y, s=8, c=colours[markers == marker].tolist(), marker=marker, alpha=0.75, linewidths=0)
    _frame(axes, points)


def _scatter_levels(
    place: "SubFigure", axes: "Axes", points: np.ndarray, levels: list[float | None], name: str
) -> None:
    known = np.array([level is not None for level in levels])
    x, y = points[~known].T
    axes.scatter(x, y, s=8, c="0.8", linewidths=0)
    x, y = points[known].T
    shown = axes.scatter(x, y, s=8, c=[level for level in levels if level is not None], cmap="cividis", linewidths=0)
    _frame(axes, points)
    bar = place.colorbar(shown, ax=axes, location="bottom", aspect=40, pad=0.02)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(plain(name), fontsize=TEXT)
    bar.outline.set_visible(False)
    if not known.all():
        remark(place, "Grey: no label.")


def _frame(axes: "Axes", points: np.ndarray) -> None:
    """Show all points with a margin, and no numbers: the axes of a map have no meaning of their own."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.maximum(high - low, 1e-9) * 0.06
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(axes: "Axes", columns: int) -> None:
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.005)}
    looks = {"fontsize": SMALL, "frameon": False, "handletextpad": 0.0, "columnspacing": 0.7, "markerscale": 1.8}
    axes.legend(ncols=columns, **where, **looks)


def _number(axes: "Axes", points: np.ndarray, clusters: np.ndarray) -> None:
    """Write each cluster's number amid its points, moved where two would lie on each other."""
    found = np.unique(clusters)
    found = found[largest([int((clusters == cluster).sum()) for cluster in found])]
    middles = np.array([np.median(points[clusters == cluster], axis=0) for cluster in found])
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    # Inches of a panel before its headings are known: near enough to keep numbers apart.
    size = np.array([3.4, 3.0])
    apart = APART * (1 + len(str(found[-1]))) / 3
    middles = low + spread((middles - low) / (high - low) * size, size, apart=apart) / size * (high - low)
    for cluster, (x, y) in zip(found.tolist(), middles, strict=True):
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": look(cluster)[0], "linewidth": 0.9}
        middle = {"ha": "center", "va": "center", "fontweight": "bold"}
        axes.text(x, y, str(cluster), fontsize=SMALL, bbox=box, **middle)


def spread(places: np.ndarray, size: np.ndarray, *, apart: float, rounds: int = 300) -> np.ndarray:
    """Return places moved, each as little as pushing them apart takes, until none is nearer another than `apart`.

    Args:
        places: shape (n, 2).
        size: of the rectangle from 0 they stay in, shape (2,).
        apart: distance wanted, in the same unit.
        rounds: tries; where there is no room for all, they end as far apart as that took them.
    """
    # Places that coincide need a direction to part in: each is drawn, by next to nothing, to a point of its own.
    own = np.stack([np.arange(len(places)) * step % 1.0 for step in (0.618, 0.755)], axis=1) * size
    for _ in range(rounds):
        places = np.clip(places, apart / 2, size - apart / 2)
        places = places + 1e-6 * (own - places)
        away = places[:, None] - places[None]
        distance = np.hypot(*np.moveaxis(away, -1, 0))
        np.fill_diagonal(distance, np.inf)
        lacking = np.maximum(apart - distance, 0.0)
        if not lacking.any():
            break
        places = places + (away / distance[..., None] * lacking[..., None]).sum(axis=1) * 0.5
    return places
