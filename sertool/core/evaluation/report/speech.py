"""The page's part on speech: how good it is before and after enhancement."""

from typing import Any

from sertool.core.evaluation.report.charts import Chart, Series, condition_axis, draw, nice_axis
from sertool.core.evaluation.report.emotion import condition_name
from sertool.core.evaluation.report.markup import (
    Cell,
    Html,
    bullets,
    details,
    facts,
    join,
    paragraph,
    section,
    table,
    tag,
)
from sertool.core.evaluation.report.words import (
    MEANINGS,
    NONE,
    change,
    enhances,
    measure_name,
    measure_value,
    measures_of,
)
from sertool.core.evaluation.tables import MEASURES

SIGNALS = (("unprocessed", "before"), ("enhanced", "after"))


LEADING = ("pesq_wb", "estoi", "si_sdr")
CURVES = 3
"""Measures shown as curves at once, these first; the others on demand."""


def speech(document: dict[str, Any]) -> Html | None:
    """Return the measures of speech by condition, as curves and a table; None where none was taken."""
    measures = measures_of(document)
    records = [record for record in document["conditions"] if record.get("speech")]
    if not records:
        return None
    after = enhances(document)
    leading = sorted(measures, key=lambda name: name not in LEADING)
    charts = [chart for chart in (_curve(records, measure, after=after) for measure in leading) if chart]
    told = (
        "How good speech is in the mixture, and what enhancement makes of it."
        if after
        else "How good speech is as it is heard; nothing was enhanced."
    )
    parts: list[Any] = [
        paragraph(told, " More is better in every measure; small changes can be heard by nobody."),
        _charts(charts[:CURVES]),
        _means(records, measures, after=after),
        details("More measures as curves", _charts(charts[CURVES:])) if charts[CURVES:] else "",
        details(
            "What the measures say", facts((measure_name(name), f"{MEANINGS.get(name, NONE)}.") for name in measures)
        ),
    ]
    if missing := _unscored(records, measures):
        parts.append(details("Utterances without a score, and why", bullets(missing)))
    return section("speech", "Speech before and after" if after else "Speech as it is heard", *parts)


def _charts(charts: list[Chart]) -> Html:
    return tag("div", *(tag("div", draw(chart)) for chart in charts), class_="charts")


def _curve(records: list[dict[str, Any]], measure: str, *, after: bool) -> Chart | None:
    x, places = condition_axis([(record["condition"], record["snr_db"]) for record in records])
    ordered = sorted(records, key=lambda record: places[record["condition"]])
    series, values, told = [], [], []
    for look, (signal, name) in ((1, SIGNALS[0]), (0, SIGNALS[1])):
        means = [(places[record["condition"]], _mean(record, measure, signal)) for record in ordered]
        scored = [value for _, value in means if value is not None]
        if not scored or (signal == "enhanced" and not after):
            continue
        values += scored
        series.append(Series(name, means, look))
        told.append(f"{name}: {', '.join(measure_value(measure, value) for _, value in means if value is not None)}")
    if not values:
        return None
    title = measure_name(measure)
    described = f"From the most noise to the least, {'; '.join(told)}."
    return Chart(f"speech-{measure.replace('_', '-')}", title, described, x, nice_axis(title, values), series)


def _means(records: list[dict[str, Any]], measures: list[str], *, after: bool) -> Html:
    rows = []
    for record in records:
        row: list[Any] = [condition_name(record["condition"])]
        for measure in measures:
            means = [_mean(record, measure, signal) for signal, _ in SIGNALS]
            if not after or means[1] is None:
                row.append(measure_value(measure, means[0]))
                continue
            digits = MEASURES[measure][1] if measure in MEASURES else 3
            difference = (record["speech"][measure].get("difference") or {}).get("mean")
            small = tag("small", change(difference, digits) if difference is not None else "no pair")
            row.append(Cell(join([f"{measure_value(measure, means[0])} → {measure_value(measure, means[1])}", small])))
        rows.append(row)
    caption = "Means before → after, and beneath them the change" if after else "Means"
    return table(
        caption,
        ["Condition", *map(measure_name, measures)],
        rows,
        look="measures",
        label="Speech measures by condition",
    )


def _unscored(records: list[dict[str, Any]], measures: list[str]) -> list[str]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        for measure in measures:
            for signal, name in SIGNALS:
                reasons = (record["speech"].get(measure) or {}).get(signal, {}).get("unscored") or {}
                for reason, number in reasons.items():
                    found.setdefault((measure_name(measure), name, reason), []).append(
                        f"{number:,} in {condition_name(record['condition'])}"
                    )
    return [f"{measure}, {name}: {', '.join(places)}: {reason}." for (measure, name, reason), places in found.items()]


def _mean(record: dict[str, Any], measure: str, signal: str) -> float | None:
    return ((record["speech"].get(measure) or {}).get(signal) or {}).get("mean")
