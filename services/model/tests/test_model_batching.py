"""Several requests side by side over the real model. What counts is batches and tokens, never seconds."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from itertools import takewhile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from milepost_model.context import Context, beside_tokens
from milepost_model.engine import SIDE_BY_SIDE, Engine
from milepost_model.errors import EngineError, QueueFullError
from milepost_model.json_schema import grammar_of
from milepost_model.kv_cache import KvSequence
from milepost_model.requests import Turn
from milepost_model.results import Choice, Finished
from milepost_model.sampler import Sampler
from milepost_model.sampling import Sampling
from milepost_model.scheduler import Slice
from milepost_service.models import default_cache_dir, ensure_model
from milepost_service.resource import load_model_service

pytestmark = [pytest.mark.models, pytest.mark.requirement("MOD-1")]

QUEUE_SIZE = 2
NOISE = 0.2
"""How far the log-probability of a token moves with the place of its cells and with the company in its batch."""
QUESTIONS = ("Write a story about a lighthouse keeper.", "Name three colours.", "Explain gravity.", "Who was Plato?")


@pytest.fixture(scope="module")
def engine(smollm2_file: Path) -> Iterator[Engine]:
    spec = load_model_service(smollm2_file, engine="llamaCpp").spec.llama_cpp
    assert spec is not None
    engine = Engine(queue_size=QUEUE_SIZE)
    path = ensure_model(spec, default_cache_dir())
    asyncio.run(engine.load(path, context_tokens=1024, sequences=2, threads=1, embeddings=True))
    yield engine
    engine.close()


def chat(engine: Engine, text: str, system: str = "") -> list[int]:
    turns = [Turn("system", system)] if system else []
    return engine.chat.tokens_of([*turns, Turn("user", text)])


async def generate(
    engine: Engine, prompt: Sequence[int], sampling: Sampling, choice: Choice | None = None
) -> tuple[str, Finished]:
    *texts, finished = [item async for item in engine.generate(prompt, sampling, choice)]
    assert isinstance(finished, Finished)
    return "".join(str(text) for text in texts), finished


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


async def assert_as_likely(engine: Engine, prompt: Sequence[int], one: str, other: str) -> None:
    """Greedy texts are the same up to a word where both go on about equally likely."""
    if one == other:
        return
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    common, _, _ = "".join(letter for letter, _ in same).rpartition(" ")
    begun = [*prompt, *engine.weights.tokens_of(common, begin=False, control=False)]
    words = [" " + text[len(common) :].split()[0] for text in (one, other)]
    first, second = (await engine.score(begun, words)).items
    tolerance = NOISE * max(first.tokens, second.tokens)
    assert first.log_probability == pytest.approx(second.log_probability, abs=tolerance), words


async def test_streams_side_by_side_say_what_each_says_alone_in_as_many_batches_as_the_longest(engine: Engine) -> None:
    prompts, sampling = [chat(engine, question) for question in QUESTIONS], Sampling(max_tokens=16)
    alone = [await generate(engine, prompt, sampling) for prompt in prompts]
    before = engine.computed_batches
    together = await asyncio.gather(*(generate(engine, prompt, sampling) for prompt in prompts))
    assert engine.computed_batches - before <= 2 * 16
    for prompt, (one, _), (other, finished) in zip(prompts, alone, together, strict=True):
        assert finished.completion_tokens == 16
        await assert_as_likely(engine, prompt, one, other)


def test_a_seed_draws_the_same_whoever_draws_in_between(engine: Engine) -> None:
    context = Context(engine.weights, pool_tokens=256, sequences=1, threads=1)
    prompt = chat(engine, QUESTIONS[0])
    ((row,),) = context.compute([Slice(KvSequence(0, pending=prompt), len(prompt))], lambda: False)

    def sampler(seed: int) -> Sampler:
        return Sampler(engine.weights, Sampling(temperature=1.5, seed=seed))

    alone, first, second, other = sampler(7), sampler(7), sampler(7), sampler(8)
    expected = [alone.draw(context, row) for _ in range(30)]
    drawn = [[each.draw(context, row) for each in (first, other, second)] for _ in range(30)]
    for each in (alone, first, second, other):
        each.close()
    context.close()
    one, another, two = zip(*drawn, strict=True)
    assert list(one) == list(two) == expected != list(another)


async def test_a_long_prompt_lets_a_stream_make_a_token_in_every_batch_that_reads_it(engine: Engine) -> None:
    long = engine.raw_tokens("One two three. " * 300)[:900]
    async with aclosing(engine.generate(chat(engine, QUESTIONS[0]), Sampling(max_tokens=200))) as stream:
        await anext(stream)
        batches, drawn = engine.computed_batches, engine.generated_tokens
        await generate(engine, long, Sampling(max_tokens=1))
        batches, drawn = engine.computed_batches - batches, engine.generated_tokens - drawn
    assert batches >= len(long) // beside_tokens(engine.weights.size_bytes)
    assert drawn >= batches - 3


async def test_a_short_request_ends_before_a_long_prompt_is_read(engine: Engine) -> None:
    long = engine.raw_tokens("Four five six. " * 300)[:900]
    before = engine.prefilled_tokens
    reading = asyncio.create_task(generate(engine, long, Sampling(max_tokens=1)))
    await until(lambda: engine.prefilled_tokens > before)
    await generate(engine, chat(engine, "Say hello."), Sampling(max_tokens=1))
    assert engine.prefilled_tokens - before < 900
    await reading


async def test_a_system_prompt_is_read_once_for_all_that_come_together_and_after(engine: Engine) -> None:
    system = "You answer for the harbour office, politely and in one sentence. " * 24
    shared = len(chat(engine, "", system)) - 10
    before = engine.prefilled_tokens
    prompts = [chat(engine, question, system) for question in QUESTIONS]
    await asyncio.gather(*(generate(engine, prompt, Sampling(max_tokens=2)) for prompt in prompts))
    own = sum(len(prompt) - shared for prompt in prompts)
    assert engine.prefilled_tokens - before <= shared + own
    _, later = await generate(engine, chat(engine, "Where is the lamp?", system), Sampling(max_tokens=2))
    assert later.cached_tokens >= shared
    assert shared > 300


async def test_more_run_side_by_side_than_whole_contexts_fit_and_what_finds_no_room_waits(engine: Engine) -> None:
    large = [generate(engine, engine.raw_tokens(f"{n} " * 100), Sampling(max_tokens=400)) for n in range(3)]
    tasks = [asyncio.create_task(each) for each in large]
    await until(lambda: engine.load_now().active == 3)
    waiting = asyncio.create_task(generate(engine, engine.raw_tokens("4 " * 150), Sampling(max_tokens=100)))
    await until(lambda: engine.waiting == 1)
    assert engine.taken_tokens <= engine.cache_tokens == 2048
    tasks[0].cancel()
    await until(lambda: engine.waiting == 0)
    for task in (*tasks, waiting):
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)


async def test_beyond_the_queue_a_request_is_refused_with_a_hint_and_the_others_go_on(engine: Engine) -> None:
    sampling = Sampling(max_tokens=900)
    running = [asyncio.create_task(generate(engine, chat(engine, each), sampling)) for each in QUESTIONS[:2]]
    await until(lambda: engine.load_now().active == 2)
    waiting = [
        asyncio.create_task(generate(engine, engine.raw_tokens("x " * 300), Sampling(max_tokens=1)))
        for _ in range(QUEUE_SIZE)
    ]
    await until(lambda: engine.waiting == QUEUE_SIZE)
    with pytest.raises(QueueFullError, match="2 requests wait already") as refused:
        await generate(engine, engine.raw_tokens("x " * 300), Sampling(max_tokens=1))
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60
    for task in running:
        task.cancel()
    assert [finished.completion_tokens for _, finished in await asyncio.gather(*waiting)] == [1] * QUEUE_SIZE


async def test_at_most_so_many_run_side_by_side(engine: Engine) -> None:
    assert engine.side_by_side == 2 * SIDE_BY_SIDE
    sampling = Sampling(max_tokens=40)
    before = engine.computed_batches
    async with asyncio.timeout(120):
        tasks = [
            asyncio.create_task(generate(engine, engine.raw_tokens(f"Number {n}"), sampling))
            for n in range(2 * SIDE_BY_SIDE + QUEUE_SIZE)
        ]
        answers = await asyncio.gather(*tasks)
    assert all(finished.completion_tokens <= 40 for _, finished in answers)
    assert engine.computed_batches - before >= 40


async def test_a_slow_reader_holds_nobody_up_and_gets_all_of_its_text(engine: Engine) -> None:
    prompt, sampling = chat(engine, QUESTIONS[0]), Sampling(max_tokens=30)
    expected, _ = await generate(engine, prompt, sampling)
    async with aclosing(engine.generate(prompt, sampling)) as slow:
        texts = [await anext(slow)]
        await generate(engine, chat(engine, QUESTIONS[1]), Sampling(max_tokens=4))
        await until(lambda: engine.load_now().active == 0)
        *rest, finished = [item async for item in slow]
    assert isinstance(finished, Finished)
    assert len(rest) <= 2, "what was not read comes in one piece"
    await assert_as_likely(engine, prompt, expected, "".join(map(str, texts + rest)))


async def test_scores_in_one_batch_are_those_of_each_candidate_by_itself(engine: Engine) -> None:
    prompt = engine.raw_tokens("The lighthouse stood on")
    candidates = [" a rock in the sea", " the", " bananas and cream, which nobody had expected", " a hill"]
    before = engine.computed_batches
    together = (await engine.score(prompt, candidates)).items
    assert engine.computed_batches - before <= 2
    for item in together:
        (alone,) = (await engine.score(prompt, [item.text])).items
        assert item.log_probability == pytest.approx(alone.log_probability, abs=NOISE * item.tokens)
        assert item.tokens == alone.tokens


async def test_scores_and_choices_beside_streams_are_right_and_leave_no_cell_behind(engine: Engine) -> None:
    prompt = engine.raw_tokens("The capital of France is")
    candidates = [f" Paris, number {n} of a list" for n in range(10, 42)]
    alone = (await engine.score(prompt, candidates)).items
    expected, tokens = [item.log_probability for item in alone], alone[0].tokens
    choice = Choice("\n\nVerdict:", ("zebra-crossing", "approve"))
    work = [generate(engine, chat(engine, each), Sampling(max_tokens=8), choice) for each in QUESTIONS]
    scoring = asyncio.gather(*(engine.score(prompt, candidates) for _ in range(2)))
    answers = await asyncio.gather(*work)
    assert {finished.choice for _, finished in answers} <= {"approve", "zebra-crossing"}
    for scores in await scoring:
        assert [item.log_probability for item in scores.items] == pytest.approx(expected, abs=NOISE * tokens)
    await until(lambda: engine.load_now().active == 0)
    assert engine._cache is not None
    await engine._worker.call(lambda: None)
    assert (engine._cache.open, engine._cache.reserved) == ([], 0)


async def test_embeddings_are_made_while_a_stream_goes_on(engine: Engine) -> None:
    alone = (await engine.embed(["hello"])).vectors[0]
    async with aclosing(engine.generate(chat(engine, QUESTIONS[0]), Sampling(max_tokens=400))) as stream:
        await anext(stream)
        beside = (await engine.embed(["hello"])).vectors[0]
        await anext(stream)
    assert beside == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
async def test_an_answer_to_a_schema_is_json_of_that_schema_at_any_temperature(engine: Engine, seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 8},
            "tags": {"type": "array", "items": {"enum": ["red", 'blue "sky"']}, "maxItems": 2},
            "score": {"type": "integer", "minimum": -1, "maximum": 12},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/point"}]},
        },
        "required": ["title", "score"],
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "boolean"}}}},
    }
    sampling = Sampling(max_tokens=120, temperature=1.5, seed=seed, grammar=grammar_of(json.dumps(schema)))
    text, finished = await generate(engine, chat(engine, "Give me an object."), sampling)
    assert finished.reason == "stop"
    jsonschema.validate(json.loads(text), schema)


async def test_a_batch_that_cannot_be_computed_fails_who_was_in_it_and_nobody_after(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise EngineError("llama.cpp could not compute 1 tokens (status -3)")

    with monkeypatch.context() as patch:
        patch.setattr(engine._context, "compute", broken)
        with pytest.raises(EngineError, match="status -3"):
            await generate(engine, engine.raw_tokens("Anything"), Sampling(max_tokens=4))
        patch.setattr(engine._context, "compute", lambda *_: 1 / 0)
        with pytest.raises(EngineError, match="division by zero"):
            await generate(engine, engine.raw_tokens("Anything"), Sampling(max_tokens=4))
    assert engine.load_now().active == 0
    _, finished = await generate(engine, engine.raw_tokens("Anything"), Sampling(max_tokens=4))
    assert finished.completion_tokens == 4
