"""The page's part on stress tests: what each costs, and how often the system still says the same."""

from typing import Any

from sertool.core.evaluation.report.emotion import heat
from sertool.core.evaluation.report.markup import Cell, Html, bullets, details, paragraph, section, table
from sertool.core.evaluation.report.words import NONE, percent, points, sentence
from sertool.core.training.stress_limits import named

COSTS = (0.02, 0.05, 0.10, 0.20)
"""Losses of UA from which a cell is shaded more strongly (ours)."""


def stress_map(document: dict[str, Any]) -> Html | None:
    """Return the stress tests, worst cases told first; None where they were not run."""
    stress = document.get("stress")
    if not stress or not stress.get("conditions"):
        return None
    spoken = [record for record in stress["conditions"] if record.get("ua_change") is not None]
    silent = [record for record in stress["conditions"] if record.get("ua_change") is None]
    reference = stress.get("reference") or {}
    parts: list[Any] = []
    if reference.get("ua") is not None:
        told = f"The same utterances, ill-treated in one way at a time. As they are, UA is {percent(reference['ua'])}."
        parts.append(paragraph(told, " ", _worst(spoken)))
    if missed := stress.get("missed") or stress.get("missed_limits"):
        parts += [paragraph("Limits that were missed:", look="warning"), bullets(missed)]
    if spoken:
        parts.append(_map(spoken))
        parts.append(details("Women and men, and the speaker hit hardest", _for_whom(spoken)))
    if silent:
        parts.append(_without_emotion(silent))
    if left_out := stress.get("left_out"):
        parts.append(
            details("Not run, and why", bullets(sentence(f"{name}: {reason}") for name, reason in left_out.items()))
        )
    return section("stress", "Stress tests", *parts)


def _worst(records: list[dict[str, Any]]) -> str:
    if not records:
        return ""
    worst = min(records, key=lambda record: record["ua_change"])
    if worst["ua_change"] >= 0:
        return "No test costs any UA."
    return f"Most is lost to {named(worst['stress'], worst['level'])}: {points(worst['ua_change'])} points."


def cost(ua_change: float) -> str:
    """Return the class that shades a cell by what a test costs in UA."""
    return f"cost-{sum(-ua_change >= limit for limit in COSTS)}"


def _map(records: list[dict[str, Any]]) -> Html:
    rows = [
        [
            named(record["stress"], record["level"]),
            Cell(points(record["ua_change"]), cost(record["ua_change"])),
            percent(record.get("ua")),
            Cell(
                percent(record.get("unchanged")), None if record.get("unchanged") is None else heat(record["unchanged"])
            ),
            points(record.get("f1_change")),
            percent(record.get("abstained")),
        ]
        for record in records
    ]
    head = ["Test", "UA, change in points", "UA", "Same emotion as before", "F1-macro, change", "Declines to answer"]
    return table(
        "What each test costs; the stronger the colour of the first column, the more", head, rows, look="matrix"
    )


def _for_whom(records: list[dict[str, Any]]) -> Html:
    genders = list(dict.fromkeys(one["gender"] for record in records for one in record.get("by_gender") or []))
    rows = []
    for record in records:
        changes = {one["gender"]: one["ua_change"] for one in record.get("by_gender") or []}
        worst = record.get("worst_speaker")
        hit = f"{worst['speaker']}: {points(worst['ua_change'])}" if worst else NONE
        rows.append(
            [named(record["stress"], record["level"]), *(points(changes.get(gender)) for gender in genders), hit]
        )
    return table("Change in UA, in points, for whom", ["Test", *genders, "Hit hardest"], rows)


def _without_emotion(records: list[dict[str, Any]]) -> Html:
    rows = []
    for record in records:
        most = list((record.get("most_predicted") or {}).items())[:1]
        rows.append(
            [
                named(record["stress"], record["level"]),
                f"{most[0][0]}, {percent(most[0][1])}" if most else NONE,
                percent(record.get("confidence")),
                percent(record.get("abstained")),
            ]
        )
    head = ["Test", "Hears most often", "How sure, on average", "Declines to answer"]
    return table("Where nobody speaks: there is nothing to be right about, and a good system is unsure", head, rows)
