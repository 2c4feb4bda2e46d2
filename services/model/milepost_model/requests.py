"""What a request may carry, checked before any work is done for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from milepost.model.v1 import model_pb2
from milepost_service.errors import InvalidArgumentError
from milepost_service.servicer import PROMPT_BYTES, check_prompt

ROLES = ("system", "user", "assistant")
MAX_CANDIDATES = 32
MAX_EMBED_TEXTS = 256


@dataclass(frozen=True)
class Turn:
    """One message of a chat; `role` is system, user or assistant."""

    role: str
    content: str


def chat_turns(messages: Sequence[model_pb2.ChatMessage]) -> list[Turn]:
    """The messages of a request; refuses roles that there are not, and none, empty or too many words."""
    if not messages:
        raise InvalidArgumentError("chat.messages: is empty; allowed: at least one message")
    for message in messages:
        if message.role not in ROLES:
            raise InvalidArgumentError(f"chat.messages: role {message.role!r}; allowed: {', '.join(ROLES)}")
    size = sum(len(message.content.encode()) for message in messages)
    if size > PROMPT_BYTES:
        raise InvalidArgumentError(f"chat.messages: have {size} bytes; allowed: at most {PROMPT_BYTES} bytes")
    if not any(message.content.strip() for message in messages):
        raise InvalidArgumentError(f"chat.messages: are empty; allowed: 1 to {PROMPT_BYTES} bytes")
    return [Turn(message.role, message.content) for message in messages]


def checked_candidates(request: model_pb2.ScoreRequest) -> list[str]:
    """The continuations to score."""
    candidates = list(request.candidates)
    if not 1 <= len(candidates) <= MAX_CANDIDATES or len(set(candidates)) < len(candidates) or not all(candidates):
        raise InvalidArgumentError(f"candidates: allowed: 1 to {MAX_CANDIDATES} distinct, non-empty texts")
    for candidate in candidates:
        check_prompt(candidate, "candidates")
    return candidates


def checked_texts(request: model_pb2.EmbedRequest) -> list[str]:
    """The texts to embed."""
    if not 1 <= len(request.texts) <= MAX_EMBED_TEXTS:
        raise InvalidArgumentError(f"texts: has {len(request.texts)}; allowed: 1 to {MAX_EMBED_TEXTS}")
    for text in request.texts:
        check_prompt(text, "texts")
    return list(request.texts)
