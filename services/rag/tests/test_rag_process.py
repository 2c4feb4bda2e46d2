"""The document process over gRPC, with the real model behind it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from pdf_files import encrypted

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.channels import open_channel
from milepost_service.metadata import call_metadata
from milepost_service.testing import ServiceProcess, free_port, running

pytestmark = pytest.mark.models
OWNER = "6b1f3c86-2f0e-4f43-9d57-0d8a6a3d6f10"
SOME_TOKENS = 40  # of the 400 asked for: what may be drawn until the cancel has come through
SERVICE = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: manual}
spec:
  description: Answers from the lighthouse manual.
  capabilities: [rag]
  generation: {maxTokens: 24}
  rag:
    documents: {configMap: {name: manual}}
    modelRef: {name: smollm2}
    topK: 2
"""


def environment(manual: Path, minilm: Path, tmp_path: Path, model_target: str) -> dict[str, str]:
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE)
    return {
        "MILEPOST_SERVICE_FILE": str(file),
        "MILEPOST_MODEL_TARGET": model_target,
        "MILEPOST_EMBEDDING_MODEL": str(minilm),
        "MILEPOST_DOCUMENTS_DIR": str(manual),
        "MILEPOST_DATA_DIR": str(tmp_path / "data"),
        "MILEPOST_LOOK_SECONDS": "3600",
    }


@pytest.fixture(scope="module")
def rag(shared_manual: Path, minilm: Path, model_service: ServiceProcess) -> Iterator[ServiceProcess]:
    folder = shared_manual.parent
    settings = environment(shared_manual, minilm, folder, model_service.target)
    with running("milepost_rag", folder / "rag.log", settings) as service:
        yield service


@pytest.fixture
async def stub(rag: ServiceProcess) -> AsyncIterator[Any]:
    async with open_channel(rag.target) as channel:
        yield capability_pb2_grpc.CapabilityServiceStub(channel)


async def invoke(stub: Any, **fields: Any) -> list[capability_pb2.InvokeResponse]:
    request = capability_pb2.InvokeRequest(**fields)
    return [response async for response in stub.Invoke(request, timeout=60)]


@pytest.mark.requirement("RAG-1")
async def test_an_answer_streams_and_cites_file_heading_and_line(stub: Any) -> None:
    *deltas, last = await invoke(stub, role="librarian", prompt="How is the lens cleaned?")
    assert len(deltas) > 3
    assert last.result.text == "".join(response.delta for response in deltas)
    assert len(last.result.citations) == 2
    first = last.result.citations[0]
    assert (first.source, first.location) == ("lamp.md", "The lamp > Cleaning the lens, line 7")
    assert first.quote.startswith("Polish the Fresnel lens")
    assert first.score > last.result.citations[1].score
    assert last.result.usage.completion_tokens > 0


@pytest.mark.requirement("AGT-3")
async def test_cancelling_an_answer_stops_the_model_that_writes_it(
    rag: ServiceProcess, model_service: ServiceProcess
) -> None:
    metadata = call_metadata(call_id="cancelled/0", owner=OWNER, epoch=1, linger=60)
    request = capability_pb2.InvokeRequest(prompt="How is the lens cleaned?", max_tokens=400)
    async with (
        open_channel(rag.target) as asking,
        open_channel(rag.target) as cancelling,
        open_channel(model_service.target) as model,
    ):
        call = capability_pb2_grpc.CapabilityServiceStub(asking).Invoke(request, timeout=120, metadata=metadata)
        assert (await call.read()).delta
        call.cancel()
        await more_than(model, "generatedTokens", await count(model, "generatedTokens") + 10)
        service = capability_pb2_grpc.CapabilityServiceStub(cancelling)
        cancel = capability_pb2.CancelCallRequest(call_id="cancelled/0")
        assert (await service.CancelCall(cancel, timeout=60, metadata=call_metadata(owner=OWNER, epoch=1))).found
        before = await count(model, "generatedTokens")
        generate = model_pb2.GenerateRequest(prompt="Hello", sampling=model_pb2.Sampling(max_tokens=1))
        async for _ in model_pb2_grpc.ModelServiceStub(model).Generate(generate, timeout=120):
            pass
        assert await count(model, "generatedTokens") - before - 1 <= SOME_TOKENS
        listed = await capability_pb2_grpc.CapabilityServiceStub(model).ListCalls(
            capability_pb2.ListCallsRequest(), timeout=60
        )
        inner = next(each for each in listed.calls if each.call_id == "cancelled/0.0")
        assert (inner.started, inner.completed) == (1, 0)


async def count(channel: grpc.aio.Channel, fact: str) -> int:
    stub = capability_pb2_grpc.CapabilityServiceStub(channel)
    return int((await stub.Describe(capability_pb2.DescribeRequest(), timeout=60)).details[fact])


async def more_than(channel: grpc.aio.Channel, fact: str, least: int) -> None:
    async with asyncio.timeout(60):
        while await count(channel, fact) <= least:
            await asyncio.sleep(0.005)


async def test_a_verdict_is_one_of_those_asked_for(stub: Any) -> None:
    *_, last = await invoke(stub, prompt="Is vinegar right for the lens?", verdicts=["yes", "no"], max_tokens=8)
    assert last.result.verdict in ("yes", "no")


async def test_earlier_work_of_any_length_still_fits_the_models_context(stub: Any) -> None:
    context = [capability_pb2.Context(step="draft", role="coder", text="lorem ipsum " * 3000)]
    *_, last = await invoke(stub, prompt="How is the lens cleaned?", context=context, max_tokens=4)
    assert last.result.citations


@pytest.mark.requirement("RAG-1")
async def test_documents_that_come_and_go_are_noticed_without_a_restart(
    manual: Path, minilm: Path, tmp_path: Path, model_service: ServiceProcess
) -> None:
    settings = environment(manual, minilm, tmp_path, model_service.target)
    with running("milepost_rag", tmp_path / "rag.log", settings) as service:
        async with open_channel(service.target) as channel:
            stub = capability_pb2_grpc.CapabilityServiceStub(channel)
            (manual / "safe.pdf").write_bytes(encrypted("secret"))
            (manual / "radio.md").write_text("# Radio\n\nThe call sign of the station is Kilo Lima Nine.\n")
            details = await until_documents(stub, "5")
            assert details["refusals"] == "safe.pdf: is encrypted; allowed: a PDF file that opens without a password"
            *_, last = await invoke(stub, prompt="What is the call sign of the station?", max_tokens=4)
            assert last.result.citations[0].source == "radio.md"

            await asyncio.to_thread(shutil.rmtree, manual)
            await asyncio.to_thread(manual.mkdir)
            await until_documents(stub, "0")
            (manual / "safe.pdf").write_bytes(encrypted("secret"))
            await until(stub, "refused", "1")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await invoke(stub, prompt="How is the lens cleaned?")
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert f"put Markdown, text, HTML or PDF files into {manual}; refused: safe.pdf: is encr" in refused.value.details()


async def until_documents(stub: Any, count: str) -> Mapping[str, str]:
    return await until(stub, "documents", count)


async def until(stub: Any, fact: str, value: str) -> Mapping[str, str]:
    async with asyncio.timeout(60):
        while True:
            described = await stub.Describe(capability_pb2.DescribeRequest(), timeout=60)
            if described.details[fact] == value:
                return dict(described.details)
            await asyncio.sleep(0.05)


async def test_without_its_model_service_it_is_unavailable_and_says_which(
    manual: Path, minilm: Path, tmp_path: Path
) -> None:
    target = f"127.0.0.1:{free_port()}"
    with running("milepost_rag", tmp_path / "rag.log", environment(manual, minilm, tmp_path, target)) as service:
        async with open_channel(service.target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await invoke(capability_pb2_grpc.CapabilityServiceStub(channel), prompt="How is the lens cleaned?")
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert f"the model service smollm2 at {target} cannot be reached" in str(refused.value.details())


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MILEPOST_EMBEDDING_MODEL", "{tmp}/service.yaml", "is not a GGUF file"),
        ("MILEPOST_DOCUMENTS_DIR", "{tmp}/none", "MILEPOST_DOCUMENTS_DIR: "),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    manual: Path, minilm: Path, tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    settings = environment(manual, minilm, tmp_path, "127.0.0.1:1") | {variable: value.format(tmp=tmp_path)}
    code, log = ServiceProcess("milepost_rag", tmp_path / "log", settings).wait_exit()
    assert (code, log.count("\n")) == (2, 1), log
    assert log.startswith("milepost-rag: ")
    assert expected in log
