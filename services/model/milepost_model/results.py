"""What a model answers, whatever computes it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finished:
    """The end of a generation. Times are in milliseconds."""

    reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    queue_ms: float
    first_token_ms: float
    """From the request to the first token, the time in the queue included."""
    tokens_per_second: float
    cached_tokens: int
    """Tokens of the prompt that were computed for an earlier request."""
    choice: str = ""
    estimated: bool = False
    """Whether the tokens are an estimate, because the server that made them did not count."""


@dataclass(frozen=True)
class Scored:
    """Natural log-probability of one continuation, summed over its tokens; and after the baseline, if there was one."""

    text: str
    log_probability: float
    tokens: int
    baseline_log_probability: float | None = None


@dataclass(frozen=True)
class Scores:
    """Of all candidates; `truncated` when the prompt was cut at its beginning."""

    items: list[Scored]
    truncated: bool
    prompt_tokens: int
    queue_ms: float


@dataclass(frozen=True)
class Embeddings:
    """L2-normalised vectors, and how many tokens they took."""

    vectors: list[list[float]]
    tokens: int
    queue_ms: float


@dataclass(frozen=True)
class Choice:
    """A decision at the end of an answer: `lead` is appended to it, then the likeliest of `options` is taken."""

    lead: str
    options: tuple[str, ...]
