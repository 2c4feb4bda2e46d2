"""What can go wrong with documents."""

from milepost_service.errors import FailedPreconditionError, MilepostError


class IndexUnusableError(MilepostError):
    """The index file is damaged or of another version; it can be made again from the documents."""


class NoPassagesError(FailedPreconditionError):
    """There is nothing to answer from."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"no passages are indexed; put Markdown or text files into {folder}")


__all__ = ["IndexUnusableError", "NoPassagesError"]
