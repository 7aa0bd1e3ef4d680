"""What panels have in common: names and numbers as they are shown."""

import pytest
from matplotlib.figure import Figure

from sertool.core.clustering.panel_parts import largest, percent, plain, told, width_inches, wrapped


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("anger", "anger"),
        ("disappointment and resignation", "disappointment and…"),
        ("$5", r"\$5"),
        ("x" * 20, "x" * 20),
    ],
)
def test_long_names_are_cut_and_no_sign_begins_a_formula(name, shown):
    assert plain(name) == shown


def test_numbers_have_a_minus_and_a_plus_where_asked():
    assert [told(-0.071), told(2.0), told(0.25, 1, "+"), told(-3.0, 1, "+")] == ["−0.07", "2.00", "+0.2", "−3.0"]


def test_the_largest_come_in_rising_order_and_the_first_of_equals_first():
    assert largest([5, 1, 7]) == [0, 1, 2]
    assert largest([1] * 40) == list(range(30))
    assert largest([*[1] * 40, 2]) == [*range(29), 40]


@pytest.mark.parametrize(("reach", "highest"), [(0.004, 0.0052), (0.4, 0.52), (1.0, 1.0)])
def test_shares_are_told_as_per_cent_and_never_beyond_a_hundred(reach, highest):
    axes = Figure().subplots()
    percent(axes, reach)
    assert 2 <= len(axes.get_xticks()) <= 6 and max(axes.get_xticks()) <= highest + 1e-9
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"{100 * tick:g}%" for tick in axes.get_xticks()]
    assert axes.get_xlim()[1] > reach


def test_text_fits_the_width_it_is_given():
    figure = Figure(figsize=(6, 2), dpi=72)
    place = figure.subfigures(1, 2)[0]
    assert width_inches(place) == pytest.approx(3.0)
    lines = wrapped("neighbouring chunks of a sentence " * 5, 3.0, 8.0, "bold")
    text = place.text(0, 0.5, lines, fontsize=8.0, fontweight="bold")
    assert "\n" in lines and 0.7 * 216 < text.get_window_extent().width < 216
