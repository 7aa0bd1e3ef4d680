"""Both maps show every chunk drawn, in its own colour and shape, and numbers that do not lie on each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sertool.core.clustering.map_panels import draw_clusters_on_map, draw_emotions_on_map, spread
from sertool.core.clustering.panel_parts import COLOURS, MARKERS, look


def analysis(clusters: list[int], categories: list[int | None], attributes: dict | None = None, **changed) -> dict:
    points = np.random.default_rng(0).normal(size=(len(clusters), 2)).tolist()
    found = {"method": "t-SNE", "why": None, "points": points, "clusters": clusters}
    found |= {"categories": categories, "attributes": attributes or {}} | changed
    names = ["anger", "fear", "joy"]
    known = any(one is not None for one in categories)
    return {"chunks": 9000, "map": found, "categories": {"names": names} if known else None}


def drawn(draw, found: dict):
    place = Figure(figsize=(4, 4)).subfigures()
    draw(place, found)
    return place


def shown(axes) -> dict[tuple[float, float], str]:
    """Return the colour of every point."""
    points = {}
    for collection in axes.collections:
        colours = collection.get_facecolors()
        for place, (x, y) in enumerate(collection.get_offsets().tolist()):
            points[x, y] = to_hex(colours[place % len(colours)], keep_alpha=False)
    return points


def expected(found: dict, colours: list[str]) -> dict[tuple[float, float], str]:
    places = map(tuple, found["map"]["points"])
    return {place: to_hex(colour) for place, colour in zip(places, colours, strict=True)}


def test_thirty_two_clusters_differ_in_colour_or_shape():
    assert len({look(cluster) for cluster in range(32)}) == 32 == len(COLOURS) * len(MARKERS)


def test_chunks_have_the_colour_of_their_cluster_which_has_its_number():
    clusters = [0, 9, 9, 4, 0, 9] * 3
    found = analysis(clusters, [None] * 18)
    place = drawn(draw_clusters_on_map, found)
    (axes,) = place.axes
    assert shown(axes) == expected(found, [look(cluster)[0] for cluster in clusters])
    assert sorted(text.get_text() for text in axes.texts) == ["0", "4", "9"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "4", "9"]
    assert place.get_supxlabel().startswith("18 of 9,000 chunks, laid out by t-SNE")


def test_a_cluster_s_number_stands_amid_its_points():
    points = [[0.0, 0.0], [1.0, 9.0], [0.4, 1.0], [8.0, 4.0], [9.0, 5.0], [10.0, 6.0]]
    (axes,) = drawn(draw_clusters_on_map, analysis([3, 3, 3, 1, 1, 1], [None] * 6, points=points)).axes
    where = {text.get_text(): text.get_position() for text in axes.texts}
    assert where == {"3": pytest.approx((0.4, 1.0), abs=1e-3), "1": pytest.approx((9.0, 5.0), abs=1e-3)}


def test_of_many_clusters_the_largest_have_numbers_and_none_a_legend():
    clusters = [*range(40), *range(5, 35)]
    place = drawn(draw_clusters_on_map, analysis(clusters, [None] * 70))
    assert sorted(int(text.get_text()) for text in place.axes[0].texts) == list(range(5, 35))
    assert place.axes[0].get_legend() is None and "numbers on the 30 largest" in place.get_supxlabel().replace(
        "\n", " "
    )


def test_the_second_map_has_the_colours_of_categories():
    found = analysis([0, 1, 2, 3], [2, None, 0, 2], {"arousal": [1.0, 2.0, 3.0, 4.0]})
    (axes,) = drawn(draw_emotions_on_map, found).axes
    assert shown(axes) == expected(found, [COLOURS[2], "0.8", COLOURS[0], COLOURS[2]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no label", "anger", "joy"]


def test_without_categories_it_has_the_levels_of_arousal():
    levels = {"valence": [1.0, 2.0, 3.0, 4.0], "arousal": [6.0, None, 2.0, 4.0]}
    place = drawn(draw_emotions_on_map, analysis([0, 1, 2, 3], [None] * 4, levels))
    axes, bar = place.axes
    grey, coloured = axes.collections
    assert len(grey.get_offsets()) == 1 and coloured.get_array().tolist() == [6.0, 2.0, 4.0]
    assert bar.get_xlabel() == "arousal" and place.get_supxlabel() == "Grey: no label."
    assert "the arousal they" in place.get_suptitle().replace("\n", " ")


def test_where_there_is_nothing_to_show_they_say_why():
    nothing = analysis([], [], method=None, why="there is one chunk alone")
    for draw in (draw_clusters_on_map, draw_emotions_on_map):
        (text,) = drawn(draw, nothing).axes[0].texts
        assert text.get_text().replace("\n", " ") == "There is no map: there is one chunk alone."
    unknown = analysis([0, 1], [None, None], {"arousal": [None, None]})
    assert "No chunk has a category" in drawn(draw_emotions_on_map, unknown).axes[0].texts[0].get_text()
    few = drawn(draw_clusters_on_map, analysis([0, 1], [None, None], method="PCA"))
    assert "principal components" in few.get_supxlabel()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=30))
def test_numbers_are_moved_apart(places):
    moved = spread(np.array(places), np.array([3.4, 3.0]), apart=0.19)
    distance = np.hypot(*(moved[:, None] - moved[None]).transpose(2, 0, 1)) + np.eye(len(moved))
    assert distance.min() > 0.17
    assert (moved > 0).all() and (moved < [3.4, 3.0]).all()


def test_numbers_that_are_apart_stay():
    places = np.array([[1.0, 1.0], [1.0, 1.21], [2.0, 2.0]])
    np.testing.assert_allclose(spread(places, np.array([3.0, 3.0]), apart=0.2), places, atol=1e-5)


@pytest.mark.parametrize("count", [1, 30])
def test_numbers_at_one_place_part(count):
    moved = spread(np.ones((count, 2)), np.array([3.4, 3.0]), apart=0.19)
    distance = np.hypot(*(moved[:, None] - moved[None]).transpose(2, 0, 1)) + np.eye(count)
    assert distance.min() > 0.17
