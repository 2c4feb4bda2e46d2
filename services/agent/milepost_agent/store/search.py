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
_TEXT: Final = (
    r"prompt LIKE ? ESCAPE '\' AND prompt GLOB ? OR run_id LIKE ? ESCAPE '\' OR correlation_id LIKE ? ESCAPE '\'"
)
"""LIKE is quick and knows upper and lower case of ASCII alone; GLOB, eight times slower, decides about the rest."""


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
    rough, exact = _rough(wanted.text), _in_any_case(wanted.text)
    of_id = f"{rough}%" if wanted.text.isascii() else ""
    matching = (f"number >= ? AND ({_TEXT})", (floor, f"%{rough}%", exact, of_id, of_id))
    found = _cut(_listing(connection, wanted, limit + 1, top, matching), limit)
    return found if found.before is not None else Page(found.runs, floor if floor > 0 else None)


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


def _rough(text: str) -> str:
    """For LIKE; a letter that it does not know is any letter."""
    return "".join("_" if not letter.isascii() else f"\\{letter}" if letter in "%_\\" else letter for letter in text)


def _in_any_case(text: str) -> str:
    """For GLOB; everything where LIKE has decided."""
    return "*" if text.isascii() else f"*{''.join(map(_letter, text))}*"


def _letter(letter: str) -> str:
    forms = sorted({letter, *(form for form in (letter.lower(), letter.upper()) if len(form) == 1)})
    return f"[{''.join(forms)}]" if len(forms) > 1 or letter in "*?[" else letter
