"""One page about a curriculum: how scores are distributed, what they follow, and who comes first and last."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.corpus.categories import CATEGORIES
from sertool.core.corpus.derived_attributes import are_derived
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.tables import ATTRIBUTES
from sertool.core.curriculum.levels import LEVELS, attribute_levels
from sertool.core.curriculum.scoring import ScoredSplit
from sertool.core.randomness import generator_for
from sertool.core.writing import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LISTED = 20
"""Utterances named at either end."""

LONGEST_NAME = 34
"""Characters of a file's name; of a longer one, the middle is left out."""

MOST_GROUPS = 10
"""Categories that get a box; of more, the most frequent."""

MOST_POINTS = 400
"""Points of a group; of more, every second or third by rank."""

INK, PAPER, ACCENT = "#333333", "#dddddd", "C0"


def draw_page(path: Path | str, curriculum: ScoredSplit) -> None:
    """Write the page as a picture; the same bytes for the same curriculum.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib import rc_context

    # A file may be called $x$: its name is text, not a formula.
    with whole_file(path) as partial, rc_context({"text.parse_math": False}), warnings.catch_warnings():
        # A name in a script the font lacks is drawn as boxes; the table has it whole.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        page_figure(curriculum).savefig(partial, metadata={"Software": None})


def page_figure(curriculum: ScoredSplit) -> "Figure":
    """Return the page: A4, upright."""
    # Without pyplot, whose figures and backend are global.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.27, 11.69), layout="constrained", dpi=150)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    labels = [name for name in ("emotion", *ATTRIBUTES) if curriculum.manifest.has(name)]
    rows = -(-len(labels) // 2) or 1
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[2.3, 2.2 * rows, 4.3])
    _title(figure, curriculum)
    _draw_distribution(top, curriculum)
    grid = middle.subplots(rows, 2, squeeze=False).ravel() if len(labels) > 1 else [middle.subplots()]
    for axes, name in zip(grid, labels, strict=False):
        _draw_label(axes, curriculum, name)
    for axes in grid[len(labels) :]:
        axes.axis("off")
    _draw_names(bottom, curriculum)
    return figure


def _title(figure: "Figure", curriculum: ScoredSplit) -> None:
    facts = curriculum.facts
    alpha = f", α = {facts['alpha']:g}" if "alpha" in facts else ""
    how = f", predictions {facts['predictions']}" if "predictions" in facts else ""
    figure.suptitle(
        f"{facts['metric']} for {facts['target']}{alpha}{how}\n{facts['utterances']} utterances, "
        f"{facts['distinct_scores']} distinct scores, at most {facts['largest_tie']} alike; seed {facts['seed']}",
        fontsize=11,
    )


def _draw_distribution(place: "Figure", curriculum: ScoredSplit) -> None:
    """Draw the histogram, and the scores from the easiest to the hardest with the borders of bins."""
    scores = curriculum.scored.table["score"].to_numpy()
    left, right = place.subplots(1, 2)
    # Counted here: of scores closer together than floats allow, matplotlib makes no bins.
    spread = np.ptp(scores) or 1.0
    counts, edges = np.histogram((scores - scores.min()) / spread, bins=40, range=(0.0, 1.0))
    left.bar(scores.min() + edges[:-1] * spread, counts, width=spread / 40, align="edge", color=ACCENT)
    left.set_xlabel("score")
    left.set_ylabel("utterances")
    left.set_title("distribution", fontsize=9)
    bins = curriculum.scored.table["bin"].to_numpy()
    for border in np.flatnonzero(np.diff(bins)) + 1:
        right.axvline(border - 0.5, color=PAPER, linewidth=0.8)
    right.plot(np.arange(len(scores)), scores, color=ACCENT, linewidth=1.5, drawstyle="steps-mid")
    right.set_xlabel("rank (0 is the easiest)")
    right.set_ylabel("score")
    right.set_title(f"by rank, in {bins.max()} bins", fontsize=9)
    for axes in (left, right):
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
        axes.margins(x=0.01)


def _draw_label(axes: "Axes", curriculum: ScoredSplit, name: str) -> None:
    """Draw the scores of each category, or of each level of an attribute, as a box over its points."""
    scores = curriculum.scored.table["score"].to_numpy()
    classes, codes = label_groups(curriculum.manifest, name)
    found = [code for code in range(len(classes)) if (codes == code).any()]
    groups = [scores[codes == code] for code in found]
    jitter = generator_for("jitter", name)
    size = 4 if len(scores) > 400 else 12
    for place, own in enumerate(groups, start=1):
        shown = own[:: -(-len(own) // MOST_POINTS)]
        # Above the boxes: where many tie, the box is a line.
        axes.scatter(
            place + jitter.uniform(-0.32, 0.32, len(shown)),
            shown,
            s=size,
            color=ACCENT,
            alpha=0.45,
            linewidths=0,
            zorder=3,
        )
    axes.boxplot(
        groups,
        showfliers=False,
        widths=0.7,
        boxprops={"color": INK},
        whiskerprops={"color": INK},
        capprops={"color": INK},
        medianprops={"color": "C3", "linewidth": 1.5},
    )
    names = [f"{_shortened(classes[code], 11)}\n{len(own)}" for code, own in zip(found, groups, strict=True)]
    axes.set_xticks(range(1, len(found) + 1), names)
    axes.tick_params(axis="x", labelsize=6)
    axes.tick_params(axis="y", labelsize=7)
    derived = name in ATTRIBUTES and are_derived(curriculum.manifest)
    axes.set_title(f"by {name} (derived)" if derived else f"by {name}", fontsize=9)
    axes.set_ylabel("score", fontsize=8)


def label_groups(manifest: Manifest, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return what utterances are grouped by: the classes of a label, and that of each utterance; -1 for none.

    Args:
        manifest: N utterances.
        name: `emotion`, of which the ten most frequent categories are told apart; or an attribute, by level.
    """
    column = manifest.table[name]
    if name in ATTRIBUTES:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        codes = np.full(len(values), -1)
        codes[~np.isnan(values)] = attribute_levels(values[~np.isnan(values)])
        return LEVELS, codes
    counts = column.dropna().value_counts()
    frequent = sorted(counts.index, key=lambda word: (-counts[word], word))[:MOST_GROUPS]
    order = {word: place for place, word in enumerate(CATEGORIES)}
    classes = tuple(sorted(frequent, key=lambda word: (order.get(word, len(order)), word)))
    code = {word: place for place, word in enumerate(classes)}
    words = column.to_numpy(dtype=object, na_value=None)
    return classes, np.array([code.get(word, -1) for word in words])


def _draw_names(place: "Figure", curriculum: ScoredSplit) -> None:
    left, right = place.subplots(1, 2)
    total = len(curriculum.manifest)
    count = min(LISTED, total)
    _draw_list(left, curriculum, range(count), f"the {count} easiest")
    _draw_list(right, curriculum, range(total - 1, total - 1 - count, -1), f"the {count} hardest, hardest first")


def _draw_list(axes: "Axes", curriculum: ScoredSplit, rows: range, title: str) -> None:
    axes.axis("off")
    axes.set_title(title, fontsize=9)
    _write_line(axes, 0, "file", curriculum.target.name, "score", color="#777777")
    table, target = curriculum.scored.table, curriculum.target
    label = table[target.name].to_numpy(dtype=object, na_value=None)
    for line, row in enumerate(rows):
        said = "–" if label[row] is None else label[row] if target.values is None else f"{label[row]:.2f}"
        name = _shortened(Path(table["file_name"].iloc[row]).name, LONGEST_NAME)
        _write_line(axes, line + 1, name, _shortened(str(said), 11), f"{table['score'].iloc[row]:.4g}")


def _write_line(axes: "Axes", line: int, name: str, label: str, score: str, **style: object) -> None:
    height = 1.0 - (line + 0.5) / (LISTED + 1)
    for x, text, side in ((0.02, name, "left"), (0.74, label, "right"), (0.93, score, "right")):
        axes.text(x, height, text, ha=side, va="center", fontsize=7, transform=axes.transAxes, **style)


def _shortened(name: str, longest: int) -> str:
    """Return a name as it fits on the page: without its middle where it is long, and without what cannot be drawn."""
    name = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-(longest - 1 - half) :]}"
