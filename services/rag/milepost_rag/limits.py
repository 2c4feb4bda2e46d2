"""How much of other people's documents is taken on: beyond it a document is refused by name, the rest is served."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of a corpus, of a document, and of what reading one may cost."""

    documents: int = 5_000
    passages: int = 10_000
    """Of the whole corpus. Search is exact, so its time grows with them."""
    text_bytes: int = 8 * MIB
    """Size of a Markdown, text or HTML file."""
    pdf_bytes: int = 32 * MIB
    characters: int = 2_000_000
    """Text that one document may hold, as a novel of 1,000 pages does."""
    reader_bytes: int = 384 * MIB
    """Memory of the process that reads documents."""
    reader_cpu_seconds: int = 20
    """CPU time for one document."""
    reader_wall_seconds: float = 180.0
    """For a document whose volume hangs; on a busy machine a good one may take long."""
