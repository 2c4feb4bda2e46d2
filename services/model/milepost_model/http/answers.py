"""Several answers at once, as they are made."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from milepost_model.engine import Engine
from milepost_model.log_probabilities import Drawn
from milepost_model.results import Finished
from milepost_model.sampling import Sampling
from milepost_model.spans import model_span, tell_finished

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """Text of the answer `index` with the tokens drawn since the last piece; with `finished`, its end."""

    index: int
    text: str
    drawn: Sequence[Drawn] = ()
    finished: Finished | None = None


@dataclass(frozen=True)
class Wanted:
    """One answer to make."""

    prompt: Sequence[int]
    sampling: Sampling


def answers(
    engine: Engine, wanted: Sequence[Wanted], *, operation: str, tells_tokens: bool
) -> AsyncGenerator[Piece, None]:
    """Pieces of all answers; each ends with one that has `finished`. Closing it stops them all."""
    return merged([_answer(engine, one, index, operation, tells_tokens) for index, one in enumerate(wanted)])


async def merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Items of all sources as they come. One item of each is held at most, however slowly they are taken."""
    waiting = {asyncio.ensure_future(_next(source)): source for source in sources}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    item = task.result()
                except StopAsyncIteration:
                    del waiting[task]
                    continue
                source = waiting.pop(task)
                yield item
                waiting[asyncio.ensure_future(_next(source))] = source
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for source in sources:
            await source.aclose()


def _next(source: AsyncGenerator[T, None]) -> Awaitable[T]:
    return anext(source)


async def _answer(
    engine: Engine, wanted: Wanted, index: int, operation: str, tells_tokens: bool
) -> AsyncGenerator[Piece, None]:
    drawn: deque[Drawn] | None = deque() if tells_tokens else None
    with model_span(operation, engine.weights.name, wanted.sampling) as span:
        async with aclosing(engine.generate(wanted.prompt, wanted.sampling, None, drawn)) as items:
            async for item in items:
                told = _taken(drawn)
                if isinstance(item, str):
                    yield Piece(index, item, told)
                else:
                    tell_finished(span, item)
                    yield Piece(index, "", told, item)


def _taken(drawn: deque[Drawn] | None) -> Sequence[Drawn]:
    """All that is there; the model's thread may add more meanwhile."""
    return [drawn.popleft() for _ in range(len(drawn))] if drawn else ()
