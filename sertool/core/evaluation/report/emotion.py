"""The page's parts on emotion: scores by condition, what is taken for what, by kind of noise, by duration."""

from typing import Any

from sertool.core.evaluation.report.charts import Chart, Series, condition_axis, draw, nice_axis, percent_axis
from sertool.core.evaluation.report.markup import Cell, Html, details, join, paragraph, section, table, tag
from sertool.core.evaluation.report.words import (
    NONE,
    attributes_of,
    categories_of,
    in_condition,
    main_condition,
    number,
    percent,
    percent_between,
    sentence,
)
from sertool.core.evaluation.scores import CLEAN

SHADES = (0.05, 0.15, 0.3, 0.5, 0.7)
"""Shares from which a cell is shaded more strongly, see `.heat-0` and so on in the style sheet."""


def emotion_by_condition(document: dict[str, Any]) -> Html | None:
    """Return the scores by condition, as a curve and a table; None where no emotion was scored."""
    records = [record for record in document["conditions"] if record.get("f1_macro") is not None]
    if not records:
        return None
    intervals = [record["intervals"] for record in records if record.get("intervals")]
    trainings = max(record.get("trainings") or 1 for record in records)
    parts = [
        paragraph(
            "How much emotion is recognised as noise grows. F1-macro and UA count every emotion alike, however many "
            "utterances it has; F1-macro also counts what is wrongly taken for an emotion.",
            f" Scores are means over {trainings} trainings." if trainings > 1 else "",
        ),
        tag("div", draw(_curve(document, records)), _scores_table(records), class_="beside"),
        paragraph(_on_intervals(intervals), look="quiet"),
    ]
    return section("emotion", "Emotion in noise", *parts)


def _curve(document: dict[str, Any], records: list[dict[str, Any]]) -> Chart:
    x, places = condition_axis([(record["condition"], record["snr_db"]) for record in records])
    ordered = sorted(records, key=lambda record: places[record["condition"]])
    series, values = [], [1 / len(categories_of(document))]
    for look, (score, name) in enumerate((("f1_macro", "F1-macro"), ("ua", "UA"))):
        ends = [(record, (record.get("intervals") or {}).get(score)) for record in ordered]
        bars = [(places[record["condition"]], *interval) for record, interval in ends if interval]
        shown = [(places[record["condition"]], record[score]) for record in ordered]
        values += [value for _, value in shown if value is not None] + [high for _, _, high in bars]
        series.append(Series(name, shown, look, bars))
    chance = 1 / len(categories_of(document))
    lines = [(f"UA of guessing, {percent(chance)}", (x.low, chance), (x.high, chance))]
    described = "; ".join(
        f"{record['condition']}: F1-macro {percent(record['f1_macro'])}, UA {percent(record['ua'])}"
        for record in records
    )
    return Chart(
        "emotion-curve", "F1-macro and UA by SNR", f"{described}.", x, percent_axis("score", values), series, lines
    )


def _scores_table(records: list[dict[str, Any]]) -> Html:
    spread = any((record.get("intervals") or {}).get(name) for record in records for name in ("f1_macro", "ua"))
    rows = []
    for record in records:
        row: list[Any] = [condition_name(record["condition"])]
        for name in ("f1_macro", "ua"):
            ends = tag("small", percent_between((record.get("intervals") or {}).get(name))) if spread else ""
            row.append(join([percent(record[name]), ends]))
        rows.append([*row, percent(record["f1_micro"]), f"{record['n_labelled']:,}"])
    beneath = ", intervals beneath" if spread else ""
    caption = f"Emotion by condition{beneath}. Right: the share of all utterances"
    return table(caption, ["Condition", "F1-macro", "UA", "Right", "Utterances"], rows)


def _on_intervals(intervals: list[dict[str, Any]]) -> str:
    drawn = [one for one in intervals if one.get("f1_macro") or one.get("ua")]
    if drawn:
        return (
            f"Bars: {100 * drawn[0]['level']:g} % intervals over {drawn[0]['speakers']} speakers: with other speakers "
            "like these, scores would lie within them nearly every time."
        )
    reasons = dict.fromkeys(one["reason"] for one in intervals if one.get("reason"))
    return (
        f"No intervals: {' '.join(map(sentence, reasons))}" if reasons else "No intervals over speakers were computed."
    )


def attributes_by_condition(document: dict[str, Any]) -> Html | None:
    """Return the agreement with rated attributes by condition; None where none was scored."""
    names = attributes_of(document)
    records = [record for record in document["conditions"] if record.get("ccc")]
    if not names:
        return None
    x, places = condition_axis([(record["condition"], record["snr_db"]) for record in records])
    ordered = sorted(records, key=lambda record: places[record["condition"]])
    series = [
        Series(name, [(places[record["condition"]], record["ccc"].get(name)) for record in ordered], look)
        for look, name in enumerate(names)
        if any(record["ccc"].get(name) is not None for record in records)
    ]
    values = [value for record in records for value in record["ccc"].values() if value is not None]
    rows = [
        [
            condition_name(record["condition"]),
            *(number(record["ccc"].get(name)) for name in names),
            f"{max((record.get('ccc_n') or {}).values(), default=record['n']):,}",
        ]
        for record in records
    ]
    shown = table("CCC by condition", ["Condition", *names, "Utterances"], rows)
    if values:
        described = "; ".join(
            f"{row[0]}: {', '.join(f'{name} {value}' for name, value in zip(names, row[1:], strict=False))}"
            for row in rows
        )
        chart = Chart("ccc-curve", "CCC by SNR", f"{described}.", x, nice_axis("CCC", [0.0, *values]), series)
        shown = tag("div", draw(chart), shown, class_="beside")
    sources = next((record["attributes"] for record in records if record.get("attributes")), None)
    return section(
        "attributes",
        "Arousal, dominance, valence" if len(names) == 3 else "Attributes",
        paragraph(
            "How closely predicted attributes follow the labels: the concordance correlation coefficient (CCC) is 1 "
            "where every prediction equals its label, and 0 where they have nothing in common.",
            f" The labels are {sources}." if sources else "",
        ),
        shown,
    )


def confusions(document: dict[str, Any]) -> Html | None:
    """Return a confusion matrix for every condition, that of clean speech and of the main one unfolded."""
    records = [record for record in document["conditions"] if record.get("confusion")]
    if not records:
        return None
    categories = categories_of(document)
    main = main_condition({"conditions": records})
    shown = [record for record in records if record is main or record["condition"] == CLEAN]
    folded = [record for record in records if record not in shown]
    parts = [tag("div", *(_confusion(record, categories) for record in shown), class_="pair")]
    parts += [
        details(f"Confusions {in_condition(record['condition'])}", _confusion(record, categories)) for record in folded
    ]
    parts.append(details("Precision, recall and F1 of each emotion", *(_per_class(record) for record in records)))
    told = (
        "Each row is what was spoken, each column what was heard. A cell says what percentage of the row it is, and "
        "beneath it how many utterances. What is right lies on the framed diagonal."
    )
    return section("confusions", "Which emotions are confused", paragraph(told), *parts)


def _confusion(record: dict[str, Any], categories: list[str]) -> Html:
    short = _abbreviations(categories)
    head = [
        "spoken",
        *(tag("abbr", short[name], title=name) if short[name] != name else name for name in categories),
    ]
    rows = []
    for place, counts in enumerate(record["confusion"]):
        total = sum(counts)
        row: list[Any] = [categories[place]]
        for other, hits in enumerate(counts):
            if not total:
                row.append(Cell(NONE))
                continue
            share = hits / total
            content = join([f"{100 * share:.0f}", tag("small", f"{hits:,}")])
            row.append(Cell(content, f"{heat(share)} {'diagonal' if other == place else ''}".strip()))
        rows.append(row)
    return table(f"Confusions {in_condition(record['condition'])}, in percent of the row", head, rows, look="matrix")


def heat(share: float) -> str:
    """Return the class that shades a cell by a share from 0 to 1."""
    return f"heat-{sum(share >= limit for limit in SHADES)}"


def _abbreviations(names: list[str]) -> dict[str, str]:
    """Return each name cut as short as tells them apart, at least to three letters and a stop."""
    short = {}
    for name in names:
        length = next((n for n in range(3, len(name)) if sum(other[:n] == name[:n] for other in names) == 1), len(name))
        short[name] = name if len(name) <= length + 1 else f"{name[:length]}."
    return short


def _per_class(record: dict[str, Any]) -> Html:
    rows = [
        [name, percent(scores["precision"]), percent(scores["recall"]), percent(scores["f1"]), f"{scores['support']:,}"]
        for name, scores in record["per_class"].items()
    ]
    return table(
        f"Each emotion {in_condition(record['condition'])}",
        ["Emotion", "Precision", "Recall", "F1", "Utterances"],
        rows,
    )


def by_kind(document: dict[str, Any]) -> Html | None:
    """Return F1-macro for each kind of noise; None where it was not asked for."""
    records = [record for record in document.get("by_kind") or [] if record.get("f1_macro") is not None]
    if not records:
        return None
    conditions = list(dict.fromkeys(record["condition"] for record in records))
    kinds = sorted({record["noise_kind"] for record in records})
    scores = {(record["noise_kind"], record["condition"]): record for record in records}
    rows = []
    for kind in kinds:
        row: list[Any] = [kind]
        for condition in conditions:
            found = scores.get((kind, condition))
            row.append(
                Cell(NONE)
                if found is None
                else Cell(
                    join([percent(found["f1_macro"]), tag("small", f"{found['n_labelled']:,}")]),
                    heat(found["f1_macro"]),
                )
            )
        rows.append(row)
    caption = "F1-macro by kind of noise, and beneath it the utterances"
    return section(
        "kinds", "By kind of noise", table(caption, ["Noise", *map(condition_name, conditions)], rows, look="matrix")
    )


def by_duration(document: dict[str, Any]) -> Html | None:
    """Return F1-macro of short and long utterances; None where it was not told."""
    records = [record for record in document["conditions"] if record.get("by_duration")]
    if not records:
        return None
    names = ("shortest quarter", "second", "third", "longest quarter")
    rows = []
    for record in records:
        row = [condition_name(record["condition"])]
        for quarter in record["by_duration"]:
            ends = quarter["range_s"]
            row.append(
                join([percent(quarter["f1_macro"]), tag("small", f"{ends[0]:.1f}–{ends[1]:.1f} s" if ends else NONE)])
            )
        rows.append(row)
    shown = table("F1-macro by duration, and beneath it the seconds", ["Condition", *names], rows)
    return section("durations", "Short and long utterances", shown)


def condition_name(condition: str) -> str:
    """Return a condition as tables write it, with a real minus sign."""
    return condition.replace("-", "−")
