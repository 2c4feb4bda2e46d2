"""Bytes to text."""

from milepost_rag.errors import UnreadableError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 8192


def decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark, or else what editors on Windows write. Raises UnreadableError for no text."""
    require_text(data)
    if data[:2] in _UTF_16:
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def require_text(data: bytes) -> None:
    """Raises UnreadableError for bytes that are no text, as those of a picture with a wrong name."""
    if data[:2] not in _UTF_16 and b"\0" in data[:_LOOKED_AT]:
        raise UnreadableError("is no text; allowed: text in UTF-8 or UTF-16")
