"""One server's model asked for text: in its dialect, when its turn has come, and counted."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from milepost_model.remote.admission import Admission
from milepost_model.remote.answers import Answer, Chat, Chunk, Usage
from milepost_model.remote.client import RemoteClient
from milepost_model.remote.dialect import Dialect
from milepost_model.remote.doubt import Doubt
from milepost_model.remote.failures import ServerError
from milepost_model.remote.tokens import estimated_chat_tokens, estimated_tokens
from milepost_model.requests import Turn

AnswerT = TypeVar("AnswerT", bound=Answer)
CHAT = "/chat/completions"
COMPLETIONS = "/completions"
EMBEDDINGS = "/embeddings"


@dataclass
class Taken:
    """What requests took: tokens as the server counted them, or as they were estimated, and the time in the queue."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    queue_seconds: float = 0.0

    def add(self, usage: Usage | None, prompt_tokens: int, text: str) -> None:
        """What the server said; else the estimate of the prompt, and one of the text."""
        if usage is None:
            self.estimated = True
            usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=estimated_tokens(text))
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0


class Asking:
    """Requests to one model. A `deadline` is a time of the monotonic clock."""

    def __init__(self, client: RemoteClient, admission: Admission, model: str) -> None:
        self.dialect = Dialect()
        self.doubt = Doubt()
        self.server = client.server
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.estimated = False
        """Whether the server left the counting to us at least once."""
        self._client = client
        self._admission = admission
        self._model = model

    async def chat(
        self, turns: Sequence[Turn], taken: Taken, deadline: float, *, max_tokens: int, **extra: Any
    ) -> Chat:
        """The whole answer to a chat."""
        body = {"messages": messages_of(turns), **extra}
        answer = await self.whole(CHAT, body, Chat, taken, deadline, max_tokens=max_tokens)
        own = Taken()
        own.add(answer.usage, estimated_chat_tokens(turns), answer.choices[0].message.content or "")
        self.count(own, taken)
        return answer

    async def whole(
        self, path: str, body: dict[str, Any], read_as: type[AnswerT], taken: Taken, deadline: float, *, max_tokens: int
    ) -> AnswerT:
        """The whole answer, not counted yet; `max_tokens` 0 where the endpoint knows none."""
        async with self._admission.admitted() as waited:
            taken.queue_seconds += waited
            while True:
                written = {"model": self._model, **body}
                if max_tokens:
                    written = self.dialect.written(written, max_tokens=max_tokens)
                try:
                    return await self._client.post(path, written, read_as, deadline)
                except ServerError as error:
                    if not self.dialect.learn(error, written):
                        self.doubt.consider(error)
                        raise

    async def stream(
        self, path: str, body: dict[str, Any], taken: Taken, deadline: float, *, max_tokens: int
    ) -> AsyncGenerator[Chunk, None]:
        """The parts of the answer as they come, not counted yet."""
        async with self._admission.admitted() as waited:
            taken.queue_seconds += waited
            is_begun = False
            while not is_begun:
                written = self.dialect.written({"model": self._model, **body}, max_tokens=max_tokens, stream=True)
                try:
                    async with aclosing(self._client.stream(path, written, deadline)) as chunks:
                        async for chunk in chunks:
                            is_begun = True
                            yield chunk
                except ServerError as error:
                    if is_begun or not self.dialect.learn(error, written):
                        self.doubt.consider(error)
                        raise

    def count(self, own: Taken, taken: Taken) -> None:
        """Adds what one request took to the totals, and to what its call took in all."""
        self.prompt_tokens += own.prompt_tokens
        self.generated_tokens += own.completion_tokens
        self.estimated = self.estimated or own.estimated
        taken.prompt_tokens += own.prompt_tokens
        taken.completion_tokens += own.completion_tokens
        taken.cached_tokens += own.cached_tokens
        taken.estimated = taken.estimated or own.estimated


def messages_of(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The chat as the OpenAI API has it."""
    return [{"role": turn.role, "content": turn.content} for turn in turns]
