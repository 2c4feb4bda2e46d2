"""What a client may ask for. What is not listed is refused by name; a value of null is as good as none."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from milepost_model.sampling import MAX_STOP_TEXTS

MOST_TOOLS = 128
MOST_CHOICES = 8
"""Answers to one request: as many as a model of one sequence makes side by side."""
MOST_INPUTS = 2048
_MOST_MESSAGES = 2048


class Part(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return {key: each for key, each in values.items() if each is not None} if isinstance(values, dict) else values


def _text_of(content: Any) -> Any:
    """A text given in parts is one text."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind not in ("text", "refusal") or not isinstance(text := part.get(kind), str):
            raise ValueError(f"has a part of type {str(kind)[:40]!r}; allowed: text")
        texts.append(text)
    return "\n".join(texts)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _texts_only(value: Any) -> Any:
    value = _listed(value)
    if isinstance(value, list) and any(isinstance(each, int | list) for each in value):
        raise ValueError("has numbers of tokens, which are another model's; allowed: a text or a list of texts")
    return value


Text = Annotated[str, BeforeValidator(_text_of)]
Texts = Annotated[list[str], BeforeValidator(_texts_only)]
Stops = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_listed), Field(max_length=MAX_STOP_TEXTS)]
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class StreamOptions(Part):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class CalledFunction(Part):
    name: str
    arguments: str


class ToolCall(Part):
    """A call that the model made in an earlier turn."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int = 0


class Message(Part):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text = ""
    name: str = ""
    refusal: str = ""
    annotations: Sequence[Any] = ()
    tool_calls: list[ToolCall] = Field(default_factory=list)
    tool_call_id: str = ""

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are of a message of the assistant")
        if (self.role == "tool") != bool(self.tool_call_id):
            raise ValueError("a message of a tool, and no other, has a tool_call_id")
        return self


class Function(Part):
    name: FunctionName
    description: str = ""
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    strict: bool = False


class Tool(Part):
    type: Literal["function"]
    function: Function


class NamedFunction(Part):
    name: str


class NamedTool(Part):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Part):
    name: FunctionName
    description: str = ""
    schema_: Any = Field(alias="schema", default=True)
    strict: bool = False


class ResponseFormat(Part):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with type json_schema, and with no other")
        return self


class Request(Part):
    """What all requests have. `user` and the like are taken and have no effect."""

    model: str
    user: str = ""


class Generation(Request):
    """What requests for text have in common."""

    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    seed: int | None = None
    stop: Stops | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    logit_bias: Annotated[Mapping[str, Any], Field(max_length=0)] = Field(default_factory=dict)


class ChatRequest(Generation):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=_MOST_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] = Field(default_factory=list)
    tool_choice: Literal["auto", "none", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    """An answer has one call at most, whatever this says."""
    response_format: ResponseFormat = ResponseFormat(type="text")
    modalities: list[Literal["text"]] = Field(default_factory=list)
    store: Literal[False] = False
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    service_tier: Literal["auto", "default"] = "auto"
    prompt_cache_key: str = ""
    safety_identifier: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs: needs logprobs")
        names = [tool.function.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError("tools: two have the same name; allowed: distinct names")
        if isinstance(self.tool_choice, NamedTool):
            if self.tool_choice.function.name not in names:
                raise ValueError(f"tool_choice: {self.tool_choice.function.name[:64]!r} is none of the tools")
        elif self.tool_choice == "required" and not names:
            raise ValueError("tool_choice: is required; allowed without tools: none or auto")
        return self


class CompletionRequest(Generation):
    """`POST /v1/completions`."""

    prompt: Annotated[Texts, Field(min_length=1, max_length=MOST_CHOICES)]
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: int | None = None
    echo: Literal[False] = False
    suffix: Literal[""] = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.best_of not in (None, self.n):
            raise ValueError(f"best_of: is {self.best_of}; allowed: none, or n")
        if self.n * len(self.prompt) > MOST_CHOICES:
            raise ValueError(f"n: times {len(self.prompt)} prompts is more than {MOST_CHOICES} answers")
        return self


class EmbeddingRequest(Request):
    """`POST /v1/embeddings`."""

    input: Annotated[Texts, Field(min_length=1, max_length=MOST_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
