"""The page's part on another system: which of the two is better, where, and how sure that is."""

from typing import Any

from sertool.core.evaluation.report.charts import Chart, Series, condition_axis, draw, nice_axis, percent_axis
from sertool.core.evaluation.report.emotion import condition_name
from sertool.core.evaluation.report.markup import Cell, Html, bullets, details, join, paragraph, section, table, tag
from sertool.core.evaluation.report.words import NONE, number, percent, points, probability, sentence, system_name

VERDICTS = {"better": "better", "worse": "worse", "cannot tell": "unsure"}
"""What the test found, and the class its word is drawn by."""


def baseline(document: dict[str, Any]) -> Html | None:
    """Return the comparison with a baseline; None where there is none."""
    comparison = document.get("comparison")
    if not comparison or not comparison.get("conditions"):
        return None
    ours, theirs = system_name(document), str(comparison["baseline"])
    records = [record for record in comparison["conditions"] if record.get("ours") is not None]
    parts: list[Any] = [paragraph(comparison["verdict"], look="verdict")]
    if records:
        charts = [draw(_curves(records, ours, theirs)), draw(_differences(records))]
        parts.append(tag("div", *(tag("div", chart) for chart in charts), class_="charts wide"))
    parts.append(_table(comparison))
    reasons = dict.fromkeys(record["reason"] for record in comparison["conditions"] if record.get("reason"))
    if reasons:
        parts.append(bullets(map(sentence, reasons)))
    parts.append(details("How this was tested, and other tests beside it", *_how(comparison)))
    return section("baseline", f"Against {theirs}", *parts)


def _curves(records: list[dict[str, Any]], ours: str, theirs: str) -> Chart:
    x, places = condition_axis([(record["condition"], record["snr_db"]) for record in records])
    ordered = sorted(records, key=lambda record: places[record["condition"]])
    series = [
        Series(name, [(places[record["condition"]], record[key]) for record in ordered], look)
        for look, (name, key) in enumerate(((ours, "ours"), (theirs, "theirs")))
    ]
    values = [value for record in records for value in (record["ours"], record["theirs"]) if value is not None]
    described = "; ".join(
        f"{record['condition']}: {percent(record['ours'])} against {percent(record['theirs'])}" for record in records
    )
    return Chart(
        "baseline-curve",
        f"F1-macro of {ours} and {theirs} by SNR",
        f"{described}.",
        x,
        percent_axis("F1-macro", values),
        series,
    )


def _differences(records: list[dict[str, Any]]) -> Chart:
    x, places = condition_axis([(record["condition"], record["snr_db"]) for record in records])
    ordered = sorted(records, key=lambda record: places[record["condition"]])
    shown = [
        (places[record["condition"]], None if record["difference"] is None else 100 * record["difference"])
        for record in ordered
    ]
    bars = [
        (places[record["condition"]], 100 * record["interval"][0], 100 * record["interval"][1])
        for record in ordered
        if record.get("interval")
    ]
    values = [0.0, *(value for _, value in shown if value is not None), *(end for _, *ends in bars for end in ends)]
    y = nice_axis("points of F1-macro", values, zero=True)
    series = [Series("difference" + (", with its interval" if bars else ""), shown, 2, bars, joined=False)]
    lines = [("no difference", (x.low, 0.0), (x.high, 0.0))]
    described = "; ".join(
        f"{record['condition']}: {points(record['difference'])} points, {_interval(record)}" for record in records
    )
    return Chart("baseline-differences", "Difference in F1-macro by SNR", f"{described}.", x, y, series, lines)


def _table(comparison: dict[str, Any]) -> Html:
    rows = []
    for record in comparison["conditions"]:
        verdict = record.get("verdict")
        word = Cell(verdict or "not tested", VERDICTS.get(verdict))
        rows.append(
            [
                condition_name(record["condition"]),
                percent(record.get("ours")),
                percent(record.get("theirs")),
                Cell(join([points(record.get("difference")), tag("small", _interval(record))])),
                probability(record.get("p_holm")),
                word,
            ]
        )
    head = ["Condition", "Ours", "Theirs", "Difference", "p (Holm)", "Verdict"]
    return table(
        "F1-macro against the baseline; the difference in points of a hundred, its interval beneath", head, rows
    )


def _interval(record: dict[str, Any]) -> str:
    interval = record.get("interval")
    return f"{points(interval[0])} to {points(interval[1])}" if interval else "no interval"


def _how(comparison: dict[str, Any]) -> list[Html]:
    records = comparison["conditions"]
    exact = all(record.get("exact") for record in records if record.get("p") is not None)
    ways = "all ways to flip are tried" if exact else "ways to flip are drawn at random"
    told = (
        "Speakers, not utterances, are independent of each other: the test flips, speaker by speaker, which system is "
        f"which, and asks how often chance alone makes a difference this large ({ways}). Several SNRs are several "
        "chances to be lucky: Holm's correction takes this into account. A verdict needs a corrected p below "
        f"{comparison.get('alpha', 0.05):g}."
    )
    beside = (
        "McNemar's test and the t-test over fifteen subsets take each utterance for independent of all others, which "
        "it is not, and find differences too easily. They stand here because published tables have them: they do not "
        "decide."
    )
    head = [
        "Condition",
        "Utterances",
        "Speakers",
        "UA, points",
        "p",
        "Effect size, Cohen's dz",
        "Speakers better",
        "worse",
    ]
    head += ["Right in one only, ours : theirs", "McNemar p", "15 subsets p"]
    return [paragraph(told), paragraph(beside), table("Tests in full", head, [_tests(record) for record in records])]


def _tests(record: dict[str, Any]) -> list[str]:
    effect, mcnemar, subsets = (record.get(name) or {} for name in ("effect_size", "mcnemar", "subset_t_test"))
    counts = [mcnemar.get(name) for name in ("only_ours", "only_theirs")]
    return [
        condition_name(record["condition"]),
        *(NONE if record.get(name) is None else f"{record[name]:,}" for name in ("n", "speakers")),
        points(record.get("difference_ua")),
        probability(record.get("p")),
        number(effect.get("cohens_dz"), 2),
        percent(effect.get("share_better"), 0),
        percent(effect.get("share_worse"), 0),
        NONE if None in counts else f"{counts[0]:,} : {counts[1]:,}",
        probability(mcnemar.get("p")),
        probability(subsets.get("p")),
    ]
