"""Text of models and users, made safe and short enough for a terminal."""

from __future__ import annotations

import re
import unicodedata

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """`text` without control characters (line breaks and tabs stay), so that no escape sequence reaches a terminal."""
    return CONTROLS.sub("", text.replace("\r\n", "\n")).encode("utf-8", "replace").decode()


def one_line(text: str, limit: int = 100) -> str:
    """`text` on one line, cut after `limit` characters with an ellipsis."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def first_lines(text: str, count: int, width: int = 160) -> list[str]:
    """The first `count` lines that are not blank, each cut to `width`; a last "…" says that there was more."""
    lines = [line.rstrip() for line in printable(text).splitlines() if line.strip()]
    cut = [line if len(line) <= width else line[: width - 1] + "…" for line in lines[:count]]
    return [*cut, "…"] if len(lines) > count else cut


def milliseconds(value: float) -> str:
    """A duration in milliseconds as people say it: "8.4 ms", "340 ms", "2.1 s"."""
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def spaced(name: str) -> str:
    """CamelCase as words: "ReviewLimitReached" becomes "review limit reached"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", unicodedata.normalize("NFC", name)).lower()
