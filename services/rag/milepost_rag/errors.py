"""What can go wrong with documents."""

from milepost_service.errors import FailedPreconditionError, MilepostError


class IndexUnusableError(MilepostError):
    """The index file is damaged or of another version; it can be made again from the documents."""


class NoPassagesError(FailedPreconditionError):
    """There is nothing to answer from. `refusals` tells of documents that are there and cannot be read."""

    def __init__(self, folder: str, refusals: str = "") -> None:
        refused = f"; refused: {refusals}" if refusals else ""
        super().__init__(f"no passages are indexed; put Markdown, text, HTML or PDF files into {folder}{refused}")


class ReaderBrokenError(MilepostError):
    """The process that reads documents cannot be started."""


class UnreadableError(MilepostError):
    """A document cannot be read, for the reason that the text gives; a new version of it may be."""


__all__ = ["IndexUnusableError", "NoPassagesError", "ReaderBrokenError", "UnreadableError"]
