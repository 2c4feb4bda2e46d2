"""HTML: what a reader of the page sees, without navigation, scripts and styles."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from milepost_rag.blocks import Block, Headings, Kind
from milepost_rag.formats.text import require_text

_FEWEST_LINKS = 3  # one after another outside of a list that are navigation
_UNSEEN = {"script", "style", "template", "noscript", "head", "nav", "svg", "iframe", "object", "select", "button"}
_DEPTHS = {f"h{depth}": depth for depth in range(1, 7)}
_KINDS: dict[str, Kind] = {"li": "item", "dt": "item", "dd": "item", "tr": "row", "pre": "code"}
# A text ends where one of these begins or ends; any other is part of the text around it.
_PARTING = {*_DEPTHS, "tr", "pre", "table", "body", "article", "main", "section", "header", "footer", "form", "hr"}
# These too, but not within a row: its cells have paragraphs and lists of their own.
_PARTING_OUTSIDE_OF_ROWS = {
    "p", "div", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "center", "figure", "figcaption", "aside", "address",
    "caption", "details", "summary", "fieldset", "legend",
}  # fmt: skip

Found = tuple[Block, bool]
"""A block, and whether it is nothing but one link."""


def html_blocks(data: bytes) -> Iterator[Block]:
    """Paragraphs, list items, table rows and preformatted text, each with the line on which it begins.

    A list of nothing but links is navigation, and is left out, also where it is no list for HTML.
    """
    for kind, group in groupby(_blocks(data), _navigates):
        blocks, are_links = zip(*group, strict=True)
        if not (all(are_links) and (kind == "item" or len(blocks) >= _FEWEST_LINKS)):
            yield from blocks


def _navigates(found: Found) -> str:
    """What it belongs to: a list, a row of links, or text."""
    block, is_link = found
    return "item" if block.kind == "item" else "link" if is_link else "text"


def _blocks(data: bytes) -> Iterator[Found]:
    require_text(data)
    soup = BeautifulSoup(data, "html.parser")  # it finds the encoding; of the parsers, the one that tells lines
    walk = _Walk(soup.title.get_text() if soup.title else "")
    open_tags: list[Tag] = []
    for node in soup.descendants:  # a loop: recursion would end at a depth that pages exceed
        while open_tags and node.parent is not open_tags[-1]:
            yield from walk.leave(open_tags.pop())
        if isinstance(node, Tag):
            yield from walk.enter(node)
            open_tags.append(node)
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            walk.read(str(node))
    while open_tags:
        yield from walk.leave(open_tags.pop())


@dataclass
class _Text:
    """The text since the last element that parts: the name of that element, its line, and how much of it is link."""

    tag: str = ""
    line: int = 0
    pieces: list[str] = field(default_factory=list)
    links: int = 0
    linked: int = 0
    is_head: bool = True

    @property
    def content(self) -> str:
        text = "".join(self.pieces)
        return text.strip("\n").rstrip() if self.tag == "pre" else " ".join(text.split())

    @property
    def is_link(self) -> bool:
        return self.links == 1 and self.linked >= len(self.content)


class _Walk:
    """One place of the page, moved from its beginning to its end."""

    def __init__(self, title: str) -> None:
        self._headings = Headings()
        self._headings.enter(0, title)
        self._text = _Text()
        self._header = ""
        self._line = 1
        self._unseen = 0
        self._links = 0

    def enter(self, tag: Tag) -> Iterator[Found]:
        self._line = tag.sourceline or self._line
        self._unseen += tag.name in _UNSEEN
        if self._parts(tag):
            yield from self._part(tag.name)
        elif tag.name in ("td", "th"):
            self._text.pieces.append(" | " if self._text.pieces else "")
            self._text.is_head &= tag.name == "th"
        elif tag.name == "br" or tag.name in _PARTING_OUTSIDE_OF_ROWS:
            self._text.pieces.append("\n")
        elif tag.name == "a":
            self._links += 1
            self._text.links += 1

    def leave(self, tag: Tag) -> Iterator[Found]:
        self._unseen -= tag.name in _UNSEEN
        self._links -= tag.name == "a"
        if self._parts(tag):
            yield from self._part("")
        if tag.name == "table":
            self._header = ""

    def read(self, text: str) -> None:
        if self._unseen:
            return
        if not self._text.line and text.strip():
            self._text.line = self._line
        self._text.pieces.append(text)
        self._text.linked += len(" ".join(text.split())) if self._links else 0

    def _parts(self, tag: Tag) -> bool:
        return tag.name in _PARTING or (tag.name in _PARTING_OUTSIDE_OF_ROWS and self._text.tag != "tr")

    def _part(self, tag: str) -> Iterator[Found]:
        text, self._text = self._text, _Text(tag)
        content = text.content
        if not content:
            return
        if text.tag in _DEPTHS:
            self._headings.enter(_DEPTHS[text.tag], content)
        elif text.tag == "tr" and text.is_head and not self._header:
            self._header = content
        else:
            kind = _KINDS.get(text.tag, "paragraph")
            header = self._header if kind == "row" else ""
            yield Block(self._headings.path, content, line=text.line, kind=kind, header=header), text.is_link
