"""Words of others for a condition: one line, without what changes by itself while the same thing goes on being wrong.

A text that differs at each attempt would be a new status at each attempt.
"""

import json
import re
from collections.abc import Sequence

_LINE_LIMIT = 500
_CHANGING: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"\(combined from similar events\): ", ""),
        (r"^Error creating: ", ""),
        (r'pods? "[^"]*" is forbidden: ', ""),  # each attempt names another pod
        (r", used: .*?(?=, limited: )", ""),  # what other pods take comes and goes
        (r" preemption: .*", ""),
        (r"back-off \S+ ", ""),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?[+-]\d\d:?\d\d|Z)?(?: m=[+-][\d.]+)?:? *", ""),
        (r"(?<=->)\S+|\S+(?=->)", "…"),  # addresses of one connection
        (r"(?<!sha256:)\b[0-9a-f]{64}\b", "…"),  # containers and sandboxes
        (r"\b0x[0-9a-f]{6,}\b", "…"),
    )
)


def line(text: str) -> str:
    """All of it as one line of at most 500 characters."""
    flat = " ".join(text.split())
    for pattern, instead in _CHANGING:
        flat = pattern.sub(instead, flat)
    flat = flat.strip().rstrip(".")
    return flat if len(flat) <= _LINE_LIMIT else flat[: _LINE_LIMIT - 1] + "…"


def last_line(text: str) -> str:
    """The last line of what a process wrote; of a log record its message."""
    lines = [each for each in text.splitlines() if each.strip()]
    return line(_message(lines[-1])) if lines else ""


def _message(written: str) -> str:
    try:
        record = json.loads(written)
    except ValueError:
        return written
    if not isinstance(record, dict) or not record.get("message"):
        return written
    exception = str(record.get("exception") or "").strip().splitlines()
    return ": ".join([str(record["message"]), *exception[-1:]])
