"""Markdown with tables, as CommonMark says it."""

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from milepost_rag.blocks import Block, Headings, Kind
from milepost_rag.formats.text import decoded

_markdown = MarkdownIt("commonmark").enable("table")
_LISTS = ("bullet_list_open", "ordered_list_open")


def markdown_blocks(data: bytes) -> Iterator[Block]:
    """Paragraphs, items of outer lists with what is in them, rows of tables, code; text as it is written."""
    text = decoded(data)
    lines = text.splitlines()
    tokens = _markdown.parse("\n".join(lines))
    headings = Headings()
    for index, token in enumerate(tokens):
        if token.level != 0 or token.map is None or token.nesting < 0:
            continue
        if token.type == "heading_open":
            headings.enter(int(token.tag[1:]), tokens[index + 1].content)
        elif token.type in _LISTS:
            yield from _parts(tokens[index + 1 :], "list_item_open", 1, "item", headings.path, lines)
        elif token.type == "table_open":
            yield from _rows(tokens[index + 1 :], headings.path, lines)
        else:
            kind: Kind = "code" if token.type in ("fence", "code_block") else "paragraph"
            yield from _block(token, kind, headings.path, lines)


def _rows(tokens: Sequence[Token], heading: str, lines: list[str]) -> Iterator[Block]:
    head, *rows = _parts(tokens, "tr_open", 2, "row", heading, lines)
    for row in rows or [head]:
        header = head.text if row is not head else ""
        yield Block(heading, row.text, line=row.line, kind="row", header=header)


def _parts(
    tokens: Sequence[Token], opening: str, level: int, kind: Kind, heading: str, lines: list[str]
) -> Iterator[Block]:
    """The parts of a list or table that begins before the first of `tokens`."""
    for token in tokens:
        if token.level == 0:
            return
        if token.type == opening and token.level == level:
            yield from _block(token, kind, heading, lines)


def _block(token: Token, kind: Kind, heading: str, lines: list[str]) -> Iterator[Block]:
    assert token.map is not None
    first, after = token.map
    text = "\n".join(lines[first:after]).strip("\n").rstrip()
    if text.strip():
        yield Block(heading, text, line=first + 1, kind=kind)
