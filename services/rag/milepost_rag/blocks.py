"""What every format is read into: the blocks of a document in order, each with its place."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["paragraph", "item", "row", "code"]


@dataclass(frozen=True)
class Block:
    """A paragraph, list item, table row or piece of code.

    `heading` is the path of headings above it ("Install > Linux"). `line` counts from 1 in the file, `page` from 1;
    one of both is 0, because a PDF has no lines and the other formats have no pages. `header` is the head row of
    the table that a row belongs to.
    """

    heading: str
    text: str
    line: int = 0
    page: int = 0
    kind: Kind = "paragraph"
    header: str = ""


class Headings:
    """The path of headings while a document is read from its beginning."""

    def __init__(self) -> None:
        self._titles: dict[int, str] = {}

    def enter(self, depth: int, title: str) -> None:
        """A heading of a depth, 0 the title of the document, ends those of its depth and below."""
        self._titles = {level: above for level, above in self._titles.items() if level < depth}
        self._titles[depth] = " ".join(title.split())

    @property
    def path(self) -> str:
        """The headings in force, a repeated one once: many pages have their title as first heading too."""
        return " > ".join(dict.fromkeys(title for _, title in sorted(self._titles.items()) if title))
