"""The page is legible whatever the clusters are: nothing overlaps or leaves the page; and the same bytes every time."""

import itertools
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from sertool.core.clustering.analysis import analyse
from sertool.core.clustering.picture import draw_page, in_words, page_figure
from sertool.core.errors import InputError

NAMES = (
    "anger",
    "contemptuousness",
    "disappointment and resignation",
    "disgust",
    "fear",
    "pay $1 or $2",
    "neutral",
    "x_y",
)


def analysis(num_clusters: int, *, categories: bool = True, attributes: bool = True, scale: int = 1) -> dict:
    """What is told of 400 chunks, on a map that spreads them by cluster."""
    generator = np.random.default_rng(0)
    sentence, order = np.repeat(np.arange(40), 10), np.tile(np.arange(10), 40)
    clusters = (sentence * 3 + generator.integers(0, 5, 400)) % num_clusters
    clusters[clusters == 7] = 0
    labels = {name: generator.uniform(1, 7, 40)[sentence] for name in ("arousal", "dominance", "valence")}
    kinds = [NAMES[one] for one in sentence % 8]
    # Features of one dimension need no t-SNE, which takes its time.
    found = analyse(
        clusters[:, None] + generator.normal(size=(400, 1)),
        clusters,
        sentence,
        order,
        labels if attributes else {},
        [None] * 10 + kinds[10:] if categories else None,
        seed=0,
        num_clusters=num_clusters,
        speakers=[f"speaker {one % 5}" for one in sentence],
    )
    middles = generator.normal(0, 20, (num_clusters, 2))
    found["map"]["points"] = (middles[clusters] + generator.normal(0, 4, (400, 2))).tolist()
    if categories:
        found["categories"]["table"] = [[scale * count for count in row] for row in found["categories"]["table"]]
    return found


def nothing() -> dict:
    """What is told of three equal chunks of which nothing is known."""
    return analyse(np.ones((3, 2)), [1, 1, 1], [0, 1, 2], [0, 0, 0], {}, None, seed=0, num_clusters=4)


def page(found: dict, epochs: int = 50) -> dict:
    nmi = [
        {"epoch": e, "nmi_labelled": e / 60 if e > 1 else None, "nmi_unlabelled": 0.5 if e > 1 else None}
        for e in range(1, epochs + 1)
    ]
    title = "runs/" + "a-very-long-name-" * 8
    note = "Arousal and the others are derived from the category.\n" + "This page is made up of random numbers. " * 6
    history = [-e / 10 for e in range(epochs)]
    return {"analysis": found, "title": title, "nmi": nmi, "history": history, "note": note}


def drawn_texts(figure, monkeypatch) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Return every text that is drawn, with where: x0, y0, x1, y1 in pixels."""
    texts, draw = {}, Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            texts[id(self)] = (self.get_text(), tuple(self.get_window_extent(renderer).extents))
        return draw(self, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, "draw", record)
    FigureCanvasAgg(figure).draw()
    return list(texts.values())


@pytest.mark.parametrize(
    ("found", "epochs"),
    [
        (analysis(10, attributes=False), 50),
        (analysis(30, scale=1234), 10),
        (analysis(200, categories=False), 1),
        (nothing(), 0),
    ],
    ids=["K = 10", "K = 30", "K = 200", "nothing"],
)
def test_no_text_lies_on_another_or_leaves_the_page(found, epochs, monkeypatch):
    figure = page_figure(**page(found, epochs))
    texts = drawn_texts(figure, monkeypatch)
    assert len(texts) > 15
    for text, (x0, y0, x1, y1) in texts:
        assert x0 >= 0 and y0 >= 0 and x1 <= figure.bbox.width and y1 <= figure.bbox.height, text
    for (text, one), (other_text, other) in itertools.combinations(texts, 2):
        wide, high = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
        assert min(wide, high) < 0.5, (text, other_text)


@pytest.mark.parametrize("suffix", [".svg", ".PDF"])
def test_the_same_page_is_the_same_bytes(tmp_path, suffix, monkeypatch):
    pages = []
    for date in ("0", "100000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        draw_page(tmp_path / f"page{suffix}", **page(nothing(), 5))
        pages.append((tmp_path / f"page{suffix}").read_bytes())
    assert pages[0] == pages[1] and pages[0].startswith({".svg": b"<?xml", ".PDF": b"%PDF"}[suffix])


def test_a_page_is_drawn_without_global_state(tmp_path, monkeypatch):
    # pyplot keeps figures and looks for a display.
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(matplotlib.rcParams, "svg.hashsalt", "another")
    draw_page(tmp_path / "folder" / "page.png", **page(nothing(), 5))
    assert (tmp_path / "folder" / "page.png").read_bytes().startswith(b"\x89PNG")
    assert matplotlib.rcParams["svg.hashsalt"] == "another"


def test_another_suffix_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(InputError, match=r"expected a name in \.png, \.svg, \.pdf: choose one"):
        draw_page(tmp_path / "page.gif", **page(nothing()))
    assert not list(tmp_path.iterdir())


def test_words_tell_what_no_picture_does():
    found = analysis(10)
    found["separation"] |= {"silhouette": -0.071, "davies_bouldin": 1.5, "chunks": 4400}
    found["categories"]["ami"], found["speakers"]["ami"], found["place"]["ami"] = 0.2, 0.555, 0.1
    apart, tells = in_words(found)
    assert "silhouette −0.07" in apart and "index 1.50" in apart and "4,400 chunks" in apart
    assert tells.endswith(
        "the emotion 0.20, who speaks 0.56, where in the sentence it lies 0.10. "
        "The clusters tell who speaks better than the emotion."
    )
    found["categories"]["ami"] = 0.6
    assert in_words(found)[1].endswith("the emotion 0.60, who speaks 0.56, where in the sentence it lies 0.10.")
    assert in_words(nothing()) == ["How far the clusters lie apart cannot be told: all chunks are in one cluster."]
