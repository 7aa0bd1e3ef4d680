"""The page's part on speakers: how far apart they are, and women and men."""

from itertools import pairwise
from statistics import median
from typing import Any

from sertool.core.evaluation.report.charts import Chart, Series, condition_axis, draw, percent_axis
from sertool.core.evaluation.report.emotion import condition_name, heat
from sertool.core.evaluation.report.markup import Cell, Html, details, join, paragraph, section, table, tag
from sertool.core.evaluation.report.words import NONE, capital, count, in_condition, listing, main_condition, percent

SPREAD = 0.7
"""How much of the way to the next condition the speakers of one take up."""


def speakers(document: dict[str, Any]) -> Html | None:
    """Return the UA of every speaker in every condition; None where speakers are not told apart."""
    records = [record for record in document.get("by_speaker") or [] if record.get("ua") is not None]
    gender = _by_gender(document)
    if not records:
        return None if gender is None else section("speakers", "Women and men", gender)
    names = list(dict.fromkeys(record["speaker"] for record in records))
    parts: list[Any] = [paragraph(_sentence(records, document))]
    if len(names) > 1:
        parts.append(tag("div", draw(_strip(records, names)), _quantiles(records), class_="beside"))
    parts.append(details(f"Every speaker ({len(names)})", _every(records, names)))
    if gender is not None:
        parts.append(gender)
    return section("speakers", "Spread over speakers", *parts)


def _sentence(records: list[dict[str, Any]], document: dict[str, Any]) -> str:
    main = main_condition(
        {
            "conditions": [
                record
                for record in document["conditions"]
                if any(one["condition"] == record["condition"] for one in records)
            ]
        }
    )
    own = sorted(
        (record for record in records if record["condition"] == main["condition"]),
        key=lambda one: (one["ua"], str(one["speaker"])),
    )
    if len(own) < 2:
        return "There is one speaker: nothing can be said about others."
    low, high = own[0], own[-1]
    return (
        f"{capital(in_condition(main['condition']))}, "
        f"UA is {percent(low['ua'])} for the speaker understood worst ({low['speaker']}) and {percent(high['ua'])} for "
        f"the one understood best ({high['speaker']})."
    )


def _strip(records: list[dict[str, Any]], names: list[str]) -> Chart:
    conditions = list({record["condition"]: record["snr_db"] for record in records}.items())
    x, places = condition_axis(conditions)
    ordered = sorted(places.values())
    width = SPREAD * min((b - a for a, b in pairwise(ordered)), default=1.0)
    # A speaker stands at the same place beside every condition, so that one can be followed.
    aside = {name: width * (place / (len(names) - 1) - 0.5) for place, name in enumerate(names)}
    genders = sorted({record.get("gender") or "not known" for record in records})
    series = [
        Series(
            name if len(genders) > 1 else "a speaker",
            [
                (places[record["condition"]] + aside[record["speaker"]], record["ua"])
                for record in records
                if (record.get("gender") or "not known") == name
            ],
            look,
            joined=False,
            small=len(names) > 8,
        )
        for look, name in enumerate(genders)
    ]
    lines = []
    for condition, place in places.items():
        middle = median(record["ua"] for record in records if record["condition"] == condition)
        lines.append(
            ("" if lines else "median of speakers", (place - 0.55 * width, middle), (place + 0.55 * width, middle))
        )
    values = [record["ua"] for record in records]
    y = percent_axis("UA", values)
    margin = 0.6 * width
    low, high = min(x.low, min(ordered) - margin), max(x.high, max(ordered) + margin)
    x = type(x)(x.label, low, high, x.ticks)
    described = f"One mark for each of {len(names)} speakers in each condition; the table beside has the numbers."
    return Chart("speaker-strip", "UA of each speaker by SNR", described, x, y, series, lines, bold=True)


def _quantiles(records: list[dict[str, Any]]) -> Html:
    rows = []
    for condition in dict.fromkeys(record["condition"] for record in records):
        own = sorted(record["ua"] for record in records if record["condition"] == condition)
        rows.append([condition_name(condition), str(len(own)), percent(own[0]), percent(median(own)), percent(own[-1])])
    return table("UA over speakers", ["Condition", "Speakers", "Lowest", "Median", "Highest"], rows)


def _every(records: list[dict[str, Any]], names: list[str]) -> Html:
    conditions = list(dict.fromkeys(record["condition"] for record in records))
    found = {(record["speaker"], record["condition"]): record for record in records}
    genders = {record["speaker"]: record.get("gender") for record in records}
    rows = []
    for name in names:
        row: list[Any] = [name, genders[name] or NONE]
        for condition in conditions:
            record = found.get((name, condition))
            row.append(
                Cell(NONE)
                if record is None
                else Cell(join([percent(record["ua"]), tag("small", f"{record['n']:,}")]), heat(record["ua"]))
            )
        rows.append(row)
    return table(
        "UA of every speaker, and beneath it the utterances",
        ["Speaker", "Sex", *map(condition_name, conditions)],
        rows,
        look="matrix",
    )


def _by_gender(document: dict[str, Any]) -> Html | None:
    records = document.get("by_gender") or []
    if not records:
        return None
    found = {(record["condition"], record["gender"]): record for record in records}
    genders = list(dict.fromkeys(record["gender"] for record in records))
    rows = []
    for condition in dict.fromkeys(record["condition"] for record in records):
        own = [found.get((condition, gender)) or {} for gender in genders]
        scores = [percent(record.get(score)) for score in ("ua", "f1_macro") for record in own]
        rows.append([condition_name(condition), *scores])
    counts = listing([f"{gender} {_size(record)}" for gender, record in zip(genders, own, strict=True) if record])
    head = ["Condition", *(f"{score}, {gender}" for score in ("UA", "F1-macro") for gender in genders)]
    return table(f"By sex, as the corpus gives it ({counts})", head, rows)


def _size(record: dict[str, Any]) -> str:
    """Return how many speakers a record is of; utterances, where nobody says who speaks."""
    return count(record["speakers"], "speaker") if "speakers" in record else count(record["n"], "utterance")
