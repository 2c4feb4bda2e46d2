"""Cursors: how far a client has followed the journal of each agent, as `AGENT=SEQUENCE` joined by `;`."""

from collections.abc import Mapping

from milepost_gateway.errors import ApiError

MAX_AGENTS = 1000
MAX_SEQUENCE = 2**63 - 1


def parse_cursor(text: str) -> dict[str, int]:
    """Raises ApiError for what `format_cursor` did not write."""
    places: dict[str, int] = {}
    for part in text.split(";") if text else ():
        agent, _, number = part.rpartition("=")
        if not agent or not (number.isascii() and number.isdigit()) or len(number) > 19 or int(number) > MAX_SEQUENCE:
            raise ApiError("INVALID_ARGUMENT", f"cursor: {part[:80]!r} is not AGENT=SEQUENCE")
        places[agent] = int(number)
    if len(places) > MAX_AGENTS:
        raise ApiError("INVALID_ARGUMENT", f"cursor: names more than {MAX_AGENTS} agents")
    return places


def format_cursor(places: Mapping[str, int]) -> str:
    return ";".join(f"{agent}={sequence}" for agent, sequence in places.items())
