"""Markdown to passages: cut at headings, then at blocks, then at sentences, never longer than asked for."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt

Count = Callable[[str], int]
"""Tokens of a text in the embedding model's own counting."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_markdown = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Chunk:
    """One passage. `heading` is the path of headings above it ("Install > Linux"), `line` counts from 1."""

    heading: str
    line: int
    text: str

    @property
    def location(self) -> str:
        return self.heading or f"line {self.line}"

    @property
    def searchable(self) -> str:
        """What is embedded: the headings say what a passage is about when it does not."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


@dataclass(frozen=True)
class _Block:
    heading: str
    line: int
    text: str


def chunks_of(markdown: str, *, max_tokens: int, count: Count) -> list[Chunk]:
    """The passages of a document in order; plain text is Markdown without headings."""
    chunks: list[Chunk] = []
    for block in _blocks(markdown):
        for piece in _split(block.text, max_tokens, count):
            last = chunks[-1] if chunks else None
            joined = f"{last.text}\n\n{piece}" if last else piece
            if last and last.heading == block.heading and count(joined) <= max_tokens:
                chunks[-1] = Chunk(last.heading, last.line, joined)
            else:
                chunks.append(Chunk(block.heading, block.line, piece))
    return chunks


def _blocks(markdown: str) -> Iterator[_Block]:
    lines = markdown.splitlines()
    tokens = _markdown.parse(markdown)
    path: dict[int, str] = {}
    for index, token in enumerate(tokens):
        if token.level != 0 or token.map is None or token.nesting < 0:
            continue
        first, after = token.map
        if token.type == "heading_open":
            depth = int(token.tag[1:])
            path = {level: title for level, title in path.items() if level < depth}
            path[depth] = tokens[index + 1].content.strip()
            continue
        text = "\n".join(lines[first:after]).strip()
        if text:
            yield _Block(" > ".join(title for _, title in sorted(path.items()) if title), first + 1, text)


def _split(text: str, max_tokens: int, count: Count) -> list[str]:
    if count(text) <= max_tokens:
        return [text]
    pieces = [piece for piece in _SENTENCE_END.split(text) if piece.strip()]
    if len(pieces) == 1:
        return _halves(text, max_tokens, count)
    parts: list[str] = []
    for piece in pieces:
        if parts and count(f"{parts[-1]} {piece}") <= max_tokens:
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.extend(_split(piece, max_tokens, count))
    return parts


def _halves(text: str, max_tokens: int, count: Count) -> list[str]:
    """Cuts a sentence without end in the middle, at a space where there is one near."""
    middle = len(text) // 2
    if middle == 0:
        return [text]
    space = text.rfind(" ", middle // 2, middle)
    at = space if space > 0 else middle
    return [*_split(text[:at], max_tokens, count), *_split(text[at:].lstrip(), max_tokens, count)]
