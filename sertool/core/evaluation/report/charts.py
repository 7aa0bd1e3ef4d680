"""Charts as inline SVG: drawn in the page's own colours, told apart by marker and dash as well, and described in words.

Every chart stands beside a table with the same numbers: a chart is a picture with a name and a description to a screen
reader, not the only place of anything.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sertool.core.evaluation.report.markup import Html, join, tag

WIDTH, HEIGHT = 360, 210
"""Of the plotted part with its axes, in units that are about a pixel on a phone."""

LEFT, RIGHT, TOP, BOTTOM = 46, 22, 8, 40

LEGEND_LINE = 18

LOOKS = 4
"""Colours, markers and dashes there are; see `.look-1` and so on in the style sheet."""

MOST_TICKS = 7

MOST_POINTS = 120
"""Points of a line; of more, every second or third, and always the last."""

LONGEST_NAME = 44
"""Characters of a name in a legend; of a longer one, the end is left out."""


@dataclass(frozen=True)
class Axis:
    """A numbered axis: what it shows, its ends, and where it says what."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        name: in the legend.
        points: (x, y); a point with y None interrupts the line.
        look: from 0; colour, marker and dash.
        intervals: (x, low, high), drawn as a bar with ends.
        joined: whether a line joins the points.
        small: whether markers are small, for there are many.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    look: int = 0
    intervals: Sequence[tuple[float, float, float]] = ()
    joined: bool = True
    small: bool = False


@dataclass(frozen=True)
class Chart:
    """What a chart shows.

    Attributes:
        anchor: unlike that of any other chart on the page.
        title: its name.
        description: what can be seen, in words.
        x: lower axis.
        y: left axis.
        series: at least one.
        lines: thin lines from point to point, each with what the legend calls it: chance, a diagonal.
        bold: whether these are drawn boldly, over the points.
    """

    anchor: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    lines: Sequence[tuple[str, tuple[float, float], tuple[float, float]]] = ()
    bold: bool = False


def nice_axis(label: str, values: Sequence[float], *, zero: bool = False, digits: int | None = None) -> Axis:
    """Return an axis in round steps that holds all values.

    Args:
        label: what it shows.
        values: at least one.
        zero: whether 0 must be on it.
        digits: decimals of its numbers; as many as the step has where it is not given.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _nice_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if digits is None else digits
    ticks = tuple((place * step, _signed(place * step, digits)) for place in range(first, last + 1))
    return Axis(label, first * step, last * step, ticks)


def percent_axis(label: str, values: Sequence[float]) -> Axis:
    """Return an axis of shares from 0 up to the next tenth above the highest value, at most 100 %."""
    top = min(10, max(1, math.ceil(10 * max(values, default=1.0) - 1e-9)))
    step = 1 if top <= 4 else 2
    top += top % step
    return Axis(label, 0.0, top / 10, tuple((place / 10, f"{10 * place} %") for place in range(0, top + 1, step)))


def condition_axis(conditions: Sequence[tuple[str, float | None]]) -> tuple[Axis, dict[str, float]]:
    """Return an axis of SNRs from the noisiest on the left to clean speech on the right, and each condition's place.

    SNRs stand at their distances in dB. Clean speech has none: it stands a little apart.

    Args:
        conditions: (name, SNR in dB or None), each name once.
    """
    snrs = sorted({snr for _, snr in conditions if snr is not None})
    low, high = (snrs[0], snrs[-1]) if snrs else (0.0, 0.0)
    gap = max((high - low) / max(len(snrs) - 1, 1), 1.0) if len(snrs) > 1 else 1.0
    places = {name: high + gap if snr is None else snr for name, snr in conditions}
    ends = list(places.values()) or [0.0]
    margin = 0.06 * (max(ends) - min(ends)) or 0.5
    span = max(ends) - min(ends) + 2 * margin
    ticks: list[tuple[float, str]] = []
    for name, place in sorted(places.items(), key=lambda item: -item[1]):
        # From the right, so that "clean" always has its word; of SNRs too close together, some have none.
        if not ticks or ticks[-1][0] - place >= span / MOST_TICKS * 0.7:
            ticks.append((place, name.replace("about ", "≈ ").replace("-", "−").removesuffix(" dB")))
    return Axis("SNR in dB; more noise on the left", min(ends) - margin, max(ends) + margin, tuple(ticks)), places


def draw(chart: Chart) -> Html:
    """Return a chart as an SVG element."""
    names = [(series.name, series.look, series.joined) for series in chart.series if series.name]
    # The name of the left axis stands above it, where it can be read without turning one's head.
    head = LEGEND_LINE * (1 + len(names) + len([name for name, *_ in chart.lines if name]))
    frame = _Frame(chart.x, chart.y, head + TOP)
    offsets = _offsets(chart.series)
    return tag(
        "svg",
        tag("title", chart.title, id=f"{chart.anchor}-title"),
        tag("desc", chart.description, id=f"{chart.anchor}-desc"),
        _legend(names, chart),
        _axes(frame),
        tag("text", chart.y.label, x="4", y=head - 5.0, class_="label"),
        *(_series(frame, series, offset) for series, offset in zip(chart.series, offsets, strict=True)),
        *(_straight(frame, start, end, bold=chart.bold) for _, start, end in chart.lines),
        viewBox=f"0 0 {WIDTH} {HEIGHT + head}",
        role="img",
        aria_labelledby=f"{chart.anchor}-title {chart.anchor}-desc",
        class_="chart",
    )


@dataclass(frozen=True)
class _Frame:
    """Where values lie in the picture."""

    x: Axis
    y: Axis
    top: float

    @property
    def bottom(self) -> float:
        return self.top + HEIGHT - TOP - BOTTOM

    def across(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x.low) / (self.x.high - self.x.low)

    def up(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * (value - self.y.low) / (self.y.high - self.y.low)


def _legend(names: Sequence[tuple[str, int, bool]], chart: Chart) -> Html:
    parts, y = [], 12.0
    for name, look, joined in names:
        sample = tag("path", d=f"M4 {y - 4:g}H34", class_="line") if joined else ""
        parts.append(tag("g", sample, _marker(19.0, y - 4, look), class_=f"look-{look % LOOKS + 1}"))
        parts.append(tag("text", _cut(name), x="42", y=y, class_="key"))
        y += LEGEND_LINE
    for name, *_ in chart.lines:
        if name:
            parts.append(tag("path", d=f"M4 {y - 4:g}H34", class_="bold" if chart.bold else "thin"))
            parts.append(tag("text", _cut(name), x="42", y=y, class_="key"))
            y += LEGEND_LINE
    return join(parts)


def _axes(frame: _Frame) -> Html:
    parts = []
    for value, name in frame.y.ticks:
        y = frame.up(value)
        parts.append(tag("path", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", class_="grid"))
        parts.append(tag("text", name, x=float(LEFT - 6), y=y + 4, text_anchor="end"))
    for value, name in frame.x.ticks:
        x = frame.across(value)
        parts.append(tag("path", d=f"M{x:.1f} {frame.bottom:.1f}v4", class_="tick"))
        parts.append(tag("text", name, x=x, y=frame.bottom + 17, text_anchor="middle"))
    parts.append(tag("path", d=f"M{LEFT} {frame.bottom:.1f}H{WIDTH - RIGHT}", class_="tick"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(tag("text", frame.x.label, x=middle, y=frame.bottom + 34, text_anchor="middle"))
    return join(parts)


def _straight(frame: _Frame, start: tuple[float, float], end: tuple[float, float], *, bold: bool) -> Html:
    (x1, y1), (x2, y2) = ((frame.across(x), frame.up(y)) for x, y in (start, end))
    return tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_="bold" if bold else "thin")


def _series(frame: _Frame, series: Series, offset: float) -> Html:
    places = [None if y is None else (frame.across(x) + offset, frame.up(y)) for x, y in _thinned(series.points)]
    parts = []
    if series.joined:
        path, pen = "", "M"
        for place in places:
            if place is not None:
                path += f"{pen}{place[0]:.1f} {place[1]:.1f}"
            pen = "M" if place is None else "L"
        parts.append(tag("path", d=path, class_="line") if path else "")
    for x, low, high in series.intervals:
        across = frame.across(x) + offset
        top, bottom = frame.up(high), frame.up(low)
        bar = f"M{across:.1f} {bottom:.1f}V{top:.1f}M{across - 4:.1f} {top:.1f}h8M{across - 4:.1f} {bottom:.1f}h8"
        parts.append(tag("path", d=bar, class_="whisker"))
    # Of a line of many points a marker each would hide it.
    marked = places if len(places) <= 30 or not series.joined else places[:: max(1, len(places) // 8)]
    scale = 0.7 if series.small else 1.0
    parts += [_marker(*place, series.look, scale) for place in marked if place is not None]
    return tag("g", *parts, class_=f"look-{series.look % LOOKS + 1}")


def _marker(x: float, y: float, look: int, scale: float = 1.0) -> Html:
    shape, r = look % LOOKS, 4.0 * scale
    if shape == 0:
        return tag("circle", cx=x, cy=y, r=r, class_="marker")
    far = 1.4 * r
    paths = (
        f"M{x - r:.1f} {y - r:.1f}h{2 * r:.1f}v{2 * r:.1f}h{-2 * r:.1f}z",
        f"M{x:.1f} {y - 1.25 * r:.1f}l{1.25 * r:.1f} {2.2 * r:.1f}h{-2.5 * r:.1f}z",
        f"M{x:.1f} {y - far:.1f}l{far:.1f} {far:.1f}l{-far:.1f} {far:.1f}l{-far:.1f} {-far:.1f}z",
    )
    return tag("path", d=paths[shape - 1], class_="marker")


def _offsets(series: Sequence[Series]) -> list[float]:
    """Return how far each series is moved aside so that bars of the same condition do not cover each other."""
    if not any(one.intervals for one in series):
        return [0.0] * len(series)
    return [6.0 * (place - (len(series) - 1) / 2) for place in range(len(series))]


def _thinned(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    step = -(-len(points) // MOST_POINTS) or 1
    kept = list(points[::step])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def _nice_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(nice * power for nice in (1, 2, 5, 10) if nice * power >= rough * 0.999)


def _signed(value: float, digits: int) -> str:
    return (
        f"{value + 0.0:.{digits}f}".replace("-0", "0", 1).replace("-", "−")
        if not value
        else f"{value:.{digits}f}".replace("-", "−")
    )


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
