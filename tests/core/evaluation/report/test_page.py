"""The page: whole, safe, understandable without what is missing, and the same numbers as the document."""

import base64
import copy
import csv
import dataclasses
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from sertool.core.errors import OutputError
from sertool.core.evaluation.report.page import page, write_report
from sertool.core.evaluation.tables import as_csv, as_latex

VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = "<script>alert(1)</script>\"'&\x00.wav"


class Page(HTMLParser):
    """Elements with their attributes and words, headings in order, and whether every element is closed in turn."""

    def __init__(self, markup: str):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append((tuple(self.open), data))

    def all(self, *names):
        return [attributes for name, attributes in self.elements if name in names]

    @property
    def text(self):
        return " ".join(data for _, data in self.words).replace("\xa0", " ")

    @property
    def sections(self):
        return [attributes["id"] for attributes in self.all("section")]


def emotion_only(document):
    document["model"]["enhances"] = False
    for record in document["conditions"]:
        del record["speech"], record["ccc"]
    return document


def enhancement_only(document):
    document["model"] |= {"categories": [], "attributes": []}
    kept = ("condition", "snr_db", "noise_kind", "n", "speech")
    document["conditions"] = [{name: record[name] for name in kept} for record in document["conditions"]]
    for name in ("by_kind", "by_speaker", "by_gender", "comparison", "stress"):
        del document[name]
    document["data"]["categories"] = {}
    return document


def predictions(document):
    document = emotion_only(document)
    document |= {"model": None, "noise": None, "seen_utterances": None, "device": None}
    document["system"] = {"kind": "predictions", "name": "their.csv"}
    for record in document["conditions"]:
        del record["calibration"], record["selective"]
        record["intervals"] = {"speakers": 4, "level": 0.95, "f1_macro": None, "ua": None, "reason": "4 speakers."}
    del document["stress"], document["comparison"]
    return document


def clean_only(document):
    document["conditions"] = document["conditions"][:1]
    document["noise"] = None
    for name in ("by_kind", "by_gender", "comparison", "stress", "stored"):
        del document[name]
    document["by_speaker"] = [one for one in document["by_speaker"] if one["condition"] == "clean"]
    return document


def earlier(document):
    """What an evaluation left before there was any of this."""
    for name in ("system", "by_kind", "by_speaker", "by_gender", "comparison", "stress", "stored"):
        del document[name]
    for record in document["conditions"]:
        for name in ("intervals", "calibration", "selective", "agreement", "by_duration"):
            record.pop(name, None)
    for name in ("hours", "categories", "genders", "splits"):
        del document["data"][name]
    return document


def nothing(document):
    return document | {"conditions": [], "by_kind": [], "by_speaker": [], "by_gender": [], "comparison": None}


KINDS = (lambda document: document, emotion_only, enhancement_only, predictions, clean_only, earlier, nothing)


@pytest.fixture(scope="module")
def read(shared_document, examples):
    """The full page."""
    return Page(page(shared_document, examples, chosen_by="by luck"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page_is_sound(document, kind):
    found = Page(page(kind(document)))
    html = found.all("html")[0]
    assert html["lang"] == "en-GB"
    assert len(found.all("h1")) == len(found.all("main")) == len(found.all("nav")) == 1
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attributes.get(name, "").split()) <= set(ids)
    links = [attributes["href"] for attributes in found.all("a") if attributes["href"].startswith("#")]
    assert {link[1:] for link in links} == {*found.sections, "results"}
    levels = [int(name[1]) for name, _ in found.elements if name in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(attributes.get("scope") in ("row", "col") for attributes in found.all("th"))
    labels = [attributes["aria-label"] for attributes in found.all("div") if attributes.get("role") == "group"]
    assert len(labels) == len(set(labels)) and all(labels)
    for attributes in found.all("svg"):
        assert attributes["role"] == "img" and (attributes.get("aria-label") or attributes.get("aria-labelledby"))
    assert "None" not in found.text and "nan" not in found.text.split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_loads_nothing_and_runs_nothing(document, examples, kind):
    markup = page(kind(document), examples[:1])
    found = Page(markup)
    assert not found.all("script", "iframe", "object", "embed", "form", "base")
    for name, attributes in found.elements:
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        for key in ("src", "href", "poster", "action", "srcset"):
            if key in attributes:
                assert attributes[key].startswith(("data:", "#")), (name, attributes[key][:80])
    style = re.search("<style>(.*?)</style>", markup, re.S)[1]
    assert "url(" not in style and "@import" not in style


def test_the_policy_allows_this_style_and_nothing_from_a_network(document):
    markup = page(document)
    (policy,) = (one["content"] for one in Page(markup).all("meta") if one.get("http-equiv"))
    style = re.search("<style>(.*?)</style>", markup, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "data:",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_all_parts_of_a_full_document_are_there_in_order(read):
    assert read.sections == [
        *("emotion", "attributes", "baseline", "speech", "stored", "listen", "confusions", "speakers", "stress"),
        *("trust", "kinds", "durations", "notes", "data", "rerun", "words"),
    ]


@pytest.mark.parametrize(
    ("kind", "absent", "told"),
    [
        (emotion_only, {"speech", "attributes"}, "No speech quality: no measure of speech was taken."),
        (enhancement_only, {"emotion", "confusions", "trust", "stress"}, "No emotions: the system recognises no"),
        (predictions, {"speech", "baseline", "stress"}, "No intervals: 4 speakers."),
        (predictions, set(), "nobody knows: what the system learned from is not written down"),
        (clean_only, {"kinds", "baseline"}, "none: only clean speech was judged"),
        (earlier, {"speakers", "trust"}, "No comparison: no other system was named"),
        (nothing, {"emotion", "speech", "speakers"}, "Nothing of joint could be judged."),
    ],
)
def test_what_is_absent_is_left_out_or_explained(document, kind, absent, told):
    found = Page(page(kind(document)))
    assert not absent & set(found.sections)
    assert told in found.text


def test_names_from_data_stay_text(document, examples):
    document["system"]["name"] = document["data"]["manifest"] = document["comparison"]["baseline"] = HOSTILE
    document["model"] |= {"name": HOSTILE, "id": HOSTILE}
    document["noise"]["kinds"] = [HOSTILE]
    document["failures"], document["notes"] = [HOSTILE], [HOSTILE]
    document["command"] = ["sertool", HOSTILE]
    document["comparison"]["verdict"] = HOSTILE
    for record in document["by_speaker"][:3]:
        record["speaker"] = HOSTILE
    for record in document["by_kind"]:
        record["noise_kind"] = HOSTILE
    for record in document["stress"]["conditions"]:
        record["level"] = HOSTILE
    bad = dataclasses.replace(examples[0], file=HOSTILE, label=HOSTILE, predicted=HOSTILE, figures={HOSTILE: 1.0})
    markup = page(document, [bad], chosen_by=HOSTILE)
    found = Page(markup)
    assert not found.all("script")
    assert "<script" not in markup
    assert found.text.count("<script>alert(1)</script>") > 15
    assert all(not any(key.startswith("on") for key in attributes) for _, attributes in found.elements)


def test_categories_from_data_stay_text(document):
    names = {name: f"<i>{name}</i>" for name in document["model"]["categories"]}
    document["model"]["categories"] = list(names.values())
    for record in [*document["conditions"], *document["by_kind"]]:
        record["per_class"] = {names[name]: scores for name, scores in record["per_class"].items()}
    document["data"]["categories"] = dict.fromkeys(names.values(), 3)
    assert not Page(page(document)).all("i")


def test_scores_are_those_of_the_document(document, read):
    for record in document["conditions"]:
        for name in ("f1_macro", "ua", "f1_micro"):
            assert f"{100 * record[name]:.1f} %" in read.text
        low, high = (100 * end for end in record["intervals"]["ua"])
        assert f"{low:.1f} to {high:.1f}" in read.text
        assert f"{100 * record['calibration']['ece']:.1f} %" in read.text


def test_a_confusion_matrix_holds_shares_of_the_row_and_counts(document):
    document["conditions"] = document["conditions"][4:5]
    confusion = document["conditions"][0]["confusion"]
    markup = page(document)
    start = markup.index('aria-label="Confusions at')
    cells = re.findall(r"<td[^>]*>(\d+)<small>([\d,]+)</small></td>", markup[start : markup.index("</table>", start)])
    expected = [(f"{100 * hits / sum(row):.0f}", str(hits)) for row in confusion for hits in row]
    assert cells == expected
    assert markup[start : markup.index("</table>", start)].count("diagonal") == 8


def test_a_row_nobody_spoke_has_no_shares(document):
    document["conditions"][0]["confusion"][0] = [0] * 8
    assert "–" in Page(page(document)).text


def test_the_headline_and_the_verdict_come_first(document, read):
    top = [data for path, data in read.words if "header" in path]
    assert top[0] == "joint: emotion recognition in noise"
    assert top[1].startswith("At\xa00\xa0dB") or top[1].startswith("At 0")
    assert document["comparison"]["verdict"] in top[2]


def test_the_command_can_be_copied_as_it_is(read):
    code = [data for path, data in read.words if path[-2:] == ("pre", "code")]
    assert code == ["sertool evaluate ravdess.csv --model 'joint seed 0' --noise unseen --snr 0"]


def test_the_numbers_can_be_taken_away(document, read):
    links = {
        one["download"]: base64.b64decode(one["href"].split("base64,")[1]).decode()
        for one in read.all("a")
        if "download" in one
    }
    assert json.loads(links["evaluation.json"]) == document
    assert links["evaluation.csv"] == as_csv(document) and links["evaluation.tex"] == as_latex(document)
    assert len(list(csv.DictReader(io.StringIO(links["evaluation.csv"])))) == 16


def test_utterances_are_shown_and_played_before_after_and_clean(read, examples):
    assert len(read.all("audio")) == 9
    assert len([one for one in read.all("svg") if "spectrogram" in one.get("class", "")]) == 9
    assert all("controls" in one and one["aria-label"] for one in read.all("audio"))
    for example, word in zip(examples, ("Best", "Median", "Worst"), strict=True):
        assert example.file in read.text and f"{word}: " in read.text
    assert "ranked by luck" in read.text
    assert "recognised: fear (40 % sure), wrong; SI-SDR before −0.1 dB; SI-SDR after 1.2 dB." in read.text


def test_an_example_without_enhancement_or_reference_is_played_too(document, examples):
    bare = dataclasses.replace(examples[0], clean=None, enhanced=None, label=None, predicted=None, confidence=None)
    found = Page(page(document, [bare]))
    assert len(found.all("audio")) == 1
    assert "nobody says what was spoken" in found.text


def test_clean_speech_is_not_played_twice(document, examples):
    same = dataclasses.replace(examples[0], noisy=examples[0].clean, enhanced=None)
    assert len(Page(page(document, [same])).all("audio")) == 1


def test_seen_utterances_are_told_at_the_top_and_in_the_card(document):
    document["seen_utterances"] = 12
    found = Page(page(document))
    warned = [data for path, data in found.words if "header" in path and "12 of the 1,440" in data]
    assert warned and "12 utterances of the test: scores flatter" in found.text


def test_missed_limits_of_stress_are_told(document):
    assert "UA falls by 26.0 points" in Page(page(document)).text
    assert "Most is lost to clipping: 20 dB over: −26.0 points." in Page(page(document)).text


def test_one_speaker_is_no_spread(document):
    document["by_speaker"] = [one for one in document["by_speaker"] if one["speaker"] == "01"]
    found = Page(page(document))
    assert "There is one speaker: nothing can be said about others." in found.text
    assert "speaker-strip-title" not in page(document)


def test_the_same_document_gives_the_same_page_and_is_not_changed(document, examples):
    before = copy.deepcopy(document)
    assert page(document, examples[:1]) == page(document, examples[:1])
    assert document == before


def test_the_page_is_written_whole_or_not_at_all(document, tmp_path):
    write_report(tmp_path / "new" / "report.html", document)
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == page(document)
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["report.html"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_report(tmp_path / "file" / "report.html", document)


def test_names_that_are_no_utf_8_can_be_written(document, tmp_path):
    document["data"]["manifest"] = document["failures"][0] = "caf\udce9.csv"
    write_report(tmp_path / "report.html", document)
    assert "caf\ufffd.csv" in (tmp_path / "report.html").read_text(encoding="utf-8")
