"""The engine of a model behind a URL, against a server that does what servers do."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from remote_server import (
    CHAT,
    COMPLETIONS,
    DONE,
    EMBEDDINGS,
    LISTED,
    ScriptedServer,
    failure,
    part,
    scripted_server,
    stream,
    usage,
    whole,
)

from milepost_crds import OpenAI, SecretKeyRef
from milepost_model.errors import QueueFullError
from milepost_model.remote.engine import Limits, RemoteEngine
from milepost_model.remote.key import ApiKey
from milepost_model.remote.readiness import Readiness
from milepost_model.requests import Turn
from milepost_model.results import Finished
from milepost_model.sampling import Sampling
from milepost_service.errors import ConfigurationError, ServiceError

pytestmark = pytest.mark.requirement("MOD-4")
HELLO = [Turn("user", "Hello?")]
KEY = "sk-secret-0123456789"
PATIENCE = 60.0
BROKEN_OFF = "broke off in the middle of its answer"


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
async def open_engine(server: ScriptedServer, tmp_path: Path) -> AsyncIterator[Callable[..., RemoteEngine]]:
    opened: list[RemoteEngine] = []

    def open_(*, idle_seconds: float = PATIENCE, queue_size: int = 16, **spec: Any) -> RemoteEngine:
        file = tmp_path / "key"
        file.write_text(f"{KEY}\n")
        secret = SecretKeyRef(name="llm", key="token")
        parsed = OpenAI(base_url=f"{server.url}/v1", model="large", secret_ref=secret, **spec)
        limits = Limits(queue_size=queue_size, idle_seconds=idle_seconds, first_pause=0.01)
        opened.append(RemoteEngine(parsed, ApiKey(parsed, file), limits))
        return opened[-1]

    yield open_
    for engine in opened:
        await engine.close()


@pytest.fixture
def engine(open_engine: Callable[..., RemoteEngine]) -> RemoteEngine:
    return open_engine()


async def generate(engine: RemoteEngine, seconds: float = PATIENCE, schema: str = "") -> tuple[str, Finished]:
    deadline = time.monotonic() + seconds
    *texts, last = [item async for item in engine.generate(HELLO, Sampling(max_tokens=5), deadline, schema)]
    assert isinstance(last, Finished)
    return "".join(map(str, texts)), last


async def refusal(engine: RemoteEngine, seconds: float = PATIENCE) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await generate(engine, seconds)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


async def test_an_answer_is_streamed_with_the_servers_own_count(server: ScriptedServer, engine: RemoteEngine) -> None:
    server.tell(stream("Good ", "day."))
    text, finished = await generate(engine)
    assert text == "Good day."
    assert (finished.prompt_tokens, finished.completion_tokens, finished.estimated) == (7, 2, False)
    (request,) = server.seen()
    assert request["headers"]["authorization"] == f"Bearer {KEY}"
    assert request["body"]["model"] == "large"
    assert request["body"]["messages"] == [{"role": "user", "content": "Hello?"}]
    assert request["body"]["max_tokens"] == 5


async def test_tokens_that_nobody_counts_are_estimated_and_said_to_be(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell({"events": [part("word " * 70), part("", "length")]})
    _, finished = await generate(engine)
    assert finished.estimated
    assert 60 <= finished.completion_tokens <= 140
    assert finished.reason == "length"
    assert engine.asking.generated_tokens == finished.completion_tokens


@pytest.mark.parametrize(("headers", "seconds"), [({"retry_after": "1"}, 1.0), ({"retry_after_ms": "300"}, 0.3)])
@pytest.mark.parametrize("status", [429, 503])
async def test_the_next_attempt_comes_no_sooner_than_the_server_asks(
    server: ScriptedServer, engine: RemoteEngine, status: int, headers: dict[str, str], seconds: float
) -> None:
    server.tell(failure(status, **headers), stream("Here."))
    begin = time.monotonic()
    assert (await generate(engine))[0] == "Here."
    assert time.monotonic() - begin >= seconds
    assert len(server.seen()) == 2


async def test_a_wait_beyond_the_deadline_is_refused_at_once_with_a_hint_also_for_others(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(failure(429, "slow down", retry_after="600"))
    for _ in range(2):
        error = await refusal(engine)
        assert error.code == "RESOURCE_EXHAUSTED"
        assert error.retry_after is not None
        assert 500 < error.retry_after <= 600
        assert "slow down" in str(error)
    assert len(server.seen()) == 1, "the second was not sent: the server had said how long it takes none"


async def test_failures_are_tried_again_and_no_more_than_four_times(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(failure(500), failure(502), stream("At last."))
    assert (await generate(engine))[0] == "At last."
    assert len(server.seen()) == 3
    server.tell(failure(500, "out of order"))
    error = await refusal(engine)
    assert error.code == "UNAVAILABLE"
    assert "out of order" in str(error)
    assert len(server.seen()) == 4
    assert engine.attempts.retries == {"UNAVAILABLE": 5}


async def test_a_server_that_is_away_is_unavailable(
    server: ScriptedServer, open_engine: Callable[..., RemoteEngine]
) -> None:
    spec = OpenAI(base_url="http://127.0.0.1:1/v1", model="large")
    engine = RemoteEngine(spec, ApiKey(spec, None), Limits(first_pause=0.01))
    try:
        assert (await refusal(engine)).code == "UNAVAILABLE"
    finally:
        await engine.close()


CUTS = [
    pytest.param({"cut": True}, id="the connection breaks"),
    pytest.param({}, id="the stream ends as if it were whole"),
    pytest.param({"stall": True}, id="the server falls silent"),
]


@pytest.mark.parametrize("end", CUTS)
async def test_a_stream_that_is_cut_before_its_first_text_is_asked_for_again(
    server: ScriptedServer, open_engine: Callable[..., RemoteEngine], end: dict[str, bool]
) -> None:
    engine = open_engine(idle_seconds=2.0)
    server.tell({"events": [part("")], **end}, stream("Again."))
    assert (await generate(engine))[0] == "Again."
    assert len(server.seen()) == 2


@pytest.mark.parametrize("end", CUTS)
async def test_a_stream_that_is_cut_later_is_an_error_that_says_so(
    server: ScriptedServer, open_engine: Callable[..., RemoteEngine], end: dict[str, bool]
) -> None:
    engine = open_engine(idle_seconds=2.0)
    server.tell({"events": [part("Once upon")], **end})
    error = await refusal(engine)
    assert error.code == "UNAVAILABLE"
    assert BROKEN_OFF in str(error)
    assert len(server.seen()) == 1


async def test_an_error_inside_of_a_stream_is_told(server: ScriptedServer, engine: RemoteEngine) -> None:
    server.tell({"events": [part("Once"), {"error": {"message": "worker lost"}}]})
    error = await refusal(engine)
    assert error.code == "UNAVAILABLE"
    assert "worker lost" in str(error)


async def test_who_leaves_closes_the_connection_so_that_the_server_stops(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell({"events": [part("Once")], "stall": True})
    async with aclosing(engine.generate(HELLO, Sampling(), time.monotonic() + PATIENCE)) as items:
        assert await anext(items) == "Once"
    await until(lambda: server.seen()[0]["gone"])
    assert engine.admission.active == 0


async def test_a_cancelled_task_closes_the_connection_too(server: ScriptedServer, engine: RemoteEngine) -> None:
    server.tell({"stall": True})
    task = asyncio.create_task(generate(engine))
    await until(lambda: len(server.seen()) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.seen()[0]["gone"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({"events": ["{no JSON"]}, id="no JSON in a stream"),
        pytest.param({"events": [{"choices": 5}]}, id="another shape"),
        pytest.param({"body": "<html>Please log in</html>"}, id="a web page"),
        pytest.param(whole("Not streamed."), id="no stream"),
    ],
)
async def test_what_is_not_the_openai_api_is_said_to_be_so_and_not_asked_for_again(
    server: ScriptedServer, engine: RemoteEngine, behaviour: dict[str, Any]
) -> None:
    server.tell(behaviour)
    error = await refusal(engine)
    assert error.code == "INTERNAL"
    assert "does not answer as the OpenAI API does" in str(error)
    assert len(server.seen()) == 1


@pytest.mark.parametrize(
    ("behaviour", "code", "text"),
    [
        (failure(400, "prompt is too long"), "INVALID_ARGUMENT", "prompt is too long"),
        (failure(422, "bad field"), "INVALID_ARGUMENT", "bad field"),
        (failure(401, f"wrong key {KEY}"), "FAILED_PRECONDITION", 'the key "token" of the Secret "llm"'),
        (failure(403, f"{KEY} may not"), "FAILED_PRECONDITION", 'the key "token" of the Secret "llm"'),
        (failure(404, "no such model"), "FAILED_PRECONDITION", "spec.openAI.model"),
        (failure(307, location="http://127.0.0.1:1/elsewhere"), "FAILED_PRECONDITION", "spec.openAI.baseURL"),
        (failure(400, f"you sent {KEY}\nand more"), "INVALID_ARGUMENT", "you sent [key] and more"),
        (
            {"status": 429, "body": {"error": {"message": "pay first", "code": "insufficient_quota"}}},
            "FAILED_PRECONDITION",
            "pay first",
        ),
    ],
)
async def test_refusals_have_a_status_and_one_line_and_are_not_repeated(
    server: ScriptedServer, engine: RemoteEngine, behaviour: dict[str, Any], code: str, text: str
) -> None:
    server.tell(behaviour)
    error = await refusal(engine)
    assert error.code == code
    assert text in str(error)
    assert len(server.seen()) == 1


async def test_as_many_wait_as_may_and_more_are_refused_with_a_hint(
    server: ScriptedServer, open_engine: Callable[..., RemoteEngine]
) -> None:
    engine = open_engine(concurrency=1, queue_size=1)
    server.tell({**stream("One."), "hold": True}, stream("Two."))
    first, second = asyncio.create_task(generate(engine)), asyncio.create_task(generate(engine))
    await until(lambda: engine.admission.active == 1 and engine.admission.waiting == 1)
    with pytest.raises(QueueFullError) as refused:
        await generate(engine)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1
    server.release()
    assert (await first)[0] == "One."
    text, finished = await second
    assert text == "Two."
    assert finished.queue_ms > 0


async def test_a_server_is_asked_in_the_way_that_it_knows(server: ScriptedServer, engine: RemoteEngine) -> None:
    refused = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.tell(failure(400, refused), failure(400, "stream_options: unknown field"), stream("Well."))
    assert (await generate(engine))[0] == "Well."
    await generate(engine)
    *_, third, fourth = [request["body"] for request in server.seen()]
    for body in (third, fourth):
        assert body["max_completion_tokens"] == 5
        assert not body.keys() & {"max_tokens", "stream_options"}
    assert len(server.seen()) == 4, "what was refused once is not asked again"


async def test_an_answer_that_was_to_be_json_is_json_or_an_error(server: ScriptedServer, engine: RemoteEngine) -> None:
    server.tell(stream('{"a":', " 1}"), stream("I would rather not."))
    schema = '{"type": "object"}'
    assert (await generate(engine, schema=schema))[0] == '{"a": 1}'
    assert server.seen()[0]["body"]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    with pytest.raises(ServiceError, match="did not hold the answer to json_schema"):
        await generate(engine, schema=schema)


CHOICES = ["invoke:coder", "invoke:tester", "finish"]
NOTHING_ASKED = [Turn("user", "N/A")]


async def scores(engine: RemoteEngine, choices: list[str] = CHOICES) -> list[tuple[float, float]]:
    """Log-probability and baseline of each choice; both are distributions."""
    found = await engine.score(HELLO, choices, time.monotonic() + PATIENCE, NOTHING_ASKED)
    assert [item.text for item in found.items] == choices
    pairs = [(item.log_probability, item.baseline_log_probability) for item in found.items]
    for column in zip(*pairs, strict=True):
        assert math.isclose(sum(math.exp(value) for value in column), 1, rel_tol=1e-6)
    return [(value, baseline) for value, baseline in pairs if baseline is not None]


async def test_choices_are_scored_by_the_log_probabilities_of_their_letters_against_a_baseline(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    asked = whole("A", {"A": math.log(0.5), " A": math.log(0.2), "B": math.log(0.2), "The": math.log(0.1)})
    baseline = whole("A", {"A": math.log(0.6), "B": math.log(0.3), "C": math.log(0.1)})
    server.tell(asked, baseline)
    (coder, coder_base), (_, tester_base), (finish, _) = await scores(engine)
    assert coder > finish
    assert math.isclose(math.exp(coder), 0.7 / 1.0, rel_tol=1e-6), "' A' is A, and C counts as the last that was told"
    assert math.isclose(math.exp(coder_base), 0.6, rel_tol=1e-6)
    assert math.isclose(math.exp(tester_base), 0.3, rel_tol=1e-6)
    first, second = server.seen()
    assert "B: invoke:tester" in first["body"]["messages"][-1]["content"]
    assert second["body"]["messages"][-1]["content"].startswith("N/A")
    assert (first["body"]["top_logprobs"], first["body"]["max_tokens"]) == (20, 1)


async def test_fewer_log_probabilities_are_asked_for_where_twenty_are_too_many(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(failure(400, "top_logprobs: at most 5"), whole("B", {"B": -0.01, "A": -5.0, "C": -6.0}))
    found = await scores(engine)
    assert found[1][0] > found[0][0]
    assert [request["body"]["top_logprobs"] for request in server.seen()] == [20, 5, 5]


async def test_without_log_probabilities_the_choice_is_asked_for_in_both_orders(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(whole("B"), whole('{"answer": "B"}'))
    found = await scores(engine)
    gains = [value - baseline for value, baseline in found]
    assert max(gains) == gains[1], "B is the tester in both orders of three"
    assert gains[1] - gains[0] > 3, "more than wording alone explains to the arbitrator"
    _, one, other = [request["body"] for request in server.seen()]
    assert one["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"] == ["A", "B", "C"]
    assert "A: finish" in other["messages"][-1]["content"]


async def test_a_model_that_only_follows_the_order_has_said_nothing(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(whole("A"))
    found = await scores(engine, ["coder", "tester"])
    assert found[0] == pytest.approx(found[1])


async def test_a_server_without_schemas_is_asked_for_the_letter(server: ScriptedServer, engine: RemoteEngine) -> None:
    server.tell(whole("B"), failure(400, "response_format is not supported"), whole("I choose B."), whole("finish"))
    (_, base), *_, (finish, _) = await scores(engine, ["coder", "tester", "finish"])
    assert finish > base - math.log(3)
    assert "response_format" not in server.seen()[-1]["body"]


async def test_letters_that_the_model_did_not_think_of_are_asked_for_by_choice(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(whole("<think>", {"<think>": -0.0001, "A": -9.0}), whole('{"answer": "C"}'), whole('{"answer": "A"}'))
    found = await scores(engine)
    assert found[2][0] > max(found[0][0], found[1][0]), "finish is C in one order and A in the other"


async def test_a_single_choice_is_certain_without_a_request(server: ScriptedServer, engine: RemoteEngine) -> None:
    server.tell(failure(500))
    assert await scores(engine, ["finish"]) == [(0.0, 0.0)]
    assert server.seen() == []


async def test_a_raw_prompt_is_continued_where_the_server_tells_of_it(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    def echo(index: int, text: str, *tokens: tuple[str, float | None]) -> dict[str, Any]:
        offsets = [sum(len(token) for token, _ in tokens[:count]) for count in range(len(tokens))]
        told = {"token_logprobs": [value for _, value in tokens], "text_offset": offsets}
        return {"index": index, "text": text, "logprobs": told}

    answers = [
        echo(1, "Sky is green!", ("Sky", None), (" is", -1.0), (" gr", -4.0), ("een", -1.5), ("!", -2.0)),
        echo(0, "Sky is blue.", ("Sky", None), (" is", -1.0), (" blue", -0.5), (".", -1.0)),
    ]
    server.tell(completions=[{"body": {"choices": answers, "usage": usage(9, 2)["usage"]}}])
    found = await engine.score("Sky is", [" blue", " green"], time.monotonic() + PATIENCE)
    assert [(item.log_probability, item.tokens) for item in found.items] == [(-0.5, 1), (-5.5, 2)]
    (request,) = server.seen(COMPLETIONS)
    assert request["body"]["prompt"] == ["Sky is blue", "Sky is green"]


async def test_a_raw_prompt_is_a_question_where_the_server_tells_nothing_of_it(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    server.tell(whole("A", {"A": -0.1, "B": -3.0}), completions=[failure(404)])
    for _ in range(2):
        found = await engine.score("Sky is", [" blue", " green"], time.monotonic() + PATIENCE)
        assert found.items[0].log_probability > found.items[1].log_probability
    assert len(server.seen(COMPLETIONS)) == 1
    assert len(server.seen(CHAT)) == 2


async def test_embeddings_come_in_the_order_of_their_texts_and_have_length_one(
    server: ScriptedServer, engine: RemoteEngine
) -> None:
    data = [{"index": 1, "embedding": [0.0, 5.0]}, {"index": 0, "embedding": [3.0, 4.0]}]
    server.tell(embeddings=[{"body": {"data": data, "usage": {"prompt_tokens": 4}}}, {"body": {"data": data[:1]}}])
    found = await engine.embed(["one", "two"], time.monotonic() + PATIENCE)
    assert found.vectors == [[0.6, 0.8], [0.0, 1.0]]
    assert (found.tokens, engine.embedding_size) == (4, 2)
    with pytest.raises(ServiceError, match="2 vectors of one length"):
        await engine.embed(["one", "two"], time.monotonic() + PATIENCE)
    assert server.seen(EMBEDDINGS)[0]["body"]["input"] == ["one", "two"]


async def test_a_key_that_was_changed_is_sent_without_a_restart(
    server: ScriptedServer, open_engine: Callable[..., RemoteEngine], tmp_path: Path
) -> None:
    engine = open_engine()
    server.tell(stream("One."))
    await generate(engine)
    (tmp_path / "key").write_text("sk-another")
    await generate(engine)
    assert [each["headers"]["authorization"] for each in server.seen()] == [f"Bearer {KEY}", "Bearer sk-another"]
    (tmp_path / "key").unlink()
    error = await refusal(engine)
    assert (error.code, len(server.seen())) == ("FAILED_PRECONDITION", 2)
    assert 'the key "token" of the Secret "llm" cannot be read' in str(error)


@pytest.mark.parametrize("content", [b"", b"  \n", b"two words", b"line\nline", "schlüssel".encode(), b"k" * 9000])
def test_a_file_without_a_key_is_refused_at_the_start_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    spec = OpenAI(base_url="https://llm.example.org", model="large", secret_ref=SecretKeyRef(name="llm"))
    with pytest.raises(ConfigurationError) as refused:
        ApiKey(spec, file)
    assert str(refused.value) == (
        'spec.openAI.secretRef: the key "apiKey" of the Secret "llm" is empty or no key; '
        "allowed: one line of visible ASCII characters"
    )


def test_a_key_that_is_named_needs_a_file() -> None:
    spec = OpenAI(base_url="https://llm.example.org", model="large", secret_ref=SecretKeyRef(name="llm"))
    with pytest.raises(ConfigurationError, match="MILEPOST_API_KEY_FILE: is not set; allowed: the file with the key"):
        ApiKey(spec, None)


@pytest.mark.parametrize("url", ["https://user:word@llm.example.org/v1", "https://llm.example.org/v1?key=word"])
def test_a_url_that_carries_a_secret_is_refused_and_not_shown(url: str) -> None:
    spec = OpenAI(base_url=url, model="large")
    with pytest.raises(ConfigurationError, match=r"^spec\.openAI\.baseURL: holds a") as refused:
        RemoteEngine(spec, ApiKey(spec, None), Limits())
    assert "word@" not in str(refused.value)
    assert "key=word" not in str(refused.value)


OTHER = {"body": {"data": [{"id": "other"}]}}


@pytest.mark.parametrize(
    ("models", "chat", "problem"),
    [
        pytest.param(LISTED, failure(500), "", id="listed"),
        pytest.param(failure(404), whole("Yes."), "", id="no list of models"),
        pytest.param(OTHER, whole("Yes."), "", id="listed under another name"),
        pytest.param(OTHER, failure(404), "allowed: another spec.openAI.model, for example other", id="another model"),
        pytest.param(failure(403), whole("Yes."), 'the key "token" of the Secret "llm"', id="no right to it"),
        pytest.param(failure(503), whole("Yes."), "failed (503)", id="an outage"),
        pytest.param({"body": "<html>"}, whole("Yes."), "does not answer as the OpenAI API", id="a web page"),
    ],
)
async def test_ready_means_that_the_server_has_the_model(
    server: ScriptedServer, engine: RemoteEngine, models: dict[str, Any], chat: dict[str, Any], problem: str
) -> None:
    server.tell(chat, models=[models])
    readiness = Readiness(engine)
    assert await first_word(readiness) == (not problem)
    assert problem in readiness.problem
    assert bool(readiness.problem) == bool(problem)


async def test_a_model_that_only_embeds_is_ready_too(server: ScriptedServer, engine: RemoteEngine) -> None:
    vectors = {"body": {"data": [{"index": 0, "embedding": [1.0, 0.0, 0.0]}]}}
    server.tell(failure(400, "no chat model"), models=[failure(404)], embeddings=[vectors])
    assert await first_word(Readiness(engine))
    assert engine.embedding_size == 3


async def first_word(readiness: Readiness) -> bool:
    """What it says first."""
    said: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def say(*, ready: bool) -> None:
        said.set_result(ready)

    attending = asyncio.create_task(readiness.attend(say))
    try:
        async with asyncio.timeout(PATIENCE):
            return await said
    finally:
        attending.cancel()


async def test_no_key_is_sent_where_none_is_named_whatever_the_environment_holds(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    spec = OpenAI(base_url=f"{server.url}/v1", model="large")
    engine = RemoteEngine(spec, ApiKey(spec, None), Limits())
    server.tell(stream("One."))
    try:
        await generate(engine)
    finally:
        await engine.close()
    (request,) = server.seen()
    assert "authorization" not in request["headers"]
    assert "of-the-environment" not in str(request)


async def test_an_endless_answer_is_cut_off(
    server: ScriptedServer, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost_model.remote.transport.ANSWER_BYTES", 1000)
    server.tell({"events": [part("x" * 600), part("y" * 600), DONE]})
    assert "more than 1000 bytes" in str(await refusal(engine))
