"""A model behind a URL whose server is Milepost's own: the same model over gRPC, once here and once through HTTP."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_crds import OpenAI
from milepost_model.remote.engine import Limits, RemoteEngine
from milepost_model.remote.key import ApiKey
from milepost_model.remote.readiness import Readiness
from milepost_service.channels import open_channel
from milepost_service.testing import ServiceProcess, running

pytestmark = [pytest.mark.models, pytest.mark.requirement("MOD-4")]
SECONDS = 60.0
STORY = model_pb2.ChatInput(messages=[model_pb2.ChatMessage(role="user", content="Tell a long story.")])
MANIFEST = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata:
  name: remote
spec:
  capabilities: [general]
  openAI: {{baseURL: "http://{address}/v1", model: smollm2}}
"""


@pytest.fixture(scope="module")
def process(
    model_service: ServiceProcess, model_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder: Path = tmp_path_factory.mktemp("remote-peer")
    (folder / "service.yaml").write_text(MANIFEST.format(address=model_address))
    environment = {"MILEPOST_SERVICE_FILE": str(folder / "service.yaml")}
    with running("milepost_model", folder / "log", environment) as service:
        yield service


@pytest.fixture
async def remote_channel(process: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(process.target) as opened:
        yield opened


@pytest.fixture
def remote(remote_channel: grpc.aio.Channel) -> Any:
    return model_pb2_grpc.ModelServiceStub(remote_channel)


@pytest.fixture
async def peer_channel(model_service: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(model_service.target) as opened:
        yield opened


@pytest.fixture
def peer(peer_channel: grpc.aio.Channel) -> Any:
    return model_pb2_grpc.ModelServiceStub(peer_channel)


async def generate(model: Any, **more: Any) -> tuple[str, model_pb2.GenerateResult]:
    request = model_pb2.GenerateRequest(chat=STORY, sampling=model_pb2.Sampling(max_tokens=12), **more)
    *deltas, last = [response async for response in model.Generate(request, timeout=SECONDS)]
    return "".join(response.delta for response in deltas), last.result


async def test_the_same_text_comes_as_from_the_model_itself_with_the_same_count(remote: Any, peer: Any) -> None:
    text, result = await generate(remote)
    own_text, own_result = await generate(peer)
    assert text == own_text != ""
    assert not result.estimated
    assert (result.completion_tokens, result.finish_reason) == (12, model_pb2.GenerateResult.FINISH_REASON_LENGTH)
    assert result.prompt_tokens == own_result.prompt_tokens


async def test_its_context_is_what_the_server_tells(remote: Any, peer: Any) -> None:
    here, there = [
        await model.DescribeModel(model_pb2.DescribeModelRequest(), timeout=SECONDS) for model in (remote, peer)
    ]
    assert here.context_tokens == there.context_tokens
    assert here.model == "smollm2"


async def test_choices_are_scored_by_log_probabilities_with_a_baseline(remote: Any) -> None:
    question = model_pb2.ChatInput(
        messages=[model_pb2.ChatMessage(role="user", content="The request: write code. Who does it?")]
    )
    nothing = model_pb2.ChatInput(
        messages=[model_pb2.ChatMessage(role="user", content="The request: N/A. Who does it?")]
    )
    request = model_pb2.ScoreRequest(chat=question, baseline=nothing, candidates=["coder", "cook", "driver"])
    answer = await remote.Score(request, timeout=SECONDS)
    for values in (
        [each.log_probability for each in answer.candidates],
        [each.baseline_log_probability for each in answer.candidates],
    ):
        assert math.isclose(sum(map(math.exp, values)), 1, rel_tol=1e-6)
        assert len(set(values)) == 3, "no two letters are alike to a model that tells log-probabilities"


async def test_embeddings_are_those_of_the_model(remote: Any, peer: Any) -> None:
    request = model_pb2.EmbedRequest(texts=["A lighthouse.", "A storm."])
    here, there = [(await model.Embed(request, timeout=SECONDS)).embeddings for model in (remote, peer)]
    for one, other in zip(here, there, strict=True):
        assert list(one.values) == pytest.approx(list(other.values), abs=1e-4)


async def test_an_answer_is_held_to_a_schema_by_the_server(remote: Any) -> None:
    text, _ = await generate(remote, json_schema='{"enum": ["red", "blue"]}')
    assert text in ('"red"', '"blue"')


async def test_a_role_ends_with_one_of_the_verdicts(remote_channel: grpc.aio.Channel) -> None:
    capability = capability_pb2_grpc.CapabilityServiceStub(remote_channel)
    request = capability_pb2.InvokeRequest(
        role="reviewer", prompt="def add(a, b): return a + b", verdicts=["approve", "revise"], max_tokens=16
    )
    *deltas, last = [response async for response in capability.Invoke(request, timeout=SECONDS)]
    assert last.result.text == "".join(response.delta for response in deltas) != ""
    assert last.result.verdict in ("approve", "revise")
    assert last.result.usage.completion_tokens > 0


async def test_who_cancels_frees_the_model_at_the_other_end(remote: Any, peer_channel: grpc.aio.Channel) -> None:
    capability = capability_pb2_grpc.CapabilityServiceStub(peer_channel)

    async def active() -> int:
        usage = (await capability.GetUsage(capability_pb2.GetUsageRequest(), timeout=SECONDS)).usage
        return int(usage.active_calls)

    call = remote.Generate(
        model_pb2.GenerateRequest(chat=STORY, sampling=model_pb2.Sampling(max_tokens=1800)), timeout=SECONDS
    )
    await call.read()
    assert await active() == 1
    call.cancel()
    async with asyncio.timeout(SECONDS):
        while await active():
            await asyncio.sleep(0.02)


async def test_what_does_not_fit_is_refused_in_the_servers_words(remote: Any) -> None:
    request = model_pb2.GenerateRequest(
        chat=model_pb2.ChatInput(messages=[model_pb2.ChatMessage(role="user", content="word " * 5000)])
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        _ = [response async for response in remote.Generate(request, timeout=SECONDS)]
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "tokens; allowed:" in (refused.value.details() or "")


async def test_a_model_that_the_server_does_not_have_is_named(
    model_service: ServiceProcess, model_address: str
) -> None:
    spec = OpenAI(base_url=f"http://{model_address}/v1", model="gigallm")
    engine = RemoteEngine(spec, ApiKey(spec, None), Limits())
    readiness = Readiness(engine)
    said: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def say(*, ready: bool) -> None:
        said.set_result(ready)

    attending = asyncio.create_task(readiness.attend(say))
    try:
        async with asyncio.timeout(SECONDS):
            assert not await said
    finally:
        attending.cancel()
        await engine.close()
    assert "has no model gigallm; allowed: another spec.openAI.model, for example smollm2" in readiness.problem
