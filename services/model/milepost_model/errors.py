"""What can go wrong between a request and the model."""

from milepost_service.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    MilepostError,
    ResourceExhaustedError,
    ServiceError,
)


class EngineError(ServiceError):
    """llama.cpp refused to compute; the request may not be at fault."""


class PromptTooLongError(InvalidArgumentError):
    """The prompt leaves no room for an answer in the context."""

    def __init__(self, tokens: int, allowed: int, context_tokens: int) -> None:
        super().__init__(f"prompt: has {tokens} tokens; allowed: {allowed} (the context holds {context_tokens})")


class NoChatTemplateError(FailedPreconditionError):
    """The GGUF carries no chat template, and guessing one gives silent nonsense."""

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} has no chat template; allowed: `prompt` input, or a GGUF with a chat template")


class NotOfferedError(FailedPreconditionError):
    """The model does not do that kind of work."""


class QueueFullError(ResourceExhaustedError):
    """As many requests wait as may wait."""

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(f"{waiting} requests wait already; come again in {retry_after:.1f} s", retry_after=retry_after)


class WorkCancelledError(MilepostError):
    """The caller has gone; raised inside the owner thread to leave the work, never sent to anyone."""


__all__ = [
    "EngineError",
    "NoChatTemplateError",
    "NotOfferedError",
    "PromptTooLongError",
    "QueueFullError",
    "WorkCancelledError",
]
