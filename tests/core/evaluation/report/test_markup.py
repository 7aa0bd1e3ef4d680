"""Markup: what comes from data stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis.strategies import text as texts

from sertool.core.evaluation.report.markup import Cell, Html, details, join, plain, table, tag, text


class Reader(HTMLParser):
    """Collects the elements, their attributes and the words of a piece of markup."""

    def __init__(self, markup: str):
        super().__init__()
        self.elements, self.words = [], ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data


@given(texts())
def test_any_text_comes_out_as_it_went_in_and_adds_no_element(words):
    read = Reader(tag("p", words, title=words))
    kept = "".join(one if one.isprintable() or one.isspace() else "\ufffd" for one in words)
    normal = kept.replace("\r\n", "\n").replace("\r", "\n")
    assert [name for name, _ in read.elements] == ["p"]
    assert read.words.replace("\r\n", "\n").replace("\r", "\n") == normal
    assert read.elements[0][1]["title"] == kept


def test_a_name_that_is_no_text_can_be_written_as_utf_8():
    assert text("a\udc80\x00b").encode("utf-8") == "a\ufffd\ufffdb".encode()


def test_markup_is_not_escaped_twice_but_what_is_joined_to_it_is():
    assert join([tag("b", "<"), "<"]) == "<b>&lt;</b>&lt;"
    assert isinstance(join([]), Html)


def test_attributes_are_left_out_where_they_are_none_or_false():
    assert (
        tag("details", open=True, class_=None, hidden=False, aria_label="x")
        == '<details open aria-label="x"></details>'
    )
    assert tag("circle", cx=1.0, cy=2.346) == '<circle cx="1" cy="2.35"></circle>'
    assert tag("meta", name="a") == '<meta name="a">'


def test_a_table_names_its_rows_and_columns_and_can_be_scrolled_by_keys():
    read = Reader(table("How <much>", ["who", "what"], [["a", Cell("1", "heat-2")]]))
    assert [(name, found.get("scope")) for name, found in read.elements if name == "th"] == [
        ("th", "col"),
        ("th", "col"),
        ("th", "row"),
    ]
    frame = read.elements[0][1]
    assert (frame["tabindex"], frame["aria-label"]) == ("0", "How <much>")
    assert ("td", {"class": "heat-2"}) in read.elements
    assert "caption" in [name for name, _ in read.elements]


def test_plain_gives_the_words_of_markup():
    assert plain(join([tag("b", "a < b"), " & c"])) == "a < b & c"
    assert plain("a < b") == "a < b"


def test_details_can_be_unfolded():
    assert details("more", "text") == "<details><summary>more</summary>text</details>"
