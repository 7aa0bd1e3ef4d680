"""Charts: points lie where their values are, and what cannot be drawn is left out."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from sertool.core.evaluation.report.charts import (
    HEIGHT,
    MOST_POINTS,
    WIDTH,
    Axis,
    Chart,
    Series,
    condition_axis,
    draw,
    nice_axis,
    percent_axis,
)

UNIT = Axis("x", 0.0, 1.0, ((0.0, "0"), (1.0, "1")))


def drawn(series, **more) -> ElementTree.Element:
    return ElementTree.fromstring(draw(Chart("a", "Title <", "What & why.", UNIT, UNIT, series, **more)))


def markers(svg, look: int = 1) -> list[tuple[float, float]]:
    group = [one for one in svg.iter("g") if one.get("class") == f"look-{look}"][-1]
    return [(float(one.get("cx")), float(one.get("cy"))) for one in group.iter("circle")]


def test_a_chart_says_what_it_is():
    svg = drawn([Series("a", [(0.0, 0.0)])])
    assert svg.get("role") == "img"
    named = svg.get("aria-labelledby").split()
    assert [svg.find(f"*[@id='{one}']").text for one in named] == ["Title <", "What & why."]


def test_points_lie_where_their_values_are():
    (x0, y0), (x1, y1), (xm, ym) = markers(drawn([Series("a", [(0.0, 0.0), (1.0, 1.0), (0.25, 0.75)])]))
    assert x0 < x1 and y0 > y1
    assert xm == pytest.approx(x0 + (x1 - x0) / 4, abs=0.02)
    assert ym == pytest.approx(y0 + 3 * (y1 - y0) / 4, abs=0.02)


def test_a_missing_value_interrupts_the_line():
    svg = drawn([Series("a", [(0.0, 0.2), (0.5, None), (0.7, 0.3), (1.0, 0.4)])])
    (path,) = (one.get("d") for one in svg.iter("path") if one.get("class") == "line" and "L" in one.get("d"))
    assert path.count("M") == 2 and path.count("L") == 1
    assert len(markers(svg)) == 3


def test_an_interval_reaches_from_its_low_to_its_high_end():
    svg = drawn([Series("a", [(0.5, 0.5)], intervals=[(0.5, 0.25, 0.75)])])
    (bar,) = (one.get("d") for one in svg.iter("path") if one.get("class") == "whisker")
    low, high = map(float, re.match(r"M[\d.]+ ([\d.]+)V([\d.]+)", bar).groups())
    ((_, y),) = markers(svg)
    assert low - y == pytest.approx(y - high, abs=0.11) and low > high
    (_, y0), (_, y1) = markers(drawn([Series("a", [(0.5, 0.25), (0.5, 0.75)])]))
    assert (low, high) == (pytest.approx(y0, abs=0.1), pytest.approx(y1, abs=0.1))


def test_bars_of_several_series_do_not_cover_each_other():
    two = [Series(name, [(0.5, 0.5)], look, [(0.5, 0.4, 0.6)]) for look, name in enumerate("ab")]
    bars = [one.get("d").split()[0] for one in drawn(two).iter("path") if one.get("class") == "whisker"]
    assert len(set(bars)) == 2


def test_series_differ_in_marker_as_well_as_colour():
    svg = drawn([Series(str(look), [(0.5, 0.5)], look) for look in range(4)])
    shapes = set()
    for look in range(1, 5):
        group = [one for one in svg.iter("g") if one.get("class") == f"look-{look}"][-1]
        (marker,) = (one for one in group if one.get("class") == "marker")
        shapes.add(marker.tag if marker.tag == "circle" else re.sub(r"M\S+ \S+?(?=[hl])", "", marker.get("d")))
    assert len(shapes) == 4


def test_of_a_long_line_points_are_left_out_but_not_its_last():
    points = [(place / 999, place / 999) for place in range(1000)]
    svg = drawn([Series("a", points)])
    path = max((one.get("d") for one in svg.iter("path") if one.get("class") == "line"), key=len)
    assert 60 < path.count("L") <= MOST_POINTS + 1
    assert path.endswith(path.split("L")[-1]) and float(path.split("L")[-1].split()[0]) == pytest.approx(WIDTH - 22)


def test_everything_lies_inside_the_picture():
    svg = drawn([Series("a" * 100, [(0.0, 0.0), (1.0, 1.0)])], lines=[("guessing", (0.0, 0.5), (1.0, 0.5))])
    width, height = map(float, svg.get("viewBox").split()[2:])
    assert (width, height) == (WIDTH, HEIGHT + 3 * 18)
    for x, y in markers(svg):
        assert 0 < x < width and 0 < y < height
    assert max(len(one.text or "") for one in svg.iter("text")) <= 44


@given(lists(floats(-1e4, 1e4), min_size=1, max_size=8))
def test_a_nice_axis_holds_all_values_in_a_few_round_steps(values):
    axis = nice_axis("score", values)
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert axis.low - slack <= min(values) and max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 8
    assert axis.low < axis.high


def test_ticks_are_written_as_numbers_are():
    assert [name for _, name in nice_axis("", [-5.0, 20.0]).ticks] == ["−10", "0", "10", "20"]
    assert [name for _, name in nice_axis("", [1.1, 1.3], digits=2).ticks] == ["1.10", "1.15", "1.20", "1.25", "1.30"]
    assert nice_axis("", [2.0, 3.0], zero=True).low == 0.0


@pytest.mark.parametrize(("values", "high"), [([0.38], 0.4), ([0.41], 0.6), ([1.0], 1.0), ([0.0], 0.1), ([], 1.0)])
def test_an_axis_of_shares_starts_at_0(values, high):
    axis = percent_axis("UA", values)
    assert (axis.low, axis.high) == (0.0, high)
    assert axis.ticks[-1][0] == pytest.approx(high, abs=1e-9)


def test_snrs_stand_at_their_distances_and_clean_speech_last():
    axis, places = condition_axis([("clean", None), ("20 dB", 20.0), ("0 dB", 0.0), ("-5 dB", -5.0)])
    assert places["20 dB"] - places["0 dB"] == pytest.approx(4 * (places["0 dB"] - places["-5 dB"]))
    assert places["clean"] > places["20 dB"]
    assert [name for _, name in sorted(axis.ticks)] == ["−5", "0", "20", "clean"]
    assert axis.low < -5 and axis.high > places["clean"]


@pytest.mark.parametrize("conditions", [[("clean", None)], [("0 dB", 0.0)], []])
def test_few_conditions_have_an_axis_too(conditions):
    axis, places = condition_axis(conditions)
    assert axis.low < axis.high and len(places) == len(conditions)


def test_of_snrs_close_together_not_all_are_written():
    axis, places = condition_axis([("clean", None), *((f"{snr} dB", float(snr)) for snr in range(40))])
    assert len(places) == 41 and len(axis.ticks) < 12
    assert "clean" in [name for _, name in axis.ticks]
