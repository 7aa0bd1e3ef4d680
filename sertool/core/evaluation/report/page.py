"""The report: one HTML file that holds everything, asks nothing of a network, and works without a script."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from sertool.core.evaluation.report.baseline import baseline
from sertool.core.evaluation.report.card import data_card, rerun, to_know, words_used
from sertool.core.evaluation.report.emotion import (
    attributes_by_condition,
    by_duration,
    by_kind,
    confusions,
    emotion_by_condition,
)
from sertool.core.evaluation.report.examples import listen
from sertool.core.evaluation.report.headline import headline, tiles, warnings
from sertool.core.evaluation.report.listening import Listening
from sertool.core.evaluation.report.markup import Html, join, paragraph, tag
from sertool.core.evaluation.report.speakers import speakers
from sertool.core.evaluation.report.speech import speech
from sertool.core.evaluation.report.stored import stored
from sertool.core.evaluation.report.stress_map import stress_map
from sertool.core.evaluation.report.trust import trust
from sertool.core.evaluation.report.words import categories_of, system_name
from sertool.core.writing import write_text

POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
    "form-action 'none'"
)
"""What a browser lets the page do: show what it holds in its own style, and nothing else; nothing over a network."""


def write_report(
    path: Path | str, document: dict[str, Any], examples: Sequence[Listening] = (), *, chosen_by: str = ""
) -> None:
    """Write the report whole or not at all.

    Args:
        path: the HTML file.
        document: what an evaluation leaves, see `Results.document`. Parts it lacks are left out, and named as missing.
        examples: utterances to listen to, see `sertool.core.evaluation.report.listening.choose`.
        chosen_by: what ranks these, see `chosen_by` there.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, page(document, examples, chosen_by=chosen_by))


def page(document: dict[str, Any], examples: Sequence[Listening] = (), *, chosen_by: str = "") -> Html:
    """Return the report as HTML; the same for the same document and examples."""
    sections = [
        part
        for part in (
            emotion_by_condition(document),
            attributes_by_condition(document),
            baseline(document),
            speech(document),
            stored(document),
            listen(examples, chosen_by=chosen_by),
            confusions(document),
            speakers(document),
            stress_map(document),
            trust(document),
            by_kind(document),
            by_duration(document),
            to_know(document),
            data_card(document),
            rerun(document),
            words_used(),
        )
        if part
    ]
    title = f"{system_name(document)}: {_subject(document)}"
    body = tag(
        "body",
        tag("a", "Skip to the results", href="#results", class_="skip"),
        tag("header", tag("h1", title), *_top(document)),
        tag("nav", tag("h2", "On this page"), tag("ul", *map(_link, sections)), aria_label="On this page"),
        tag("main", *sections, id="results", tabindex="-1"),
        tag(
            "footer", paragraph("Written by sertool evaluate --report. The page holds all it shows, and loads nothing.")
        ),
    )
    return join(["", Html("<!DOCTYPE html>\n"), tag("html", _head(title), body, lang="en-GB"), "\n"])


def _subject(document: dict[str, Any]) -> str:
    if categories_of(document):
        return "emotion recognition in noise"
    return (
        "speech enhancement"
        if any(record.get("speech") for record in document["conditions"])
        else "what it hears in noise"
    )


def _top(document: dict[str, Any]) -> list[Html]:
    parts = [paragraph(headline(document), look="headline")]
    if compared := (document.get("comparison") or {}).get("verdict"):
        parts.append(paragraph(compared, look="verdict"))
    parts += [paragraph(warning, look="warning") for warning in warnings(document)]
    return [*parts, tiles(document)]


def _link(part: Html) -> Html:
    anchor = part.split('id="', 1)[1].split('"', 1)[0]
    title = part.split("</h2>", 1)[0].rsplit(">", 1)[1]
    return tag("li", tag("a", Html(title), href=f"#{anchor}"))


def _head(title: str) -> Html:
    style = files("sertool.core.evaluation.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY.format(digest=digest)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Html(style)),
    )
