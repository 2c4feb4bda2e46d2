"""Blocks to passages: what stands together under one heading, never longer than asked for."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from milepost_rag.blocks import Block

Count = Callable[[str], int]
"""Tokens of a text in the embedding model's own counting."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_LINE_END = re.compile(r"\n")


@dataclass(frozen=True)
class Chunk:
    """One passage. `heading`, `line` and `page` are those of the block that it begins with."""

    heading: str
    text: str
    line: int = 0
    page: int = 0

    @property
    def location(self) -> str:
        """Where a person finds it: "Install > Linux, line 12" or "page 3"."""
        place = f"page {self.page}" if self.page else f"line {self.line}"
        return f"{self.heading}, {place}" if self.heading else place

    @property
    def searchable(self) -> str:
        """With its headings, which say what a passage is about when it does not."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


def parts_of(chunk: Chunk, *, max_tokens: int, count: Count) -> list[str]:
    """What is embedded of a passage: its sentences in parts, each below the passage's headings.

    One vector for all of a passage blurs what it says in one place; docs/rag.md has what that costs.
    """
    parts = _split(chunk.text, _SENTENCE_END, max_tokens, count)
    return [f"{chunk.heading}\n{part}" if chunk.heading else part for part in parts]


def chunks_of(blocks: Iterable[Block], *, max_tokens: int, count: Count) -> Iterator[Chunk]:
    """The passages of a document in order. A table that is cut has its head row in each part."""
    begun: Chunk | None = None
    header = ""
    for block in blocks:
        for piece in _pieces(block, max_tokens, count):
            if begun and (begun.heading, begun.page) == (piece.heading, piece.page):
                parting = "\n" if piece.kind in ("item", "row") else "\n\n"
                head = f"{piece.header}\n" if piece.header != header else ""
                joined = replace(begun, text=f"{begun.text}{parting}{head}{piece.text}")
                if count(joined.text) <= max_tokens:
                    begun, header = joined, piece.header
                    continue
            if begun:
                yield begun
            text = f"{piece.header}\n{piece.text}" if piece.header else piece.text
            begun, header = Chunk(piece.heading, text, piece.line, piece.page), piece.header
    if begun:
        yield begun


def _pieces(block: Block, max_tokens: int, count: Count) -> Iterator[Block]:
    """The block in pieces that fit, with the header of each where it leaves at least half of the room."""
    if block.header and count(block.header) * 2 > max_tokens:
        block = replace(block, header="")
    room = max_tokens - (count(block.header) + 1 if block.header else 0)
    end = _LINE_END if block.kind == "code" else _SENTENCE_END
    texts = _split(block.text, end, room, count)
    for text, line in zip(texts, _lines_of(texts, block), strict=True):
        yield replace(block, text=text, line=line)


def _lines_of(texts: Sequence[str], block: Block) -> Iterator[int]:
    """The line on which each text begins: they have the visible characters of the block, in their order."""
    visible = [at for at, character in enumerate(block.text) if not character.isspace()]
    line, at, seen = block.line, 0, 0
    for text in texts:
        begin = visible[seen] if seen < len(visible) else at
        line += block.text.count("\n", at, begin) if block.line else 0
        yield line
        at, seen = begin, seen + sum(not character.isspace() for character in text)


def _split(text: str, end: re.Pattern[str], max_tokens: int, count: Count) -> list[str]:
    if count(text) <= max_tokens:
        return [text]
    pieces = [piece for piece in end.split(text) if piece.strip()]
    if len(pieces) == 1:
        return _halves(text, end, max_tokens, count)
    joint = "\n" if end is _LINE_END else " "
    parts: list[str] = []
    for piece in pieces:
        if parts and count(f"{parts[-1]}{joint}{piece}") <= max_tokens:
            parts[-1] = f"{parts[-1]}{joint}{piece}"
        else:
            parts.extend(_split(piece, end, max_tokens, count))
    return parts


def _halves(text: str, end: re.Pattern[str], max_tokens: int, count: Count) -> list[str]:
    """Cuts a sentence without end in the middle, at a space where there is one near."""
    middle = len(text) // 2
    if middle == 0:
        return [text]
    space = text.rfind(" ", middle // 2, middle)
    at = space if space > 0 else middle
    return [*_split(text[:at], end, max_tokens, count), *_split(text[at:].lstrip(), end, max_tokens, count)]
