"""HTML made of elements, in which every text is escaped unless it is markup already."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
"""Elements that have no end."""


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


Content = str | int | None


def text(content: Content) -> Html:
    """Return a text as markup: escaped, and without characters that no page can hold.

    A file name may hold anything but a slash: tags, control characters, bytes that are no UTF-8 (Python's surrogates).
    """
    if isinstance(content, Html):
        return content
    if content is None:
        return Html("")
    shown = str(content)
    if not shown.isprintable():
        shown = "".join(one if one.isprintable() or one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in shown)
    return Html(html.escape(shown))


def join(parts: Iterable[Content]) -> Html:
    """Return the parts one after another."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, /, *children: Content, **attributes: str | int | float | bool | None) -> Html:
    """Return an element.

    Args:
        name: of the element.
        children: what it holds; texts are escaped, markup is not.
        attributes: `class_` and `for_` stand for `class` and `for`, other underscores for hyphens. None and False leave
            an attribute out, True writes its name alone; numbers are written with two decimals at most.
    """
    written = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def _attribute(key: str, value: str | int | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{text(str(value))}"'


@dataclass(frozen=True)
class Cell:
    """What a cell of a table holds, and the class it is drawn by."""

    content: Content
    look: str | None = None


def table(
    caption: Content,
    head: Sequence[Content],
    rows: Sequence[Sequence[Content | Cell]],
    *,
    look: str | None = None,
    label: str | None = None,
) -> Html:
    """Return a table in a frame of its own that scrolls, by touch or keys, where the page is narrower.

    Args:
        caption: says what the numbers are.
        head: the names of the columns.
        rows: cells; the first of each row names it.
        look: class of the table.
        label: what a screen reader calls the frame, unlike any other on the page; the caption where it is not given.
    """
    columns = tag("tr", *(tag("th", name, scope="col") for name in head))
    body = join(tag("tr", *(_cell(cell, heads=place == 0) for place, cell in enumerate(row))) for row in rows)
    inner = tag("table", tag("caption", tag("span", caption)), tag("thead", columns), tag("tbody", body), class_=look)
    return tag("div", inner, class_="scroll", role="group", tabindex="0", aria_label=label or plain(caption))


def _cell(cell: Content | Cell, *, heads: bool) -> Html:
    content, look = (cell.content, cell.look) if isinstance(cell, Cell) else (cell, None)
    if heads:
        return tag("th", content, scope="row", class_=look)
    return tag("td", content, class_=look)


def plain(content: Content) -> str:
    """Return the words of a text or of markup, without its tags."""
    if not isinstance(content, Html):
        return "" if content is None else str(content)
    words, inside = [], False
    for character in content:
        if character == "<":
            inside = True
        elif character == ">":
            inside = False
        elif not inside:
            words.append(character)
    return html.unescape("".join(words))


def section(anchor: str, title: str, *parts: Content) -> Html:
    """Return a part of the page under a heading that the contents can lead to."""
    heading = tag("h2", title, id=f"{anchor}-title")
    return tag("section", heading, *parts, id=anchor, aria_labelledby=f"{anchor}-title", tabindex="-1")


def paragraph(*parts: Content, look: str | None = None) -> Html:
    """Return a paragraph."""
    return tag("p", *parts, class_=look)


def details(summary: Content, *parts: Content, open_: bool = False) -> Html:
    """Return parts that are shown on demand."""
    return tag("details", tag("summary", summary), *parts, open=open_)


def bullets(items: Iterable[Content]) -> Html:
    """Return a list."""
    return tag("ul", *(tag("li", item) for item in items))


def facts(pairs: Iterable[tuple[Content, Content]]) -> Html:
    """Return names with what each stands for."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")
