"""Plain text: paragraphs are what blank lines part."""

from collections.abc import Iterator

from milepost_rag.blocks import Block
from milepost_rag.formats.text import decoded


def plain_blocks(data: bytes) -> Iterator[Block]:
    """The paragraphs of a text with their first lines."""
    paragraph: list[str] = []
    first = 1
    for number, line in enumerate([*decoded(data).splitlines(), ""], start=1):
        if line.strip():
            first = first if paragraph else number
            paragraph.append(line.rstrip())
        elif paragraph:
            yield Block("", "\n".join(paragraph), line=first)
            paragraph = []
