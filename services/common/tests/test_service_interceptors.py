"""What travels around a call: trace context, correlation id, and the end of a cancelled stream."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from echo_service import EchoServicer
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2, registry_pb2_grpc
from milepost_service import telemetry
from milepost_service.call_memory import CallMemory, CallMemoryInterceptor
from milepost_service.calls import CallKey, CallLog
from milepost_service.channels import open_channel
from milepost_service.correlation import correlation, current_correlation_id
from milepost_service.interceptors import StatusInterceptor, TraceInterceptor
from milepost_service.logs import JsonFormatter
from milepost_service.metadata import call_metadata
from milepost_service.registration import Registrar

Stub = Any  # the async stub exists for the type checker only


class ContextServicer(EchoServicer):
    """Answers with what it sees around itself."""

    async def Describe(self, request: Any, context: Any) -> capability_pb2.DescribeResponse:
        logging.getLogger("test").warning("inside")
        details = {"correlation": current_correlation_id(), "traceparent": telemetry.traceparent()}
        return capability_pb2.DescribeResponse(details=details)


@pytest.fixture
def servicer() -> ContextServicer:
    return ContextServicer(CallMemory())


@pytest.fixture
async def stub(servicer: ContextServicer) -> AsyncIterator[Stub]:
    server = grpc.aio.server(
        interceptors=[TraceInterceptor(), StatusInterceptor(), CallMemoryInterceptor(servicer._calls)]
    )
    capability_pb2_grpc.add_CapabilityServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield capability_pb2_grpc.CapabilityServiceStub(channel)
    await server.stop(0)


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    telemetry.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


async def test_the_servers_span_continues_the_callers_trace(stub: Stub, spans: InMemorySpanExporter) -> None:
    with telemetry.tracer().start_as_current_span("caller") as caller:
        answer = await stub.Describe(capability_pb2.DescribeRequest(), timeout=60)
    trace_id, span_id = caller.get_span_context().trace_id, caller.get_span_context().span_id
    assert answer.details["traceparent"].split("-")[1] == f"{trace_id:032x}"
    server = next(span for span in spans.get_finished_spans() if span.name.endswith("/Describe"))
    assert server.parent is not None
    assert server.parent.span_id == span_id


@pytest.mark.requirement("OBS-4")
async def test_the_correlation_id_reaches_the_handler_its_span_and_its_log_lines(
    stub: Stub, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    recorder = Recorder()
    recorder.setFormatter(JsonFormatter("echo"))
    logging.getLogger("test").addHandler(recorder)
    try:
        with telemetry.tracer().start_as_current_span("caller"):
            answer = await stub.Describe(
                capability_pb2.DescribeRequest(), timeout=60, metadata=call_metadata(correlation_id="c-42")
            )
    finally:
        logging.getLogger("test").removeHandler(recorder)
    assert answer.details["correlation"] == "c-42"
    [span] = [span for span in spans.get_finished_spans() if span.name.endswith("/Describe")]
    assert (span.attributes or {})["correlation.id"] == "c-42"
    assert ['"correlation_id": "c-42"' in line and '"trace_id": ' in line for line in lines] == [True]


@pytest.mark.requirement("OBS-4")
async def test_a_call_made_inside_of_a_request_carries_its_correlation_id(stub: Stub) -> None:
    with correlation("c-43"):
        answer = await stub.Describe(capability_pb2.DescribeRequest(), timeout=60)
    assert answer.details["correlation"] == "c-43"


@pytest.mark.requirement("OBS-4")
async def test_a_request_without_a_correlation_id_gets_one(stub: Stub) -> None:
    answer = await stub.Describe(capability_pb2.DescribeRequest(), timeout=60)
    assert len(answer.details["correlation"]) == 36


async def test_a_cancelled_stream_closes_its_handler(stub: Stub, servicer: ContextServicer) -> None:
    call = stub.Invoke(capability_pb2.InvokeRequest(prompt="a hang"), timeout=60)
    await call.read()
    assert not servicer.cancelled.is_set()
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_cancelling_the_task_that_reads_a_stream_closes_its_handler(
    stub: Stub, servicer: ContextServicer
) -> None:
    first = asyncio.Event()

    async def read() -> None:
        async for _ in stub.Invoke(capability_pb2.InvokeRequest(prompt="a hang"), timeout=60):
            first.set()

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_a_handler_that_waits_for_a_slow_reader_is_closed_too(stub: Stub, servicer: ContextServicer) -> None:
    call = stub.Invoke(capability_pb2.InvokeRequest(prompt="flood"), timeout=60)
    await call.read()
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


def test_the_call_log_forgets_the_oldest_first() -> None:
    calls = CallLog(kept=2)
    for call_id in ("a", "b", "c", "b"):
        calls.request(CallKey("", call_id, "/m"), "")
    listed = calls.response().calls
    assert [(call.call_id, call.requested) for call in listed] == [("b", 2), ("c", 1)]


class Leases(registry_pb2_grpc.RegistryServiceServicer):
    def __init__(self) -> None:
        self.seen: asyncio.Queue[str] = asyncio.Queue()

    async def Register(self, request: Any, context: Any) -> registry_pb2.RegisterResponse:
        self.seen.put_nowait(request.service.details["n"])
        return registry_pb2.RegisterResponse()

    async def Deregister(self, request: Any, context: Any) -> registry_pb2.DeregisterResponse:
        return registry_pb2.DeregisterResponse()

    async def ListServices(self, request: Any, context: Any) -> registry_pb2.ListServicesResponse:
        return registry_pb2.ListServicesResponse()

    async def WatchServices(self, request: Any, context: Any) -> AsyncIterator[registry_pb2.WatchServicesResponse]:
        yield registry_pb2.WatchServicesResponse()


@pytest.mark.requirement("REG-1")
async def test_a_lease_is_renewed_with_fresh_details() -> None:
    leases, server = Leases(), grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(leases, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    count = iter(range(100))
    registrar = Registrar(
        [f"127.0.0.1:{port}"],
        lambda: registry_pb2.Service(name="s", details={"n": str(next(count))}),
        renew_seconds=0.05,
    )
    await registrar.start()
    assert [await leases.seen.get() for _ in range(3)] == ["0", "1", "2"]
    await registrar.stop()
    await server.stop(0)
