"""The page's last parts: what was measured on what, what to know, how to run it again, and the words it uses."""

import base64
import json
import shlex
from typing import Any

from sertool.core.evaluation.report.markup import Html, bullets, details, facts, join, paragraph, section, table, tag
from sertool.core.evaluation.report.words import NONE, SPACE, categories_of, count, enhances, listing, measures_of
from sertool.core.evaluation.tables import as_csv, as_latex

MOST_FAILURES = 50
"""Failures named; the JSON names all."""

KINDS = {
    "run": "a model trained with sertool",
    "enhancer": "an outside program that enhances speech",
    "predictions": "predictions made elsewhere, read from a file",
}

GLOSSARY = (
    (
        "SNR",
        "signal-to-noise ratio: how far speech is above noise. At 20 dB noise is faint, at 0 dB as loud as the speech, "
        "at −5 dB louder.",
    ),
    (
        "F1-macro",
        "for each emotion, the balance of how much of it is found and how much of what is taken for it really is it; "
        "then the plain mean over emotions.",
    ),
    (
        "UA",
        "unweighted accuracy: for each emotion the share of its utterances that is recognised; then the plain mean "
        "over emotions.",
    ),
    ("Interval", "had other speakers like these been recorded, the score would lie within it nearly every time."),
    ("Clean speech", "the recordings as they are, with no noise added."),
)


def data_card(document: dict[str, Any]) -> Html:
    """Return what was measured on what: data, leaks, noise, model."""
    parts = [
        tag("h3", "Speech"),
        facts(_data(document)),
        _splits(document),
        tag("h3", "Noise"),
        facts(_noise(document)),
        tag("h3", "What was judged"),
        facts(_system(document)),
        details("Versions", facts((document.get("versions") or {}).items())),
    ]
    return section("data", "What it was measured on", *parts)


def _data(document: dict[str, Any]) -> list[tuple[str, Any]]:
    data = document["data"]
    pairs = [("Manifest", data.get("manifest") or NONE), ("Split", document.get("split") or "all")]
    hours = data.get("hours")
    long = f", {hours:.2f}{SPACE}hours" if hours is not None else ""
    pairs.append(("Judged", f"{count(data['utterances'], 'utterance')}{long}"))
    unknown = data.get("utterances_of_unknown_speakers") or 0
    beside = f"; of {count(unknown, 'utterance')} nobody knows who speaks" if unknown else ""
    pairs.append(("Speakers", f"{data.get('speakers')}{beside}"))
    if genders := data.get("genders"):
        pairs.append(("Speakers by sex", _counted(genders)))
    if categories := data.get("categories"):
        pairs.append(("Utterances by emotion", _counted(categories)))
    if excluded := data.get("excluded"):
        pairs.append(("Left out by emotion", f"{_counted(excluded)}: the system does not know these"))
    if absent := data.get("absent_categories"):
        pairs.append(("Emotions nobody speaks", f"{listing(list(map(str, absent)))}: each counts 0 in F1-macro"))
    pairs.append(("Learned from before", _leaks(document)))
    return pairs


def _leaks(document: dict[str, Any]) -> str:
    seen = document.get("seen_utterances")
    if seen is None:
        return "nobody knows: what the system learned from is not written down"
    if seen:
        return f"{count(seen, 'utterance')} of the test: scores flatter"
    return "none of the test utterances was learned from"


def _splits(document: dict[str, Any]) -> Html:
    splits = document["data"].get("splits") or {}
    if not splits:
        return join([])
    rows = [
        [
            name,
            f"{one['utterances']:,}",
            f"{one['speakers']:,}",
            NONE if one.get("hours") is None else f"{one['hours']:.2f}",
        ]
        for name, one in splits.items()
    ]
    return table("The whole corpus; no speaker is in two splits", ["Split", "Utterances", "Speakers", "Hours"], rows)


def _noise(document: dict[str, Any]) -> list[tuple[str, Any]]:
    noise = document.get("noise")
    if noise is None:
        return [("Noise", "none: only clean speech was judged")]
    pairs: list[tuple[str, Any]] = [
        ("Conditions", ", ".join(record["condition"].replace("-", "−") for record in document["conditions"]))
    ]
    if noise.get("kinds"):
        pairs.append(("Kinds", ", ".join(map(str, noise["kinds"]))))
    if noise.get("recordings"):
        pairs.append(("Recordings", f"{noise['recordings']:,}"))
    if noise.get("mixed_beforehand"):
        pairs.append(("Mixed", "beforehand: the files were noisy already"))
    elif noise.get("checked_against_training"):
        pairs.append(("Heard in training", "none of the recordings: this was checked"))
    else:
        pairs.append(("Heard in training", "not checked: the model may know the recordings"))
    if level := noise.get("speech_level"):
        meaning = {"utterance": "over the whole utterance", "active": "while somebody speaks (ITU-T P.56)"}
        pairs.append(("Level of speech", meaning.get(level, level)))
    if noise.get("digest"):
        pairs.append(("Digest", tag("code", noise["digest"])))
    return pairs


def _system(document: dict[str, Any]) -> list[tuple[str, Any]]:
    system, model = document.get("system") or {}, document.get("model")
    pairs: list[tuple[str, Any]] = []
    if system:
        pairs.append(
            (
                "System",
                join(
                    [
                        system.get("name"),
                        ": " if system.get("name") else "",
                        KINDS.get(system.get("kind"), str(system.get("kind") or "")),
                    ]
                ),
            )
        )
    if model is None:
        pairs.append(("Model", "none of ours: what is inside is not known here"))
        return pairs
    pairs.append(("Model", join([model["name"], " ", tag("code", model.get("id"))])))
    recipe = model.get("recipe") or {}
    encoder, optimisation = recipe.get("encoder") or {}, recipe.get("optimisation") or {}
    pairs.append(("Emotions", ", ".join(map(str, model.get("categories") or [])) or "none: it recognises none"))
    if model.get("attributes"):
        pairs.append(("Attributes", ", ".join(map(str, model["attributes"]))))
    pairs.append(("Enhances speech", "yes" if model.get("enhances") else "no"))
    if model.get("parameters") is not None:
        pairs.append(("Parameters", f"{model['parameters']:,}"))
    for name, value in (
        ("Tasks", ", ".join(map(str, recipe.get("tasks") or []))),
        ("Encoder", encoder.get("name")),
        ("Encoder's training", encoder.get("adapt")),
        ("Schedule", recipe.get("schedule")),
        ("Epochs", optimisation.get("epochs")),
        ("Seed of training", recipe.get("seed")),
    ):
        if value not in (None, ""):
            pairs.append((name, str(value)))
    return pairs


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def to_know(document: dict[str, Any]) -> Html | None:
    """Return the notes, what is not on the page and why, and the failures; None where there is nothing to say."""
    notes = list(document.get("notes") or [])
    absent = _absent(document)
    failures = document.get("failures") or []
    if not (notes or absent or failures):
        return None
    parts: list[Any] = [bullets([*notes, *absent])] if notes or absent else []
    if failures:
        shown = failures[:MOST_FAILURES]
        more = (
            paragraph(f"And {len(failures) - len(shown):,} more, in the JSON below.")
            if len(failures) > len(shown)
            else ""
        )
        parts.append(details(f"{count(len(failures), 'utterance')} could not be judged", bullets(shown), more))
    return section("notes", "What to know", *parts)


def _absent(document: dict[str, Any]) -> list[str]:
    told = []
    if not categories_of(document):
        told.append("No emotions: the system recognises no categories.")
    if not measures_of(document):
        told.append("No speech quality: no measure of speech was taken.")
    elif not enhances(document):
        told.append("Nothing after enhancement: the system gives no enhanced speech.")
    if not document.get("comparison"):
        told.append("No comparison: no other system was named (--baseline).")
    if not document.get("stress"):
        told.append("No stress tests: none were asked for (--stress).")
    return told


def rerun(document: dict[str, Any]) -> Html:
    """Return the command, what it needs, and the numbers to take away."""
    command = document.get("command")
    version = (document.get("versions") or {}).get("sertool")
    parts: list[Any] = []
    if command:
        tool = f"sertool {version}" if version else "sertool"
        how = f"seed {document.get('seed')}, on {document.get('device') or 'any device'}"
        told = f"With {tool}, the same speech, noise and model, this gives the same numbers ({how}):"
        parts.append(paragraph(told))
        code = tag("code", shlex.join(map(str, command)))
        parts.append(tag("pre", code, tabindex="0", role="group", aria_label="Command to run it again"))
        parts.append(
            paragraph(
                "Paths are written without the folders of the machine it ran on: put yours in their place.",
                look="quiet",
            )
        )
    else:
        parts.append(paragraph("The command was not written down."))
    text = json.dumps(document, indent=1, allow_nan=False)
    links = [
        _download("All scores as JSON", "evaluation.json", "application/json", text),
        _download("One row a condition as CSV", "evaluation.csv", "text/csv", as_csv(document)),
        _download("A table for LaTeX", "evaluation.tex", "text/x-tex", as_latex(document)),
    ]
    parts += [
        tag("h3", "Take the numbers with you"),
        tag("ul", *(tag("li", link) for link in links), class_="downloads"),
    ]
    return section("rerun", "How to run it again", *parts)


def _download(name: str, file: str, kind: str, text: str) -> Html:
    data = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    return tag("a", name, href=f"data:{kind};charset=utf-8;base64,{data}", download=file)


def words_used() -> Html:
    """Return what the page's words mean."""
    return section("words", "Words used here", facts(GLOSSARY))
