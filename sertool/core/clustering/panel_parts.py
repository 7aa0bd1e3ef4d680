"""What the panels of the page about clusters have in common: heading, remark, colours, axes without clutter."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Told apart with any kind of colour vision (Okabe & Ito 2008)."""

MARKERS = ("o", "s", "^", "D")
"""One after the other once the colours are used up: 32 clusters differ in colour or shape."""

MOST_NUMBERED = 30
"""Clusters with a row in the table and a number on the map; of more, the largest."""

LONGEST_NAME = 20
"""Characters of a name that are shown."""

SMALL, TEXT, TITLE = 6.0, 7.0, 8.5
"""Sizes of letters, in points."""

CHARACTER = {"normal": 0.56, "bold": 0.66}
"""Width of a letter, on average and a little more, over its size."""

POINTS_PER_INCH = 72


def panel(place: "SubFigure", title: str) -> "Axes":
    """Return axes under a heading."""
    heading(place, title)
    axes = place.subplots()
    axes.tick_params(labelsize=SMALL)
    return axes


def heading(place: "SubFigure", title: str) -> None:
    """Write a panel's heading, in as many lines as it takes."""
    title = wrapped(title, width_inches(place), TITLE, "bold")
    place.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")


def remark(place: "SubFigure", text: str) -> None:
    """Write under a panel how to read it."""
    place.supxlabel(wrapped(text, width_inches(place), SMALL), x=0.01, ha="left", fontsize=SMALL, color="0.25")


def blank(axes: "Axes", why: str) -> None:
    """Say in empty axes why they are empty."""
    axes.set_axis_off()
    middle = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, textwrap.fill(why, 34), fontsize=TEXT, color="0.4", **middle)


def bare(axes: "Axes") -> None:
    """Leave out the frame's upper and right side, which no number is read from."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def whole_numbers(axes: "Axes") -> None:
    """Let the x axis count: ticks on whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def percent(axes: "Axes", reach: float) -> None:
    """Let the x axis tell shares from 0 up to `reach`, with room for what is written beside bars."""
    from matplotlib.ticker import MaxNLocator

    ticks = [tick for tick in MaxNLocator(nbins=4).tick_values(0.0, reach) if tick <= 1.3 * reach]
    axes.set_xticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
    axes.set_xlim(0.0, reach * 1.4)
    bare(axes)


def told(number: float, digits: int = 2, sign: str = "-") -> str:
    """Return a number as text, its minus a minus; `sign` may be "+" for one on every number."""
    return f"{number:{sign}.{digits}f}".replace("-", "−")


def look(index: int) -> tuple[str, str]:
    """Return the colour and the marker of a cluster or category."""
    return COLOURS[index % len(COLOURS)], MARKERS[index // len(COLOURS) % len(MARKERS)]


def plain(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name cut to what there is room for, none of its signs taken for a formula."""
    name = name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"
    return name.replace("$", r"\$")


def largest(counts: Sequence[int]) -> list[int]:
    """Return the places of the largest counts, in rising order, as many as are numbered."""
    by_size = sorted(range(len(counts)), key=lambda place: (-counts[place], place))
    return sorted(by_size[:MOST_NUMBERED])


def wrapped(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Return text in lines that fit a width, none of its signs taken for a formula."""
    room = int(inches * POINTS_PER_INCH / (CHARACTER[weight] * size))
    return textwrap.fill(text, room).replace("$", r"\$")


def width_inches(place: "SubFigure") -> float:
    """Return how wide a part of the page is."""
    return place.bbox.width / place.get_figure(root=True).dpi
