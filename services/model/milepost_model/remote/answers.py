"""What is read of a server's answers; everything else in them is passed over."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from milepost_model.errors import EngineError

Count = Annotated[int, Field(ge=0, lt=2**31)]
_EXCERPT = 120

AnswerT = TypeVar("AnswerT", bound="Answer")


class WrongAnswerError(EngineError):
    """The server answered with success and something that is not the OpenAI API."""


class Answer(BaseModel):
    """Refuses wrong types and allows unknown fields."""

    @classmethod
    def of(cls: type[AnswerT], data: Any, server: str) -> AnswerT:
        """The answer as it was parsed from JSON. Raises WrongAnswerError."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "the answer"
            raise wrong_answer(server, f"{where}: {error.errors()[0]['msg']}", data) from None


def wrong_answer(server: str, what: str, data: Any) -> WrongAnswerError:
    """An error of one line."""
    shown = " ".join(str(data).split())[:_EXCERPT]
    return WrongAnswerError(f"{server} does not answer as the OpenAI API does ({what}): {shown!r}")


class CachedTokens(Answer):
    cached_tokens: Count | None = None


class Usage(Answer):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: CachedTokens | None = None


class Text(Answer):
    content: str | None = None


class Likely(Answer):
    """A token that could have come, and the natural logarithm of its probability."""

    token: str
    logprob: float


class TokenPlace(Answer):
    top_logprobs: list[Likely] = Field(default_factory=list)


class LogProbabilities(Answer):
    content: list[TokenPlace] | None = None


class ChunkChoice(Answer):
    """Of a chat `delta` holds the text, of a completion `text`."""

    delta: Text | None = None
    text: str | None = None
    finish_reason: str | None = None

    @property
    def added(self) -> str:
        return (self.delta.content if self.delta else self.text) or ""


class Chunk(Answer):
    choices: list[ChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None


class ChatChoice(Answer):
    message: Text
    logprobs: LogProbabilities | None = None


class Chat(Answer):
    choices: Annotated[list[ChatChoice], Field(min_length=1)]
    usage: Usage | None = None


class EchoLogProbabilities(Answer):
    """Of each token of the text that was sent, and of what came after it. The first token has no probability."""

    token_logprobs: list[float | None]
    text_offset: list[int]


class EchoChoice(Answer):
    index: Count = 0
    text: str
    logprobs: EchoLogProbabilities | None = None


class Echo(Answer):
    choices: list[EchoChoice]
    usage: Usage | None = None


class Vector(Answer):
    index: Count
    embedding: Annotated[list[float], Field(min_length=1)]


class Vectors(Answer):
    data: list[Vector]
    usage: Usage | None = None


class ModelMeta(Answer):
    n_ctx: Count | None = None
    n_ctx_train: Count | None = None


class ListedModel(Answer):
    """The names that servers have for the context: vLLM, OpenRouter, Groq, and llama.cpp in `meta`."""

    id: str
    max_model_len: Count | None = None
    context_length: Count | None = None
    context_window: Count | None = None
    meta: ModelMeta | None = None

    @property
    def context_tokens(self) -> int:
        """Tokens of one context; 0 where the server does not tell."""
        meta = self.meta or ModelMeta()
        told = (self.max_model_len, self.context_length, self.context_window, meta.n_ctx, meta.n_ctx_train)
        return next((tokens for tokens in told if tokens), 0)


class Models(Answer):
    data: list[ListedModel]


FinishReason = Literal["stop", "length"]
