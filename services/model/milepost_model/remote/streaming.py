"""An answer that is coming: its text so far, its times, and what it takes."""

import time
from dataclasses import dataclass, field

from milepost_model.remote.answers import Chunk, FinishReason, Usage
from milepost_model.remote.asking import Taken
from milepost_model.results import Finished
from milepost_service.errors import FailedPreconditionError

_FILTERED = "content_filter"
_MS = 1000


@dataclass
class ComingAnswer:
    """Takes the parts of one answer; `prompt_tokens` is the estimate that counts where the server does not."""

    server: str
    prompt_tokens: int
    taken: Taken = field(default_factory=Taken)
    """What the call takes in all, the queue included."""
    reason: FinishReason = "stop"
    _begin: float = field(default_factory=time.monotonic)
    _first: float = 0.0
    _last: float = 0.0
    _parts: list[str] = field(default_factory=list)
    _usage: Usage | None = None

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def take(self, chunk: Chunk) -> str:
        """The text of one part. Raises FailedPreconditionError where the server cut the answer off for its content."""
        self._usage = chunk.usage or self._usage
        added = "".join(choice.added for choice in chunk.choices[:1])
        if added:
            self._last = time.monotonic()
            self._first = self._first or self._last
            self._parts.append(added)
        ended = next((choice.finish_reason for choice in chunk.choices[:1]), None)
        if ended == _FILTERED:
            raise FailedPreconditionError(f"{self.server} cut the answer off by its content filter")
        if ended == "length":
            self.reason = "length"
        return added

    def counted(self) -> Taken:
        """The tokens that it took so far."""
        own = Taken()
        own.add(self._usage, self.prompt_tokens, self.text)
        return own

    def finished(self) -> Finished:
        """The end, once it has come and was counted."""
        seconds = self._last - self._first
        made = self.taken.completion_tokens
        return Finished(
            reason=self.reason,
            prompt_tokens=self.taken.prompt_tokens,
            completion_tokens=made,
            queue_ms=self.taken.queue_seconds * _MS,
            first_token_ms=max(self._first - self._begin, 0.0) * _MS,
            tokens_per_second=made / seconds if seconds > 0 else 0.0,
            cached_tokens=self.taken.cached_tokens,
            estimated=self.taken.estimated,
        )
