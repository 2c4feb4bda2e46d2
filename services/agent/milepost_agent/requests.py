"""What a request may hold: checked before anything is stored."""

import hashlib
import uuid

from milepost_agent.errors import InvalidRequest
from milepost_agent.store import NewRequest
from milepost_service.servicer import PROMPT_BYTES


def check_text(field: str, text: str) -> None:
    """Refuses a text that is empty or too long.

    Raises:
        InvalidRequest: it is.
    """
    size = len(text.encode())
    if not text.strip():
        raise InvalidRequest(f"{field}: is empty; allowed: 1 to {PROMPT_BYTES} bytes of UTF-8")
    if size > PROMPT_BYTES:
        raise InvalidRequest(f"{field}: has {size} bytes; allowed: 1 to {PROMPT_BYTES} bytes of UTF-8")


def check_length(field: str, text: str, limit: int) -> None:
    """Refuses a text of more than `limit` characters.

    Raises:
        InvalidRequest: it is longer.
    """
    if len(text) > limit:
        raise InvalidRequest(f"{field}: has {len(text)} characters; allowed: at most {limit}")


def check_uuid(field: str, value: str) -> str:
    """The UUID in canonical form.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise InvalidRequest(f"{field}: {value[:80]!r} is no UUID; allowed: a UUID") from None


def once(request_id: str, method: str, *body: str) -> NewRequest | None:
    """The identity of a request that changes something once; None when the caller gave it no id.

    Raises:
        InvalidRequest: the id is no UUID.
    """
    if not request_id:
        return None
    digest = hashlib.sha256("\0".join(body).encode()).hexdigest()
    return NewRequest(check_uuid("request_id", request_id), method, digest)
