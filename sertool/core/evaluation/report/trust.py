"""The page's part on confidence: whether probabilities mean what they say, and what declining to answer gains."""

from typing import Any

from sertool.core.evaluation.report.charts import Axis, Chart, Series, draw, percent_axis
from sertool.core.evaluation.report.emotion import condition_name
from sertool.core.evaluation.report.markup import Html, details, paragraph, section, table, tag
from sertool.core.evaluation.report.words import in_condition, number, percent, telling_conditions

SHARES = tuple((place / 5, f"{20 * place} %") for place in range(6))


def trust(document: dict[str, Any]) -> Html | None:
    """Return calibration, accuracy against coverage, and agreement with clean speech; None where there is none."""
    parts = [part for part in (_calibration(document), _selective(document), _agreement(document)) if part]
    if not parts:
        return None
    return section("trust", "How far it can be trusted", *(piece for part in parts for piece in part))


def _calibration(document: dict[str, Any]) -> list[Html] | None:
    records = [record for record in document["conditions"] if (record.get("calibration") or {}).get("n")]
    if not records:
        return None
    told = (
        "A model that says 70 % should be right 70 % of the time: its line then follows the diagonal. Below it, the "
        "model is surer than it should be. ECE is the mean distance from the diagonal, MCE the largest; the Brier "
        "score, from 0 to 2, is better the smaller."
    )
    shown = telling_conditions({"conditions": records}, "calibration")
    series = [Series(_named(record), _reliability(record), look) for look, record in enumerate(shown)]
    axis = Axis("", 0.0, 1.0, SHARES)
    described = "; ".join(f"{record['condition']}: ECE {percent(record['calibration']['ece'])}" for record in shown)
    chart = Chart(
        "reliability",
        "Reliability: how often it is right, by how sure it says it is",
        f"{described}.",
        Axis("how sure it says it is", axis.low, axis.high, SHARES),
        Axis("how often it is right", axis.low, axis.high, SHARES),
        series,
        [("as sure as it should be", (0.0, 0.0), (1.0, 1.0))],
    )
    rows = [
        [
            condition_name(record["condition"]),
            percent(record["calibration"]["ece"]),
            percent(record["calibration"]["mce"]),
            number(record["calibration"]["brier"]),
            f"{record['calibration']['n']:,}",
        ]
        for record in records
    ]
    scores = table("Calibration", ["Condition", "ECE", "MCE", "Brier", "Utterances"], rows)
    bins = details("The numbers of the diagram", *(_bins(record) for record in shown))
    return [
        tag("h3", "Does it know how sure it may be?"),
        paragraph(told),
        tag("div", draw(chart), scores, class_="beside"),
        bins,
    ]


def _reliability(record: dict[str, Any]) -> list[tuple[float, float]]:
    bins = record["calibration"].get("bins") or []
    return [(one["confidence"], one["accuracy"]) for one in bins if one["n"] and one["accuracy"] is not None]


def _bins(record: dict[str, Any]) -> Html:
    rows = [
        [
            f"{100 * one['low']:.0f}–{100 * one['high']:.0f} %",
            percent(one["confidence"]),
            percent(one["accuracy"]),
            f"{one['n']:,}",
        ]
        for one in record["calibration"].get("bins") or []
        if one["n"]
    ]
    caption = f"Sure and right {in_condition(record['condition'])}"
    return table(caption, ["Says it is sure", "on average", "Right", "Utterances"], rows)


def _selective(document: dict[str, Any]) -> list[Html] | None:
    records = [record for record in document["conditions"] if (record.get("selective") or {}).get("coverage")]
    if not records:
        return None
    told = (
        "If the model answers only where it is surest, and declines the rest, more of its answers should be right. "
        "AURC sums this up: the share of wrong answers, averaged over all such choices."
    )
    shown = telling_conditions({"conditions": records}, "selective")
    curves = {
        id(record): list(zip(record["selective"]["coverage"], record["selective"]["accuracy"], strict=True))
        for record in records
    }
    series = [Series(_named(record), sorted(curves[id(record)]), look) for look, record in enumerate(shown)]
    values = [accuracy for record in shown for _, accuracy in curves[id(record)] if accuracy is not None]
    described = "; ".join(
        f"{record['condition']}: {percent(_at(curve, 1.0))} of all, {percent(_at(curve, 0.5))} of the surest half"
        for record, curve in ((record, curves[id(record)]) for record in shown)
    )
    chart = Chart(
        "coverage",
        "Accuracy against the share of utterances answered",
        f"{described}.",
        Axis("share answered, the surest first", 0.0, 1.0, SHARES),
        percent_axis("right among these", values),
        series,
    )
    levels = (1.0, 0.8, 0.5, 0.2)
    rows = [
        [
            condition_name(record["condition"]),
            *(percent(_at(curves[id(record)], level)) for level in levels),
            number(record["selective"].get("aurc")),
        ]
        for record in records
    ]
    head = ["Condition", "all", *(f"{100 * level:.0f} %" for level in levels[1:]), "AURC"]
    scores = table("Right among those answered, by the share answered", head, rows)
    return [tag("h3", "What if it may decline?"), paragraph(told), tag("div", draw(chart), scores, class_="beside")]


def _at(curve: list[tuple[float, float]], level: float) -> float | None:
    """Return the accuracy at a coverage; None where none near it is among the curve's."""
    coverage, accuracy = min(curve, key=lambda point: abs(point[0] - level))
    return accuracy if abs(coverage - level) < 0.051 else None


def _agreement(document: dict[str, Any]) -> list[Html] | None:
    records = [record for record in document["conditions"] if (record.get("agreement") or {}).get("n")]
    if not records:
        return None
    rows = [
        [
            condition_name(record["condition"]),
            percent(record["agreement"]["share"]),
            number(record["agreement"].get("kappa"), 2),
            f"{record['agreement']['n']:,}",
        ]
        for record in records
    ]
    told = (
        "How often the system gives an utterance the same emotion as without noise, be it right or wrong. Kappa takes "
        "off what chance alone would give: 1 is always the same, 0 no more than chance."
    )
    return [
        tag("h3", "Does noise change its mind?"),
        paragraph(told),
        table("Same emotion as in clean speech", ["Condition", "Same", "Kappa", "Utterances"], rows),
    ]


def _named(record: dict[str, Any]) -> str:
    return "clean speech" if record["condition"] == "clean" else condition_name(record["condition"])
