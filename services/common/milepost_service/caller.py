"""What the metadata of a call says about who makes it."""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from milepost_service.errors import InvalidArgumentError
from milepost_service.metadata import CALL_ID, EPOCH, LINGER, OWNER, first_value

MAX_CALL_ID = 512
MAX_EPOCH = 2**63 - 1
MAX_LINGER_MS = 3_600_000
_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class Caller:
    """`owner` is the UUID of the caller's file of runs, `linger` is in seconds; what was not sent is empty or None."""

    call_id: str
    owner: str
    epoch: int | None
    linger: float

    @classmethod
    def of(cls, metadata: Iterable[tuple[str, str | bytes]] | None) -> "Caller":
        """Reads the metadata of one call. Raises InvalidArgumentError for a value that is not well formed."""
        pairs = tuple(metadata or ())
        return cls(
            _call_id(first_value(pairs, CALL_ID)),
            _owner(first_value(pairs, OWNER)),
            _number(EPOCH, first_value(pairs, EPOCH), MAX_EPOCH),
            (_number(LINGER, first_value(pairs, LINGER), MAX_LINGER_MS) or 0) / 1000,
        )


def _call_id(value: str) -> str:
    if len(value) > MAX_CALL_ID:
        raise InvalidArgumentError(f"{CALL_ID}: has {len(value)} characters; allowed: at most {MAX_CALL_ID}")
    return value


def _owner(value: str) -> str:
    try:
        return str(uuid.UUID(value)) if value else ""
    except ValueError:
        raise InvalidArgumentError(f"{OWNER}: is {value[:80]!r}; allowed: a UUID") from None


def _number(key: str, value: str, largest: int) -> int | None:
    if not value:
        return None
    if not _NUMBER.fullmatch(value) or int(value) > largest:
        raise InvalidArgumentError(f"{key}: is {value[:80]!r}; allowed: a whole number from 0 to {largest}")
    return int(value)
