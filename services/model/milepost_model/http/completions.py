"""`POST /v1/completions`: goes on with a text that is taken as it is."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from milepost_model.http.answers import Piece, Wanted, answers
from milepost_model.http.errors import refusal, too_many_bytes
from milepost_model.http.parameters import CompletionRequest
from milepost_model.http.served import Served, of_choice, usage_of
from milepost_model.http.stream import begun, until_gone
from milepost_model.log_probabilities import Drawn
from milepost_model.results import Finished
from milepost_service.errors import ServiceError
from milepost_service.servicer import PROMPT_BYTES, check_prompt
from milepost_service.telemetry.conventions import Operations


async def complete(served: Served, http: HttpRequest, wish: CompletionRequest) -> Response:
    """The answer, or the stream of its chunks. Raises ApiError or ServiceError."""
    sampling = served.sampling(wish, most_tokens=wish.max_tokens, alternatives=wish.logprobs or 0)
    prompts = await asyncio.to_thread(_prompts, served, wish)
    wanted = [Wanted(prompt, of_choice(sampling, number)) for prompt in prompts for number in range(wish.n)]
    tells = wish.logprobs is not None
    pieces = answers(served.engine, wanted, operation=Operations.TEXT_COMPLETION, tells_tokens=tells)
    if wish.stream:
        return await until_gone(http.receive, begun(_chunks(served, wish, pieces)))
    return await until_gone(http.receive, _whole(served, wish, len(wanted), pieces))


async def _whole(served: Served, wish: CompletionRequest, count: int, pieces: AsyncGenerator[Piece, None]) -> Response:
    texts, drawn, ended = [""] * count, [list[Drawn]() for _ in range(count)], dict[int, Finished]()
    async with aclosing(pieces):
        async for piece in pieces:
            texts[piece.index] += piece.text
            drawn[piece.index] += piece.drawn
            if piece.finished:
                ended[piece.index] = piece.finished
    choices = [_choice(wish, index, texts[index], drawn[index], 0, ended[index].reason) for index in range(count)]
    usage = usage_of(ended, answers_per_prompt=wish.n)
    return JSONResponse(served.head("text_completion", "cmpl") | {"choices": choices, "usage": usage})


async def _chunks(
    served: Served, wish: CompletionRequest, pieces: AsyncGenerator[Piece, None]
) -> AsyncGenerator[Mapping[str, Any], None]:
    head = served.head("text_completion", "cmpl")
    if wish.stream_options.include_usage:
        head["usage"] = None
    ended: dict[int, Finished] = {}
    told: dict[int, int] = {}
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.finished:
                ended[piece.index] = piece.finished
            reason = piece.finished.reason if piece.finished else None
            begin = told.get(piece.index, 0)
            yield head | {"choices": [_choice(wish, piece.index, piece.text, piece.drawn, begin, reason)]}
            told[piece.index] = begin + sum(len(_text(one)) for one in piece.drawn)
    if wish.stream_options.include_usage:
        yield head | {"choices": [], "usage": usage_of(ended, answers_per_prompt=wish.n)}


def _choice(
    wish: CompletionRequest, index: int, text: str, drawn: Sequence[Drawn], begin: int, reason: str | None
) -> dict[str, Any]:
    told = _log_probabilities(drawn, begin) if wish.logprobs is not None else None
    return {"index": index, "text": text, "finish_reason": reason, "logprobs": told}


def _log_probabilities(drawn: Sequence[Drawn], begin: int) -> dict[str, Any]:
    tokens = [_text(one) for one in drawn]
    return {
        "tokens": tokens,
        "token_logprobs": [one.log_probability for one in drawn],
        "top_logprobs": [
            {each.data.decode(errors="replace"): each.log_probability for each in one.likeliest} for one in drawn
        ],
        "text_offset": [begin + sum(map(len, tokens[:index])) for index in range(len(tokens))],
    }


def _text(token: Drawn) -> str:
    return token.data.decode(errors="replace")


def _prompts(served: Served, wish: CompletionRequest) -> list[list[int]]:
    try:
        for prompt in wish.prompt:
            if (size := len(prompt.encode())) > PROMPT_BYTES:
                raise too_many_bytes("prompt", size, PROMPT_BYTES)
            check_prompt(prompt)
        return [served.engine.raw_tokens(prompt) for prompt in wish.prompt]
    except ServiceError as error:
        raise refusal(error, "prompt") from None
