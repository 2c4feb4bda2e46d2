"""One module a format; each makes blocks of a file's bytes and raises UnreadableError for what it cannot read."""

from collections.abc import Callable, Iterable
from pathlib import PurePath

from milepost_rag.blocks import Block
from milepost_rag.formats.html import html_blocks
from milepost_rag.formats.markdown import markdown_blocks
from milepost_rag.formats.pdf import pdf_blocks
from milepost_rag.formats.plain import plain_blocks

FORMATS: dict[str, Callable[[bytes], Iterable[Block]]] = {
    ".md": markdown_blocks,
    ".markdown": markdown_blocks,
    ".txt": plain_blocks,
    ".html": html_blocks,
    ".htm": html_blocks,
    ".pdf": pdf_blocks,
}


def blocks_of(name: str, data: bytes) -> Iterable[Block]:
    """The blocks of a document, by the suffix of its name. Raises UnreadableError, also while they are taken."""
    return FORMATS[PurePath(name).suffix.lower()](data)
