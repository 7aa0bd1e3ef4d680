"""Each panel shows the numbers of the analysis, and says why where there are none."""

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from sertool.core.clustering.panels import (
    MOST_BARS,
    MOST_COLUMNS,
    draw_consistency,
    draw_epochs,
    draw_explained,
    draw_sizes,
    draw_table,
)


def drawn(draw, *arguments):
    """Return a panel's axes, and everything written on it."""
    place = Figure(figsize=(4, 4)).subfigures()
    draw(place, *arguments)
    texts = [text.get_text() for axes in place.axes for text in axes.texts]
    return place.axes, texts, place.get_supxlabel(), place.get_suptitle()


def table(rows: list[list[int]], unlabelled: int = 0) -> dict:
    names = [f"category {place}" for place in range(len(rows[0]))]
    return {"clusters": {"count": len(rows)}, "categories": {"names": names, "table": rows, "unlabelled": unlabelled}}


def test_the_table_holds_counts_and_shades_shares():
    (axes,), texts, remark, _ = drawn(draw_table, table([[3, 1], [0, 0], [10, 20_000]], unlabelled=1200))
    assert texts == ["3", "1", "0", "0", "10", "20k"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0], [10 / 20_010, 20_000 / 20_010]])
    assert remark.endswith("1,200 chunks have no label.")
    dark, light = axes.texts[0], axes.texts[1]
    assert (dark.get_color(), light.get_color()) == ("white", "black")


def test_of_many_clusters_the_table_holds_the_largest_in_order():
    rows = [[place % 40, 1] for place in range(45)]
    (axes,), texts, remark, _ = drawn(draw_table, table(rows))
    shown = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert shown == sorted(range(45), key=lambda place: (-(place % 40), place))[:30][::-1]
    assert remark.startswith("The 30 largest of 45 clusters.")
    assert texts == [str(count) for place in shown for count in rows[place]]


def test_of_many_categories_the_table_has_shades_alone():
    _, texts, _, _ = drawn(draw_table, table([[1] * (MOST_COLUMNS + 1)] * 2))
    assert texts == []
    _, texts, _, _ = drawn(draw_table, {"clusters": {"count": 2}, "categories": None})
    assert texts == ["No chunk has a category."]


@pytest.mark.parametrize("count", [3, MOST_BARS + 1])
def test_sizes_stand_as_bars_or_as_an_outline(count):
    sizes = [4, 0, *[2] * (count - 2)]
    clusters = {"count": count, "sizes": sizes, "empty": [1], "evenness": 0.5}
    (axes,), _, remark, _ = drawn(draw_sizes, {"chunks": sum(sizes), "clusters": clusters})
    bars = [bar.get_height() for bar in axes.patches] if count == 3 else axes.patches[0].get_data().values.tolist()
    assert bars == sizes
    assert axes.lines[0].get_ydata()[0] == pytest.approx(sum(sizes) / count)
    assert remark.replace("\n", " ") == "Dashed: equal shares. Evenness 0.50 (1: all alike). Empty: 1."


def test_many_empty_clusters_are_counted():
    clusters = {"count": 14, "sizes": [5] + [0] * 13, "empty": list(range(1, 14)), "evenness": 0.0}
    remark = drawn(draw_sizes, {"chunks": 5, "clusters": clusters})[2].replace("\n", " ")
    assert remark.endswith("Empty: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 … (13 in all).")


def test_consistency_stands_beside_its_shuffled_baseline():
    found = {"pairs": 4000, "adjacent": 0.625, "shuffled": 0.5, "consistency": 0.125}
    (axes,), texts, remark, _ = drawn(draw_consistency, {"temporal": found})
    bars = {label.get_text(): bar.get_width() for label, bar in zip(axes.get_yticklabels(), axes.patches, strict=True)}
    assert bars == {"shuffled in\ntheir sentence": 0.5, "as spoken": 0.625}
    assert [text.strip() for text in texts] == ["50.0%", "62.5%"]
    assert "+12.5 points, over 4,000 pairs" in remark.replace("\n", " ")
    found |= {"consistency": -0.03}
    assert "−3.0 points" in drawn(draw_consistency, {"temporal": found})[2].replace("\n", " ")
    found = {"pairs": 0, "adjacent": None, "shuffled": None, "consistency": None}
    assert drawn(draw_consistency, {"temporal": found})[1] == ["No sentence has two chunks."]


def test_what_clusters_explain_stands_beside_chance():
    attributes = {
        "arousal": {"chunks": 9, "eta_squared": 0.3, "by_chance": 0.1},
        "dominance": {"chunks": 9, "eta_squared": None, "by_chance": None},
        "valence": {"chunks": 0, "eta_squared": None, "by_chance": None},
    }
    (axes,), texts, _, _ = drawn(draw_explained, {"attributes": attributes})
    bars = [bar.get_width() for bar in axes.patches]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["valence", "dominance", "arousal"]
    assert bars == [0.0, 0.0, 0.3] and texts == ["no labels", "labels do not differ", "30.0%"]
    (stroke,) = axes.lines
    assert list(stroke.get_xdata()) == [0.1, 0.1]
    del attributes["arousal"]
    assert drawn(draw_explained, {"attributes": attributes})[1] == ["No attribute has labels that\ndiffer."]
    assert drawn(draw_explained, {"attributes": {}})[1] == ["No chunk has an attribute."]


def test_epochs_have_a_line_each_for_labelled_unlabelled_and_dev():
    nmi = [
        {"epoch": 1, "nmi_labelled": None, "nmi_unlabelled": None},
        {"epoch": 2, "nmi_labelled": 0.0, "nmi_unlabelled": None},
        {"epoch": 3, "nmi_labelled": 0.6, "nmi_unlabelled": None},
    ]
    (upper, lower), texts, remark, _ = drawn(draw_epochs, nmi, [0.1, None, 0.3])
    (line,) = upper.lines
    assert line.get_label() == "labelled chunks"
    assert [line.get_xdata().tolist(), line.get_ydata().tolist()] == [[2, 3], [0.0, 0.6]]
    assert matplotlib.colors.to_hex(line.get_color()) != matplotlib.colors.to_hex(lower.lines[0].get_color())
    assert [lower.lines[0].get_xdata().tolist(), lower.lines[0].get_ydata().tolist()] == [[1, 3], [0.1, 0.3]]
    assert upper.get_xlim() == lower.get_xlim() == (0.5, 3.5) and texts == [] and remark.startswith("NMI: 1 where")
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "epoch")


@pytest.mark.parametrize(("history", "labelled"), [([0.2], ["", "epoch"]), ([], ["", ""])])
def test_epochs_without_agreement_or_score_say_so(history, labelled):
    axes, texts, remark, _ = drawn(draw_epochs, [{"epoch": 1, "nmi_labelled": None, "nmi_unlabelled": None}], history)
    told = "There is no NMI, which compares\nthe clusters of two epochs."
    assert texts == [told] + ["There is no dev score."] * (not history) and remark == ""
    assert [one.get_xlabel() for one in axes] == labelled
