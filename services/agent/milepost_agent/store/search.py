"""Runs that a person looks for, by text in the prompt or by the beginning of an id; in parts that are bounded."""

import re
from dataclasses import dataclass
from typing import Any, Final

import apsw

from milepost_agent.store import runs
from milepost_agent.store.records import RunRecord

PART: Final = 2_000
"""Runs whose prompts are read in one query, so that others get their turn on the same reader."""
_PART_OF_ID: Final = re.compile(r"[0-9a-f]{8}(-|$)[0-9a-f-]{0,27}")
_ID: Final = """
number IN (SELECT number FROM runs WHERE run_id >= ? AND run_id < ?
           UNION SELECT number FROM runs WHERE correlation_id >= ? AND correlation_id < ?)
"""
_TEXT: Final = r"prompt LIKE ? ESCAPE '\' OR run_id LIKE ? ESCAPE '\' OR correlation_id LIKE ? ESCAPE '\'"


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted; what is empty asks nothing."""

    states: tuple[str, ...] = ()
    outcome: str = ""
    text: str = ""
    """In the prompt, in any case, or the beginning of a run id or correlation id."""


@dataclass(frozen=True)
class Page:
    """Runs, newest first, and where the next page begins, as an exclusive bound for `number`; None: nowhere."""

    runs: list[RunRecord]
    before: int | None


def page(connection: apsw.Connection, wanted: RunFilter, limit: int, before: int | None) -> Page:
    """The next runs. With a text it may hold fewer than `limit` though there are more: a part was looked through."""
    if not wanted.text:
        return _cut(_listing(connection, wanted, limit + 1, before), limit)
    if _is_id(connection, wanted.text):
        return _cut(_listing(connection, wanted, limit + 1, before, (_ID, _bounds(wanted.text) * 2)), limit)
    return _part(connection, wanted, limit, before)


def _part(connection: apsw.Connection, wanted: RunFilter, limit: int, before: int | None) -> Page:
    """Looks through the next `PART` runs that are in question."""
    top = _newest(connection) + 1 if before is None else before
    floor = _floor(connection, top)
    pattern = _pattern(wanted.text)
    found = _listing(
        connection,
        wanted,
        limit + 1,
        top,
        (f"number >= ? AND ({_TEXT})", (floor, f"%{pattern}%", *[f"{pattern}%"] * 2)),
    )
    if len(found) > limit:
        return Page([run for run in found[:limit] if _has(run, wanted.text)], found[limit - 1].number)
    return Page([run for run in found if _has(run, wanted.text)], floor if floor > 0 else None)


def _newest(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT MAX(number) FROM runs").get or 0)


def _floor(connection: apsw.Connection, top: int) -> int:
    """The number that `PART` runs have down from `top`; 0 when there are no more than that."""
    query = "SELECT number FROM runs WHERE number < ? ORDER BY number DESC LIMIT 1 OFFSET ?"
    return int(connection.execute(query, (top, PART - 1)).get or 0)


def _listing(
    connection: apsw.Connection, wanted: RunFilter, limit: int, before: int | None, matching: Any = ("", ())
) -> list[RunRecord]:
    return runs.listing(connection, wanted.states, limit, before, outcome=wanted.outcome, matching=matching)


def _cut(found: list[RunRecord], limit: int) -> Page:
    return Page(found[:limit], found[limit - 1].number if len(found) > limit else None)


def _is_id(connection: apsw.Connection, text: str) -> bool:
    """Whether it is the beginning of an id that is there, which two indexes tell."""
    if not _PART_OF_ID.fullmatch(text.lower()):
        return False
    query = f"SELECT EXISTS (SELECT 1 FROM runs WHERE {_ID})"
    return bool(connection.execute(query, _bounds(text) * 2).get)


def _bounds(text: str) -> tuple[str, str]:
    return text.lower(), text.lower() + "g"


def _pattern(text: str) -> str:
    """For LIKE, which knows upper and lower case of ASCII alone: any character where there is another."""
    return "".join("_" if not letter.isascii() else f"\\{letter}" if letter in "%_\\" else letter for letter in text)


def _has(run: RunRecord, text: str) -> bool:
    """Whether a run that the pattern let through has the text."""
    wanted = text.lower()
    return wanted in run.prompt.lower() or run.run_id.startswith(wanted) or run.correlation_id.startswith(wanted)
