"""The picture shows the numbers of the overlaps, each at its layer."""

import numpy as np
import pytest

from sertool.core.models.mask_overlap import Overlap
from sertool.core.models.mask_picture import MOST_LINES, MOST_TICKS, Pair, overlap_figure


def layer(where: str, both: int, dropped: tuple[int, int] = (20, 20)) -> Overlap:
    return Overlap("layer", where, 100, dropped, both, 4.0, 2.6)


def pair(count: int = 12, first: int = 0) -> Pair:
    return Pair((f"a{first}", "b"), tuple(layer(str(i), 4 + (first + i) % 12) for i in range(first, count)))


def test_a_line_a_pair_with_chance_beside_it():
    pairs = [pair(), pair(first=2)]
    left, right = overlap_figure(pairs).axes
    for axes, name in ((left, "phi"), (right, "jaccard")):
        lines = [line for line in axes.get_lines() if line.get_marker() == "o"]
        for line, shown in zip(lines, pairs, strict=True):
            expected = [np.nan] * (12 - len(shown.layers)) + [getattr(one, name) for one in shown.layers]
            np.testing.assert_array_equal(line.get_ydata(), expected)
    by_chance = [line for line in right.get_lines() if line.get_linestyle() == ":"]
    np.testing.assert_allclose(by_chance[0].get_ydata(), 4 / 36)
    band = right.collections[0].get_datalim(right.transData)
    np.testing.assert_allclose([band.y0, band.y1], pairs[0].layers[0].jaccard_interval)


def test_a_row_a_pair_where_there_are_many_of_them():
    pairs = [pair(first=i) for i in range(MOST_LINES + 1)]
    left, right = overlap_figure(pairs).axes[:2]
    cells = left.images[0].get_array()
    assert cells.shape == (MOST_LINES + 1, 12) and cells.mask[1, 0] and not cells.mask[0].any()
    np.testing.assert_allclose(cells[0], [one.phi for one in pairs[0].layers])
    expected = [one.jaccard - one.jaccard_by_chance for one in pairs[0].layers]
    np.testing.assert_allclose(right.images[0].get_array()[0], expected)
    assert [label.get_text() for label in left.get_yticklabels()] == [shown.title for shown in pairs]


@pytest.mark.parametrize("layers", [1, 12, 24, 48])
def test_layers_stand_in_order_and_are_not_crowded(layers):
    mixed = Pair(("a", "b"), tuple(reversed(pair(layers).layers)))
    for axes in overlap_figure([mixed]).axes:
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == [str(round(tick)) for tick in axes.get_xticks()] and 1 <= len(labels) <= MOST_TICKS


def test_a_layer_that_drops_nothing_has_no_point():
    nothing = Pair(("a", "b"), (layer("0", 0, (0, 0)), layer("1", 5)))
    for axes in overlap_figure([nothing]).axes:
        assert np.isnan(axes.get_lines()[0].get_ydata()[0]) and not np.isnan(axes.get_lines()[0].get_ydata()[1])
    assert overlap_figure([nothing] * 7).axes[0].images[0].get_array().mask[0].tolist() == [True, False]
