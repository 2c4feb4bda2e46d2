"""CapabilityService as every ModelService answers it; only the answer to Invoke differs between engines."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.registry.v1 import registry_pb2
from milepost_crds import ModelService
from milepost_service.call_memory import CallMemory
from milepost_service.caller import Caller
from milepost_service.errors import InvalidArgumentError

PROMPT_BYTES = 65_536
MAX_VERDICTS = 32

Details = Callable[[], Mapping[str, str]]
Usage = Callable[[], registry_pb2.Usage]
Answer = Callable[[capability_pb2.InvokeRequest, float], AsyncGenerator[str | capability_pb2.InvokeResult, None]]
"""(request, seconds until its deadline) -> text as it is made, then one result whose `text` may be left empty."""


class CapabilityServicer(capability_pb2_grpc.CapabilityServiceServicer):
    """Checks requests, streams the engine's answer, and tells what was called."""

    def __init__(
        self, resource: ModelService, *, answer: Answer, details: Details, usage: Usage, calls: CallMemory
    ) -> None:
        self._resource = resource
        self._answer = answer
        self._details = details
        self._usage = usage
        self._calls = calls

    async def Describe(self, request: capability_pb2.DescribeRequest, context: Any) -> capability_pb2.DescribeResponse:
        spec = self._resource.spec
        return capability_pb2.DescribeResponse(
            name=self._resource.name,
            capabilities=spec.capabilities,
            description=spec.description,
            examples=spec.examples,
            engine=spec.engine_name,
            details=self._details(),
        )

    async def Invoke(
        self, request: capability_pb2.InvokeRequest, context: Any
    ) -> AsyncIterator[capability_pb2.InvokeResponse]:
        begin = time.monotonic()
        check_request(request)
        made: list[str] = []
        async with aclosing(self._answer(request, require_deadline(context))) as items:
            async for item in items:
                if isinstance(item, str):
                    made.append(item)
                    yield capability_pb2.InvokeResponse(delta=item)
                    continue
                item.text = "".join(made)
                item.usage.duration_ms = (time.monotonic() - begin) * 1000
                yield capability_pb2.InvokeResponse(result=item)

    async def ListCalls(
        self, request: capability_pb2.ListCallsRequest, context: Any
    ) -> capability_pb2.ListCallsResponse:
        return self._calls.log.response()

    async def CancelCall(
        self, request: capability_pb2.CancelCallRequest, context: Any
    ) -> capability_pb2.CancelCallResponse:
        return cancel_call(self._calls, request, context)

    async def GetUsage(self, request: capability_pb2.GetUsageRequest, context: Any) -> capability_pb2.GetUsageResponse:
        return capability_pb2.GetUsageResponse(usage=self._usage())


def cancel_call(
    calls: CallMemory, request: capability_pb2.CancelCallRequest, context: Any
) -> capability_pb2.CancelCallResponse:
    """Stops the work for a call of the caller's own, whether or not the one who asked for it is connected."""
    if not request.call_id:
        raise InvalidArgumentError("call_id: is empty; allowed: the milepost-call-id of a call")
    owner = Caller.of(context.invocation_metadata()).owner
    return capability_pb2.CancelCallResponse(found=calls.cancel(owner, request.call_id))


def check_prompt(prompt: str, field: str = "prompt") -> None:
    """Refuses an empty prompt and one over 65,536 bytes of UTF-8."""
    size = len(prompt.encode())
    if not prompt.strip():
        raise InvalidArgumentError(f"{field}: is empty; allowed: 1 to {PROMPT_BYTES} bytes")
    if size > PROMPT_BYTES:
        raise InvalidArgumentError(f"{field}: has {size} bytes; allowed: 1 to {PROMPT_BYTES} bytes")


def check_request(request: capability_pb2.InvokeRequest) -> None:
    """Refuses an Invoke that no engine could answer."""
    check_prompt(request.prompt)
    verdicts = list(request.verdicts)
    if len(verdicts) > MAX_VERDICTS or len(set(verdicts)) != len(verdicts) or not all(verdicts):
        raise InvalidArgumentError(f"verdicts: allowed: at most {MAX_VERDICTS} distinct, non-empty texts")
    if request.max_tokens < 0:
        raise InvalidArgumentError(f"max_tokens: is {request.max_tokens}; allowed: 0 (the default) or more")


def require_deadline(context: Any) -> float:
    """Seconds until the deadline of the call; refuses a call without one."""
    remaining: float | None = context.time_remaining()
    if remaining is None:
        raise InvalidArgumentError("deadline: is not set; allowed: any deadline")
    return remaining


def registry_entry(resource: ModelService, target: str, details: Mapping[str, str]) -> registry_pb2.Service:
    """What a ModelService tells a registry about itself."""
    spec = resource.spec
    return registry_pb2.Service(
        name=resource.name,
        target=target,
        capabilities=spec.capabilities,
        description=spec.description,
        examples=spec.examples,
        details=details,
    )
