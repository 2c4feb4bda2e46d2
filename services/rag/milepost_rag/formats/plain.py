"""Plain text: paragraphs are what blank lines part, headings what a line of `=` or `-` underlines."""

import re
from collections.abc import Iterator

from milepost_rag.blocks import Block, Headings
from milepost_rag.formats.text import decoded

_UNDERLINE = re.compile(r"={3,}|-{3,}")


def plain_blocks(data: bytes) -> Iterator[Block]:
    """The paragraphs of a text under their headings, with their first lines."""
    headings = Headings()
    paragraph: list[str] = []
    first = 1
    for number, line in enumerate([*decoded(data).splitlines(), ""], start=1):
        if len(paragraph) == 1 and _underlines(line.strip(), paragraph[0].strip()):
            headings.enter(1 if line.lstrip().startswith("=") else 2, paragraph[0])
            paragraph = []
        elif line.strip():
            first = first if paragraph else number
            paragraph.append(line.rstrip())
        elif paragraph:
            yield Block(headings.path, "\n".join(paragraph), line=first)
            paragraph = []


def _underlines(line: str, text: str) -> bool:
    """Whether the line is a rule about as long as the text above it."""
    return bool(_UNDERLINE.fullmatch(line)) and abs(len(line) - len(text)) <= 2
