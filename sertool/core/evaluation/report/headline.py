"""What an evaluation found, in one honest sentence, and what must be known before it is believed."""

from typing import Any

from sertool.core.evaluation.report.markup import Html, join, paragraph, tag
from sertool.core.evaluation.report.words import (
    SPACE,
    attributes_of,
    capital,
    categories_of,
    clean,
    count,
    in_condition,
    listing,
    main_condition,
    measure_name,
    measure_value,
    measures_of,
    number,
    percent,
    system_name,
)

LEADING = ("pesq_wb", "estoi", "stoi", "si_sdr", "dnsmos_ovr")
"""Which measure of speech a headline names: the first of these that was taken."""


def headline(document: dict[str, Any]) -> str:
    """Return the sentence: how much emotion is recognised in the main condition, against clean speech, and how good
    speech sounds before and after."""
    record = main_condition(document)
    if record is None:
        return f"Nothing of {system_name(document)} could be judged."
    where = in_condition(record["condition"])
    parts = [
        part for part in (_emotion(document, record), _attributes(document, record), _speech(document, record)) if part
    ]
    if not parts:
        return f"{capital(where)}, nothing of {system_name(document)} could be scored."
    return f"{capital(where)}, {'; '.join(parts)}."


def _emotion(document: dict[str, Any], record: dict[str, Any]) -> str:
    score = record.get("f1_macro")
    if score is None:
        return ""
    emotions = count(len(categories_of(document)), "emotion")
    said = f"{system_name(document)} scores {percent(score)} (F1-macro) on {emotions}"
    quiet = clean(document)
    if quiet is None or quiet is record or quiet.get("f1_macro") is None:
        return said
    # Of the numbers as they are written, so that they add up.
    lost = round(round(100 * quiet["f1_macro"], 1) - round(100 * score, 1), 1)
    if lost == 0:
        return f"{said}, as much as in clean speech"
    word = "less" if lost > 0 else "more"
    return f"{said}, {abs(lost):.1f} points {word} than in clean speech"


def _attributes(document: dict[str, Any], record: dict[str, Any]) -> str:
    if record.get("f1_macro") is not None or not attributes_of(document):
        return ""
    scores = [f"{name} {number(value, 2)}" for name, value in record["ccc"].items() if value is not None]
    return f"{system_name(document)} follows the ratings with a CCC of {', '.join(scores)}" if scores else ""


def _speech(document: dict[str, Any], record: dict[str, Any]) -> str:
    speech = record.get("speech") or {}
    for measure in (*LEADING, *measures_of(document)):
        summary = speech.get(measure)
        if summary and summary["unprocessed"]["mean"] is not None and summary["enhanced"]["mean"] is not None:
            before, after = (measure_value(measure, summary[signal]["mean"]) for signal in ("unprocessed", "enhanced"))
            whose = "" if record.get("f1_macro") is not None else f" through {system_name(document)}"
            name, _, unit = measure_name(measure).partition(", ")
            said = f"speech quality{whose}, {name}: {before} → {after}{SPACE + unit if unit else ''}"
            return said + _less_intelligible(speech)
    return ""


def _less_intelligible(speech: dict[str, Any]) -> str:
    """Return what enhancement makes worse: quality may rise while words are harder to make out."""
    for measure in ("estoi", "stoi"):
        means = [((speech.get(measure) or {}).get(signal) or {}).get("mean") for signal in ("unprocessed", "enhanced")]
        if None not in means and means[1] < means[0]:
            before, after = (measure_value(measure, mean) for mean in means)
            return f", but intelligibility, {measure_name(measure)}: {before} → {after}"
    return ""


def warnings(document: dict[str, Any]) -> list[str]:
    """Return what a reader must know before the first number: whether test utterances were learned from."""
    seen = document.get("seen_utterances")
    total = document["data"]["utterances"]
    told = []
    if seen:
        told.append(f"The model learned from {seen:,} of the {total:,} test utterances: the scores flatter it.")
    if seen is None and document.get("model"):
        told.append(
            "Nobody knows what the model learned from: test utterances may be among it, and the scores may flatter."
        )
    if absent := document["data"].get("absent_categories"):
        known = len(categories_of(document))
        told.append(
            f"Nobody speaks {listing(absent)} here; each counts 0, so that F1-macro can be "
            f"{percent((known - len(absent)) / known)} at most."
        )
    record = main_condition(document) or {}
    if (record.get("intervals") or {}).get("reason"):
        told.append(
            f"{count(total, 'utterance')} of {_speakers(document['data'])}: too few to say how far these scores would "
            "hold for others."
        )
    if document.get("failures"):
        told.append(
            f"Missing from all scores: {count(len(document['failures']), 'utterance')} that could not be judged."
        )
    return told


def _speakers(data: dict[str, Any]) -> str:
    return count(data["speakers"], "speaker") if data.get("speakers") else "unknown speakers"


def tiles(document: dict[str, Any]) -> Html:
    """Return the main condition's numbers at a glance, each with what it means."""
    record = main_condition(document)
    if record is None:
        return join([])
    found: list[tuple[str, str, str]] = []
    categories = len(categories_of(document))
    if record.get("f1_macro") is not None:
        found.append(("F1-macro", percent(record["f1_macro"]), "every emotion counted alike; 100 % is all right"))
        found.append(
            (
                "UA",
                percent(record["ua"]),
                f"of an emotion's utterances recognised; guessing gives {percent(1 / categories)}",
            )
        )
    for name, value in (record.get("ccc") or {}).items():
        if value is None:
            continue
        found.append((f"CCC {name}", number(value, 2), "agreement with the ratings; 1 is full, 0 none"))
    for measure in LEADING[:1] + LEADING[3:4]:
        summary = (record.get("speech") or {}).get(measure)
        if summary and summary["unprocessed"]["mean"] is not None:
            before, after = (measure_value(measure, summary[signal]["mean"]) for signal in ("unprocessed", "enhanced"))
            value = before if summary["enhanced"]["mean"] is None else f"{before} → {after}"
            name, _, unit = measure_name(measure).partition(", ")
            found.append(
                (name, f"{value}{SPACE + unit if unit else ''}", "speech before → after enhancement; more is better")
            )
    data = document["data"]
    judged = f"{'utterance' if data['utterances'] == 1 else 'utterances'} of {_speakers(data)}"
    found.append(("Measured on", f"{data['utterances']:,}", judged))
    items = (
        tag("div", tag("dt", name), tag("dd", tag("strong", value), " ", tag("span", meaning)))
        for name, value, meaning in found
    )
    return join(
        [
            paragraph(f"The numbers {in_condition(record['condition'])}:", look="quiet"),
            tag("dl", *items, class_="tiles"),
        ]
    )
