"""PDF: text page by page; a line in a larger type than most of the document is a heading."""

import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pypdf
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from milepost_rag.blocks import Block, Headings
from milepost_rag.errors import UnreadableError

_HEADING_SIZE = 1.15  # of the type that most characters have
_HEADING_CHARACTERS = 160
_PARAGRAPH_GAP = 1.7  # from line to line, in sizes of the type
_SENTENCE_ENDS = (".", "!", "?", ":")
_ENCRYPTED = "is encrypted; allowed: a PDF file that opens without a password"


@dataclass(frozen=True)
class _Piece:
    """What a page shows in one go. `size` is that of its type and `height` its place, both in points."""

    text: str
    size: float
    height: float


@dataclass(frozen=True)
class _Line:
    text: str
    size: float
    height: float
    page: int

    def follows(self, above: "_Line") -> bool:
        """Whether it goes on with the paragraph of the line above it."""
        if self.page != above.page:
            return not above.text.endswith(_SENTENCE_ENDS)
        return above.height - self.height < _PARAGRAPH_GAP * max(self.size, above.size)


def pdf_blocks(data: bytes) -> Iterator[Block]:
    """The paragraphs of each page under their headings. Raises UnreadableError."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it mends is no news
    try:
        lines = list(_lines(data))
    except LimitReachedError as error:
        raise UnreadableError(f"unpacks to more than can be read: {error}") from None
    except DependencyError:
        raise UnreadableError(_ENCRYPTED) from None
    except PyPdfError as error:
        raise UnreadableError(f"is damaged, or no PDF file: {error}") from None
    if not lines:
        raise UnreadableError("holds no text; allowed: a PDF file with text, not with pictures of it")
    yield from _blocks(lines)


def _lines(data: bytes) -> Iterator[_Line]:
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableError(_ENCRYPTED)
    for number, page in enumerate(reader.pages, start=1):
        pieces: list[_Piece] = []

        def visit(text: str, page: Any, line: Any, font: Any, size: float, into: Any = pieces) -> None:
            into.append(_Piece(text, round(abs(size * line[3] * page[3]), 1), line[5] * page[3] + page[5]))

        page.extract_text(visitor_text=visit)
        yield from _joined(pieces, number)


def _joined(pieces: Sequence[_Piece], page: int) -> Iterator[_Line]:
    """The lines of a page that show something, each of the size that most of it has."""
    parts: list[_Piece] = []
    for piece in [*pieces, _Piece("\n", 0, 0)]:
        first, *more = piece.text.split("\n")
        for place, text in enumerate([first, *more]):
            if place:
                if text_of_line := " ".join("".join(part.text for part in parts).split()):
                    main = max(parts, key=lambda part: len(part.text.strip()))
                    yield _Line(text_of_line, main.size, main.height, page)
                parts = []
            parts.append(_Piece(text, piece.size, piece.height))


def _blocks(lines: Sequence[_Line]) -> Iterator[Block]:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    depths = _depths(sizes)
    headings = Headings()
    paragraph: list[_Line] = []
    for line in lines:
        is_heading = line.size in depths and len(line.text) <= _HEADING_CHARACTERS
        if paragraph and (is_heading or not line.follows(paragraph[-1])):
            yield _paragraph(headings, paragraph)
            paragraph = []
        if is_heading:
            headings.enter(depths[line.size], line.text)
        else:
            paragraph.append(line)
    if paragraph:
        yield _paragraph(headings, paragraph)


def _paragraph(headings: Headings, lines: Sequence[_Line]) -> Block:
    return Block(headings.path, " ".join(line.text for line in lines), page=lines[0].page)


def _depths(sizes: Counter[float]) -> dict[float, int]:
    """Depth of headings by the size of their type, of the characters of each size: the largest is 1."""
    usual = sizes.most_common(1)[0][0]
    larger = sorted((size for size in sizes if size > usual * _HEADING_SIZE), reverse=True)
    return {size: depth for depth, size in enumerate(larger, start=1)}
