"""The process of a model behind a URL over gRPC: what a client sees, and what becomes of the key."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from remote_server import ScriptedServer, failure, part, scripted_server, stream, whole

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.channels import open_channel
from milepost_service.metadata import call_metadata
from milepost_service.testing import ServiceProcess, free_port, running

pytestmark = pytest.mark.requirement("MOD-4")
KEY = "sk-secret-0123456789"
SECONDS = 60.0
HELLO = model_pb2.ChatInput(messages=[model_pb2.ChatMessage(role="user", content="Hello?")])
NOTHING = model_pb2.ChatInput(messages=[model_pb2.ChatMessage(role="user", content="N/A")])
MANIFEST = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata:
  name: remote
spec:
  capabilities: [general]
  systemPrompt: Be brief.
  openAI:
    baseURL: {url}/v1
    model: large
    secretRef: {{name: llm, key: token}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        scripted.tell(stream("Ready."))
        yield scripted


@pytest.fixture(scope="module")
def folder(server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("remote")
    (made / "service.yaml").write_text(MANIFEST.format(url=server.url))
    (made / "key").write_text(KEY)
    return made


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        "MILEPOST_SERVICE_FILE": str(folder / "service.yaml"),
        "MILEPOST_API_KEY_FILE": str(folder / "key"),
        "MILEPOST_LOG_LEVEL": "DEBUG",
        "OPENAI_API_KEY": "of-the-environment",
        **more,
    }


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def process(folder: Path, metrics_port: int) -> Iterator[ServiceProcess]:
    listen = {"MILEPOST_METRICS_LISTEN": f"127.0.0.1:{metrics_port}"}
    with running("milepost_model", folder / "log", environment(folder, **listen)) as service:
        yield service


@pytest.fixture
async def channel(process: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(process.target) as opened:
        yield opened


@pytest.fixture
def model(channel: grpc.aio.Channel) -> Any:
    return model_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture
def capability(channel: grpc.aio.Channel) -> Any:
    return capability_pb2_grpc.CapabilityServiceStub(channel)


async def generate(model: Any) -> list[model_pb2.GenerateResponse]:
    request = model_pb2.GenerateRequest(chat=HELLO, sampling=model_pb2.Sampling(max_tokens=5))
    return [response async for response in model.Generate(request, timeout=SECONDS)]


async def refused(model: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await generate(model)
    return caught.value


async def until_health(channel: grpc.aio.Channel, status: int) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(SECONDS):
        while (await stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)).status != status:
            await asyncio.sleep(0.05)


async def test_text_comes_as_it_is_made_and_ends_with_the_servers_count(server: ScriptedServer, model: Any) -> None:
    server.tell(stream("Good ", "day."))
    *deltas, last = await generate(model)
    assert [response.delta for response in deltas] == ["Good ", "day."]
    assert (last.result.prompt_tokens, last.result.completion_tokens) == (7, 2)
    assert last.result.finish_reason == model_pb2.GenerateResult.FINISH_REASON_STOP
    assert not last.result.estimated
    assert server.seen()[0]["headers"]["authorization"] == f"Bearer {KEY}"


async def test_choices_have_a_baseline_as_the_arbitrator_wants_it(server: ScriptedServer, model: Any) -> None:
    server.tell(whole("B", {"B": -0.1, "A": -4.0}), whole("A", {"A": -0.5, "B": -1.0}))
    request = model_pb2.ScoreRequest(chat=HELLO, baseline=NOTHING, candidates=["skip", "finish"])
    answer = await model.Score(request, timeout=SECONDS)
    assert [each.candidate for each in answer.candidates] == ["skip", "finish"]
    skip, finish = (each.log_probability - each.baseline_log_probability for each in answer.candidates)
    assert finish > skip + 3
    assert all(each.HasField("baseline_log_probability") and each.tokens == 1 for each in answer.candidates)
    without = await model.Score(model_pb2.ScoreRequest(chat=HELLO, candidates=["skip", "finish"]), timeout=SECONDS)
    assert not any(each.HasField("baseline_log_probability") for each in without.candidates)


async def test_a_role_ends_with_the_verdict_that_its_answer_names(server: ScriptedServer, capability: Any) -> None:
    server.tell(stream("Looks fine.", "\nVerdict: approve"))
    request = capability_pb2.InvokeRequest(role="reviewer", prompt="Review.", verdicts=["approve", "revise"])
    *_, last = [response async for response in capability.Invoke(request, timeout=SECONDS)]
    assert (last.result.text, last.result.verdict) == ("Looks fine.\nVerdict: approve", "approve")
    (asked,) = server.seen()
    assert asked["body"]["messages"][0] == {
        "role": "system",
        "content": "Be brief.\n\nYou act as the reviewer of a team.",
    }


async def test_a_verdict_that_the_answer_does_not_name_is_asked_for(server: ScriptedServer, capability: Any) -> None:
    server.tell(stream("Hm, approve or revise?"), whole("B", {"B": -0.1, "A": -3.0}))
    request = capability_pb2.InvokeRequest(role="reviewer", prompt="Review.", verdicts=["approve", "revise"])
    *_, last = [response async for response in capability.Invoke(request, timeout=SECONDS)]
    assert last.result.verdict == "revise"
    assert (last.result.usage.prompt_tokens, last.result.usage.completion_tokens) == (7 + 9, 2 + 1)
    assert server.seen()[1]["body"]["messages"][-2] == {"role": "assistant", "content": "Hm, approve or revise?"}


async def test_earlier_work_gives_way_where_the_context_that_the_server_tells_is_small(
    server: ScriptedServer, capability: Any
) -> None:
    server.tell(stream("Done."))
    context = [capability_pb2.Context(step="draft", role="coder", text=f"<{n}>{'word ' * 3000}") for n in (1, 2)]
    request = capability_pb2.InvokeRequest(role="coder", prompt="Go on.", context=context)
    *_, last = [response async for response in capability.Invoke(request, timeout=SECONDS)]
    assert last.result.text == "Done."
    said = server.seen()[0]["body"]["messages"][-1]["content"]
    assert "Go on." in said
    assert "<1>" not in said
    assert len(said) < 4096 * 4


async def test_a_call_that_is_cancelled_ends_the_request_to_the_server(server: ScriptedServer, model: Any) -> None:
    server.tell({"events": [part("Once")], "stall": True})
    call = model.Generate(model_pb2.GenerateRequest(chat=HELLO), timeout=SECONDS)
    await call.read()
    call.cancel()
    async with asyncio.timeout(SECONDS):
        while not (await asyncio.to_thread(server.seen))[0]["gone"]:
            await asyncio.sleep(0.05)


async def test_a_stream_that_breaks_off_is_unavailable_and_the_same_call_may_come_again(
    server: ScriptedServer, capability: Any
) -> None:
    server.tell({"events": [part("Once upon")], "cut": True}, stream("A whole story."))
    request, metadata = capability_pb2.InvokeRequest(prompt="A story."), call_metadata(call_id="task/0")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [each async for each in capability.Invoke(request, timeout=SECONDS, metadata=metadata)]
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, "which the agent takes as a reason to call again"
    *_, last = [each async for each in capability.Invoke(request, timeout=SECONDS, metadata=metadata)]
    assert last.result.text == "A whole story."


async def test_what_is_known_of_the_model_is_told(server: ScriptedServer, model: Any, capability: Any) -> None:
    vector = {"index": 0, "embedding": [3.0, 4.0]}
    server.tell(stream("Yes."), embeddings=[{"body": {"data": [vector]}}])
    embedded = await model.Embed(model_pb2.EmbedRequest(texts=["one"]), timeout=SECONDS)
    assert list(embedded.embeddings[0].values) == pytest.approx([0.6, 0.8])
    described = await model.DescribeModel(model_pb2.DescribeModelRequest(), timeout=SECONDS)
    assert (described.model, described.context_tokens, described.embedding_size) == ("large", 4096, 2)
    assert (described.sha256, described.sequences) == ("", 8)
    service = await capability.Describe(capability_pb2.DescribeRequest(), timeout=SECONDS)
    assert service.engine == "openAI"
    assert service.details["server"] == server.url.removeprefix("http://")


async def test_metrics_have_the_names_of_models(server: ScriptedServer, model: Any, metrics_port: int) -> None:
    def read() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=SECONDS) as answer:
            lines = [line.decode().rsplit(" ", 1) for line in answer if not line.startswith(b"#")]
        return {name: float(value) for name, value in lines}

    server.tell(failure(503), stream("Yes."))
    before = await asyncio.to_thread(read)
    await generate(model)
    after = await asyncio.to_thread(read)
    for name, grown in (("llamacpp:tokens_predicted_total", 2), ("llamacpp:prompt_tokens_total", 7)):
        assert after[name] - before[name] == grown
    retries = 'milepost_model_retries_total{code="UNAVAILABLE"}'
    assert after[retries] - before.get(retries, 0) == 1
    assert after["milepost_service_ready"] == 1


async def test_readiness_follows_the_server_through_an_outage(
    server: ScriptedServer, model: Any, capability: Any, channel: grpc.aio.Channel
) -> None:
    server.tell(failure(502), models=[failure(503, "down for maintenance")])
    assert (await refused(model)).code() is grpc.StatusCode.UNAVAILABLE
    await until_health(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
    service = await capability.Describe(capability_pb2.DescribeRequest(), timeout=SECONDS)
    assert "down for maintenance" in service.details["problem"]
    server.tell(stream("Here again."))
    await until_health(channel, health_pb2.HealthCheckResponse.SERVING)
    assert (await generate(model))[0].delta == "Here again."


@pytest.mark.requirement("SEC-1")
async def test_a_refused_key_is_named_and_never_shown_and_the_next_one_is_used(
    server: ScriptedServer,
    model: Any,
    capability: Any,
    channel: grpc.aio.Channel,
    process: ServiceProcess,
    folder: Path,
) -> None:
    server.tell(failure(401, f"{KEY} is no key of ours"))
    error = await refused(model)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert 'refused the key "token" of the Secret "llm" (401)' in (error.details() or "")
    await until_health(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
    service = await capability.Describe(capability_pb2.DescribeRequest(), timeout=SECONDS)
    assert 'the key "token" of the Secret "llm"' in service.details["problem"]
    (folder / "key").write_text("sk-next-0123456789")
    server.tell(whole("Yes."), stream("Welcome."))
    await until_health(channel, health_pb2.HealthCheckResponse.SERVING)
    await generate(model)
    assert server.seen()[-1]["headers"]["authorization"] == "Bearer sk-next-0123456789"
    told = process.log.read_text() + str(error) + str(service) + str(error.trailing_metadata())
    assert "Generate FAILED_PRECONDITION" in told
    for secret in (KEY, "sk-next-0123456789", "of-the-environment"):
        assert secret not in told


@pytest.mark.requirement("SEC-1")
def test_a_process_without_its_key_ends_with_one_line(folder: Path, tmp_path: Path) -> None:
    change = {"MILEPOST_API_KEY_FILE": "/nowhere/key"}
    code, log = ServiceProcess("milepost_model", tmp_path / "log", environment(folder) | change).wait_exit(SECONDS)
    assert (code, log) == (
        2,
        'milepost-model: spec.openAI.secretRef: the key "token" of the Secret "llm" cannot be read '
        "(No such file or directory)\n",
    )
