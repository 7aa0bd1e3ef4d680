"""One page of pictures about the clusters of a run, for a reader who knows neither the run nor the field."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.core.clustering.map_panels import draw_clusters_on_map, draw_emotions_on_map
from sertool.core.clustering.panel_parts import POINTS_PER_INCH, TEXT, told, width_inches, wrapped
from sertool.core.clustering.panels import draw_consistency, draw_epochs, draw_explained, draw_sizes, draw_table
from sertool.core.errors import InputError
from sertool.core.models.mask_picture import PICTURES
from sertool.core.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A4 = (11.69, 8.27)
"""Inches, landscape."""

MARGIN = 0.2
"""Inches left and right."""

TITLE = 12.0
"""Size of the page's title, in points."""

LEADING = 1.3
"""Height of a line over the size of its letters."""

NO_DATE = {".svg": "Date", ".pdf": "CreationDate"}
"""What would make two files of the same page differ."""


def draw_page(
    path: Path | str,
    analysis: dict[str, Any],
    *,
    title: str,
    nmi: Sequence[dict[str, Any]],
    history: Sequence[float | None],
    note: str,
) -> None:
    """Write the page; the same arguments give the same bytes.

    Args:
        path: ends in .png, .svg or .pdf.
        analysis: what `analyse` returned, or the same read from JSON.
        title: what stands above everything, such as the name of the run.
        nmi: a line an epoch: `epoch` (from 1), `nmi_labelled` and `nmi_unlabelled`, between its clusters and those of
            the epoch before, None where there are none.
        history: the dev score of each epoch, None where there is none.
        note: what a reader must know of the run, in the page's last lines; may be empty.

    Raises:
        InputError: the path ends in something else.
        OutputError: the file cannot be written.
    """
    import matplotlib

    suffix = Path(path).suffix.lower()
    if suffix not in PICTURES:
        raise InputError(f"{path}: cannot tell the format; expected a name in {', '.join(PICTURES)}: choose one")
    figure = page_figure(analysis, title=title, nmi=nmi, history=history, note=note)
    metadata = {NO_DATE[suffix]: None} if suffix in NO_DATE else None
    # Without the salt, the names inside an SVG file are drawn at random.
    with whole_file(path) as partial, matplotlib.rc_context({"svg.hashsalt": "sertool"}):
        figure.savefig(partial, metadata=metadata)


def page_figure(
    analysis: dict[str, Any],
    *,
    title: str,
    nmi: Sequence[dict[str, Any]],
    history: Sequence[float | None],
    note: str,
) -> "Figure":
    """Return the page, as `draw_page` writes it: maps and table above, what was measured below, then words."""
    # Without pyplot, whose figures and backend are global.
    from matplotlib.figure import Figure

    figure = Figure(figsize=A4, dpi=150, layout="constrained")
    page = figure.subfigures(1, 3, width_ratios=(MARGIN, A4[0] - 2 * MARGIN, MARGIN))[1]
    width = width_inches(page) * 0.98
    title = wrapped(title, width, TITLE, "bold")
    words = "\n".join(wrapped(line, width, TEXT) for line in [*in_words(analysis), *note.splitlines()])
    above, below = (lines.count("\n") + 2 for lines in (title, words))
    above, below = above * TITLE * LEADING / POINTS_PER_INCH, below * TEXT * LEADING / POINTS_PER_INCH
    rest = A4[1] - above - below
    head, upper, lower, foot = page.subfigures(4, 1, height_ratios=(above, rest * 0.63, rest * 0.37, below))
    head.text(0.003, 0.5, title, va="center", fontsize=TITLE, fontweight="bold", linespacing=LEADING)
    foot.text(0.003, 0.5, words, va="center", fontsize=TEXT, linespacing=LEADING)
    maps = upper.subfigures(1, 3, wspace=0.03)
    for draw, place in zip((draw_clusters_on_map, draw_emotions_on_map, draw_table), maps, strict=True):
        draw(place, analysis)
    *measures, epochs = lower.subfigures(1, 4, width_ratios=(1.1, 0.95, 0.95, 1.1), wspace=0.03)
    for draw, place in zip((draw_sizes, draw_consistency, draw_explained), measures, strict=True):
        draw(place, analysis)
    draw_epochs(epochs, nmi, history)
    return figure


def in_words(analysis: dict[str, Any]) -> list[str]:
    """Return what needs no picture: how far the clusters lie apart, and what they tell."""
    return [_separation(analysis["separation"]), *_agreements(analysis)]


def _separation(found: dict[str, Any]) -> str:
    if found["why"]:
        return f"How far the clusters lie apart cannot be told: {found['why']}."
    return (
        f"How far the clusters lie apart: silhouette {told(found['silhouette'])} (1: tight and far apart; 0: no gap "
        f"between them; below: mixed up), Davies–Bouldin index {told(found['davies_bouldin'])} (0 is best), over "
        f"{found['chunks']:,} chunks."
    )


def _agreements(analysis: dict[str, Any]) -> list[str]:
    """Return how far clusters tell emotions, speakers, and the place in the sentence; empty where none is known."""
    sources = {
        "the emotion": analysis["categories"],
        "who speaks": analysis["speakers"],
        "where in the sentence it lies": analysis["place"],
    }
    agreements = {name: found["ami"] for name, found in sources.items() if found and found["ami"] is not None}
    if not agreements:
        return []
    listed = ", ".join(f"{name} {told(ami)}" for name, ami in agreements.items())
    line = f"How far a chunk's cluster tells (adjusted mutual information; 0: not at all, 1: wholly): {listed}."
    most = max(agreements, key=agreements.get)
    if "the emotion" in agreements and agreements[most] > agreements["the emotion"]:
        line += f" The clusters tell {most} better than the emotion."
    return [line]
