"""`POST /v1/chat/completions`."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from milepost_model.http.answers import Piece, Wanted, answers
from milepost_model.http.conversation import turns_of
from milepost_model.http.errors import ApiError, refusal, too_many_bytes
from milepost_model.http.parameters import ChatRequest, NamedTool, Tool
from milepost_model.http.served import Served, of_choice, usage_of
from milepost_model.http.stream import begun, until_gone
from milepost_model.http.tools import (
    TAG,
    CallBegun,
    Content,
    Event,
    ToolCallReader,
    add_call,
    add_text_before,
)
from milepost_model.json_schema import SCHEMA_BYTES, Grammar
from milepost_model.log_probabilities import Drawn, Weighed
from milepost_model.results import Finished
from milepost_model.sampling import Sampling
from milepost_service.errors import ServiceError
from milepost_service.servicer import PROMPT_BYTES
from milepost_service.telemetry.conventions import Operations


async def complete_chat(served: Served, http: HttpRequest, wish: ChatRequest) -> Response:
    """The answer, or the stream of its chunks. Raises ApiError or ServiceError."""
    tools = _usable(wish)
    sampling = await asyncio.to_thread(_sampling, served, wish, tools)
    prompt = await asyncio.to_thread(_prompt, served, wish, tools)
    wanted = [Wanted(prompt, of_choice(sampling, number)) for number in range(wish.n)]
    choices = [_Choice(index, wish, reads_calls=bool(tools)) for index in range(wish.n)]
    pieces = answers(served.engine, wanted, operation=Operations.CHAT, tells_tokens=wish.logprobs)
    if wish.stream:
        return await until_gone(http.receive, begun(_chunks(served, wish, choices, pieces)))
    return await until_gone(http.receive, _whole(served, choices, pieces))


async def _whole(served: Served, choices: Sequence["_Choice"], pieces: AsyncGenerator[Piece, None]) -> Response:
    async with aclosing(pieces):
        async for piece in pieces:
            choices[piece.index].take(piece)
    body = served.head("chat.completion", "chatcmpl") | {
        "choices": [choice.to_json() for choice in choices],
        "usage": _usage(choices),
    }
    return JSONResponse(body)


async def _chunks(
    served: Served, wish: ChatRequest, choices: Sequence["_Choice"], pieces: AsyncGenerator[Piece, None]
) -> AsyncGenerator[Mapping[str, Any], None]:
    head = served.head("chat.completion.chunk", "chatcmpl")
    if wish.stream_options.include_usage:
        head["usage"] = None
    async with aclosing(pieces):
        async for piece in pieces:
            for part in choices[piece.index].parts(piece):
                yield head | {"choices": [part]}
    if wish.stream_options.include_usage:
        yield head | {"choices": [], "usage": _usage(choices)}


class _Choice:
    """One of the answers while it is made."""

    def __init__(self, index: int, wish: ChatRequest, *, reads_calls: bool) -> None:
        self.finished: Finished | None = None
        self._index = index
        self._reader = ToolCallReader() if reads_calls else None
        self._alternatives = wish.top_logprobs if wish.logprobs else None
        self._untold: list[Drawn] = []
        self._is_begun = False
        self._message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        self._drawn: list[Drawn] = []

    def parts(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """What a stream tells of the piece."""
        self._untold += piece.drawn
        if not self._is_begun:
            self._is_begun = True
            yield self._part({"role": "assistant", "content": ""})
        for event in self._events(piece):
            yield self._part(_delta(event), tells=True)
        if piece.finished:
            self.finished = piece.finished
            yield self._part({}, self._reason(piece.finished), tells=bool(self._untold))

    def take(self, piece: Piece) -> None:
        """Adds the piece to the whole answer."""
        self._drawn += piece.drawn
        for event in self._events(piece):
            if isinstance(event, Content):
                self._message["content"] = (self._message["content"] or "") + event.text
            elif isinstance(event, CallBegun):
                self._message["tool_calls"] = [_call(event)]
            else:
                self._message["tool_calls"][0]["function"]["arguments"] += event.text
        if piece.finished:
            self.finished = piece.finished

    def to_json(self) -> dict[str, Any]:
        """The whole answer."""
        assert self.finished is not None, "it has not ended"
        if "tool_calls" not in self._message:
            self._message["content"] = self._message["content"] or ""
        return {
            "index": self._index,
            "message": self._message,
            "finish_reason": self._reason(self.finished),
            "logprobs": self._log_probabilities(self._drawn),
        }

    def _events(self, piece: Piece) -> list[Event]:
        if self._reader is None:
            return [Content(piece.text)] if piece.text else []
        return self._reader.push(piece.text) + (self._reader.finish() if piece.finished else [])

    def _reason(self, finished: Finished) -> str:
        return "tool_calls" if self._reader is not None and self._reader.is_whole else finished.reason

    def _part(self, delta: Mapping[str, Any], reason: str | None = None, *, tells: bool = False) -> dict[str, Any]:
        told = self._log_probabilities(self._untold) if tells else None
        if tells:
            self._untold = []
        return {"index": self._index, "delta": delta, "finish_reason": reason, "logprobs": told}

    def _log_probabilities(self, drawn: Sequence[Drawn]) -> dict[str, Any] | None:
        if self._alternatives is None:
            return None
        content = [_weighed(one) | {"top_logprobs": [_weighed(each) for each in one.likeliest]} for one in drawn]
        return {"content": content, "refusal": None}


def _usable(wish: ChatRequest) -> Sequence[Tool]:
    """The tools that the answer may call."""
    if isinstance(wish.tool_choice, NamedTool):
        return [tool for tool in wish.tools if tool.function.name == wish.tool_choice.function.name]
    return () if wish.tool_choice == "none" else wish.tools


def _is_required(wish: ChatRequest) -> bool:
    return wish.tool_choice not in ("auto", "none")


def _sampling(served: Served, wish: ChatRequest, tools: Sequence[Tool]) -> Sampling:
    param = "tools" if tools else "response_format"
    most = wish.max_completion_tokens or wish.max_tokens
    try:
        grammar = _grammar(wish, tools)
        return served.sampling(wish, most_tokens=most, grammar=grammar, alternatives=wish.top_logprobs)
    except ServiceError as error:
        raise refusal(error, param) from None


def _grammar(wish: ChatRequest, tools: Sequence[Tool]) -> str:
    """What the answer may be: JSON of a schema, a call, or either; empty: any text."""
    size = sum(len(tool.model_dump_json()) for tool in tools)
    if size > SCHEMA_BYTES:
        raise ApiError(400, f"tools: have {size} bytes; allowed: {SCHEMA_BYTES}", code="invalid_value", param="tools")
    grammar, asked = Grammar(), wish.response_format
    is_json = asked.type != "text"
    if not tools and not is_json:
        return ""
    schema = asked.json_schema.schema_ if asked.json_schema else {"type": "object"}
    json_rule = grammar.add_schema(schema, "response_format.json_schema.schema") if is_json else ""
    if not tools:
        return grammar.text(json_rule)
    call = add_call(grammar, tools)
    if not _is_required(wish) and not is_json:
        return grammar.text(add_text_before(grammar, call))
    alternative = f" | {json_rule}" if is_json and not _is_required(wish) else ""
    return grammar.text(f'"{TAG}" {call}{alternative}')


def _prompt(served: Served, wish: ChatRequest, tools: Sequence[Tool]) -> list[int]:
    size = sum(len(message.content.encode()) for message in wish.messages)
    if size > PROMPT_BYTES:
        raise too_many_bytes("messages", size, PROMPT_BYTES)
    try:
        return served.engine.chat.tokens_of(turns_of(wish.messages, tools, is_required=_is_required(wish)))
    except ServiceError as error:
        raise refusal(error, "messages") from None


def _delta(event: Event) -> dict[str, Any]:
    if isinstance(event, Content):
        return {"content": event.text}
    if isinstance(event, CallBegun):
        return {"tool_calls": [{"index": 0} | _call(event)]}
    return {"tool_calls": [{"index": 0, "function": {"arguments": event.text}}]}


def _call(begun: CallBegun) -> dict[str, Any]:
    function = {"name": begun.name, "arguments": ""}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def _weighed(token: Weighed) -> dict[str, Any]:
    return {
        "token": token.data.decode(errors="replace"),
        "logprob": token.log_probability,
        "bytes": list(token.data),
    }


def _usage(choices: Sequence[_Choice]) -> dict[str, Any]:
    ended = {index: choice.finished for index, choice in enumerate(choices) if choice.finished}
    return usage_of(ended, answers_per_prompt=len(choices))
