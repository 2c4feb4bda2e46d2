"""Invoke over documents: find passages, let the model write from them, name the sources."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from milepost.capability.v1 import capability_pb2
from milepost_crds import ModelService
from milepost_rag.errors import NoPassagesError
from milepost_rag.index import Passage
from milepost_rag.library import Library, Standing
from milepost_service.correlation import current_correlation_id
from milepost_service.errors import RemoteError
from milepost_service.model_client import ModelClient
from milepost_service.servicer import Answer
from milepost_service.telemetry import tracer
from milepost_service.telemetry.conventions import Attributes, Kinds, Operations, Spans

_SYSTEM = (
    "Answer from the numbered passages only, and give the number of the passage that you used, like [1]. "
    "If they do not hold the answer, say so."
)
_QUOTE_CHARACTERS = 240
_REFUSALS = 5  # told of by name
_MARGIN_TOKENS = 160  # what the chat template and the words between the parts take
_OTHER_COUNTING = 1.3  # tokens of the answering model for one of the embedding model

Messages = list[tuple[str, str]]
Result = capability_pb2.InvokeResult


def answer_with(library: Library, model: ModelClient, resource: ModelService, *, folder: str) -> Answer:
    """Invoke of a `rag` service."""
    rag = resource.spec.rag
    assert rag is not None
    top_k = rag.top_k

    async def answer(request: capability_pb2.InvokeRequest, seconds_left: float) -> AsyncGenerator[str | Result, None]:
        passages = await _found(library, _query(request), top_k, resource.name)
        if not passages:
            raise NoPassagesError(folder, refusals_of(library.standing))
        max_tokens = request.max_tokens or resource.spec.generation.max_tokens
        room = await model.context_tokens(timeout=seconds_left) - _MARGIN_TOKENS
        room -= min(max_tokens, room // 4)
        made = ""
        while True:
            used, messages = await _fitting(request, passages, resource.spec.system_prompt, library, room)
            usage = capability_pb2.Usage()
            try:
                items = model.generate(messages, max_tokens=max_tokens, timeout=seconds_left)
                async with aclosing(items):
                    async for item in items:
                        if isinstance(item, str):
                            made += item
                            yield item
                        else:
                            usage.prompt_tokens = item.prompt_tokens
                            usage.completion_tokens = item.completion_tokens
                break
            except RemoteError as error:
                if error.code != "INVALID_ARGUMENT" or made or len(used) == 1:
                    raise
                room //= 2  # the estimate was too low; fewer passages will fit
        verdict = await _verdict(request, model, messages, made, seconds_left)
        yield Result(verdict=verdict, citations=[_citation(passage) for passage in used], usage=usage)

    return answer


def refusals_of(standing: Standing) -> str:
    """ "a.pdf: is encrypted ...; b.pdf: ..."; of many the first."""
    refused = [f"{path}: {reason}" for path, reason in (standing.refused or {}).items()]
    more = [f"{len(refused) - _REFUSALS} more"] if len(refused) > _REFUSALS else []
    return "; ".join(refused[:_REFUSALS] + more)


async def _found(library: Library, query: str, limit: int, name: str) -> Sequence[Passage]:
    attributes = {
        Attributes.CORRELATION_ID: current_correlation_id(),
        Attributes.GEN_AI_OPERATION_NAME: Operations.RETRIEVAL,
        Attributes.OPENINFERENCE_SPAN_KIND: Kinds.RETRIEVER,
        Attributes.GEN_AI_DATA_SOURCE_ID: name,
    }
    with tracer().start_as_current_span(f"{Spans.RETRIEVAL}{name}", attributes=attributes) as span:
        passages = await library.search(query, limit)
        span.set_attribute(Attributes.HITS, len(passages))
        if passages:
            span.set_attribute(Attributes.BEST_SCORE, max(passage.score for passage in passages))
        return passages


async def _fitting(
    request: capability_pb2.InvokeRequest, passages: Sequence[Passage], system_prompt: str, library: Library, room: int
) -> tuple[Sequence[Passage], Messages]:
    """As many of the best passages as fit (at least one), then as much of the newest earlier work as fits."""

    async def size(messages: Messages) -> int:
        return int(await library.count("\n".join(content for _, content in messages)) * _OTHER_COUNTING)

    used = list(passages)
    while len(used) > 1 and await size(_messages(request, used, [], system_prompt)) > room:
        used.pop()
    context: list[capability_pb2.Context] = []
    for item in reversed(request.context):
        if await size(_messages(request, used, [item, *context], system_prompt)) > room:
            break
        context.insert(0, item)
    return used, _messages(request, used, context, system_prompt)


def _messages(
    request: capability_pb2.InvokeRequest,
    passages: Sequence[Passage],
    context: Sequence[capability_pb2.Context],
    system_prompt: str,
) -> Messages:
    system = [system_prompt or _SYSTEM, f"You act as the {request.role} of a team." if request.role else ""]
    user = [f"Work of the {item.role or item.step} before you:\n{item.text}" for item in context]
    user += [
        f"[{number}] {passage.path}, {passage.chunk.location}:\n{passage.chunk.text}"
        for number, passage in enumerate(passages, start=1)
    ]
    user += [f"Message from the {message.sender_role}:\n{message.payload}" for message in request.messages]
    user.append(f"Request:\n{request.prompt}")
    system.append(request.instructions)
    return [("system", "\n".join(filter(None, system))), ("user", "\n\n".join(user))]


async def _verdict(
    request: capability_pb2.InvokeRequest, model: ModelClient, messages: Messages, made: str, seconds_left: float
) -> str:
    if not request.verdicts:
        return ""
    question = f"What is your verdict? Answer with one of: {', '.join(request.verdicts)}."
    asked = [*messages, ("assistant", made or "-"), ("user", question)]
    return (await model.choose(asked, list(request.verdicts), timeout=seconds_left)).option


def _query(request: capability_pb2.InvokeRequest) -> str:
    """What to look for: the request, and the newest message to this role, which may ask for something else."""
    newest = [message.payload for message in request.messages][-1:]
    return "\n".join([request.prompt, *newest])


def _citation(passage: Passage) -> capability_pb2.Citation:
    text = " ".join(passage.chunk.text.split())
    quote = text if len(text) <= _QUOTE_CHARACTERS else f"{text[:_QUOTE_CHARACTERS]}…"
    return capability_pb2.Citation(
        source=passage.path, location=passage.chunk.location, score=passage.score, quote=quote
    )
