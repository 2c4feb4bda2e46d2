"""A role's work by a model behind a URL: its chat, streamed; then the verdict, when one is asked for."""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from milepost.capability.v1 import capability_pb2
from milepost.model.v1 import model_pb2
from milepost_crds import ModelService
from milepost_model.errors import PromptTooLongError
from milepost_model.prompt import answer_room, fit, turns_of
from milepost_model.remote.engine import ASSUMED_CONTEXT_TOKENS, RemoteEngine
from milepost_model.remote.tokens import estimated_chat_tokens
from milepost_model.requests import Turn
from milepost_model.responses import invoked
from milepost_model.results import Finished
from milepost_model.sampling import sampling_of
from milepost_model.spans import model_span, tell_finished
from milepost_service.servicer import Answer
from milepost_service.telemetry.conventions import REMOTE_PROVIDER, Operations


def answer_with(engine: RemoteEngine, resource: ModelService) -> Answer:
    """Invoke in a role."""

    async def answer(
        request: capability_pb2.InvokeRequest, seconds_left: float
    ) -> AsyncGenerator[str | capability_pb2.InvokeResult, None]:
        deadline = time.monotonic() + seconds_left
        turns = fitted(engine, resource, request)
        sampling = sampling_of(model_pb2.Sampling(max_tokens=request.max_tokens), resource)
        made: list[str] = []
        with model_span(Operations.CHAT, engine.model, sampling, provider=REMOTE_PROVIDER) as span:
            async with aclosing(engine.generate(turns, sampling, deadline)) as items:
                async for item in items:
                    if isinstance(item, str):
                        made.append(item)
                        yield item
                        continue
                    if request.verdicts:
                        item = await _judged(engine, turns, "".join(made), list(request.verdicts), item, deadline)
                    tell_finished(span, item)
                    yield invoked(item)

    return answer


def fitted(engine: RemoteEngine, resource: ModelService, request: capability_pb2.InvokeRequest) -> list[Turn]:
    """The chat, without as much of the earlier work as the context has no room for by our estimate.

    What cannot be left out goes to the server, which alone knows how many tokens it has.
    """
    context_tokens = engine.context_tokens or ASSUMED_CONTEXT_TOKENS
    limit = context_tokens - answer_room(context_tokens, request.max_tokens or resource.spec.generation.max_tokens)
    system = resource.spec.system_prompt
    try:
        return fit(request, system, estimated_chat_tokens, limit=limit, context_tokens=context_tokens)
    except PromptTooLongError:
        return turns_of(request, system, ())


async def _judged(
    engine: RemoteEngine, turns: Sequence[Turn], text: str, verdicts: Sequence[str], item: Finished, deadline: float
) -> Finished:
    """With the verdict that the answer ends with; else the likeliest, asked for in a second request."""
    if verdict := _last_word(text, verdicts):
        return replace(item, choice=verdict)
    question = Turn("user", f"Your verdict: {' or '.join(verdicts)}?")
    verdict, taken = await engine.choose([*turns, Turn("assistant", text), question], verdicts, deadline)
    return replace(
        item,
        choice=verdict,
        prompt_tokens=item.prompt_tokens + taken.prompt_tokens,
        completion_tokens=item.completion_tokens + taken.completion_tokens,
        estimated=item.estimated or taken.estimated,
    )


def _last_word(text: str, verdicts: Sequence[str]) -> str:
    """The only verdict that the last line names; empty where it names none, or several."""
    last = text.strip().rpartition("\n")[2]
    named = [
        verdict for verdict in verdicts if re.search(rf"(?<![\w-]){re.escape(verdict)}(?![\w-])", last, re.IGNORECASE)
    ]
    return named[0] if len(named) == 1 else ""
