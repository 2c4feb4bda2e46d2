"""A service process of the tests: answers every role after a delay and keeps the call log of every Milepost service.

Run as `python scripted_service.py` with MILEPOST_LISTEN, MILEPOST_REGISTRIES, MILEPOST_ADVERTISE, SCRIPTED_NAME,
SCRIPTED_CAPABILITIES (comma-separated), SCRIPTED_SECONDS (time of one call), SCRIPTED_REJECTIONS (how many reviews of a
run ask for changes), SCRIPTED_NUMBERED (answers say which call of their role they are) and SCRIPTED_KEPT (answers kept
for repeated requests; 0: no memory). A prompt with `hold=ROLE/N/SECONDS` makes the N-th call (from 1) of that role in
its run last so long when it comes for the first time, so that a test has the time to kill somebody meanwhile; the role
of arbitrations is `score`; the file SCRIPTED_RELEASE ends it at once when it is there. Needs nothing but
`milepost_service`, so that a cluster can run it from a ConfigMap in any image of Milepost.
"""

import asyncio
import os
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost.registry.v1 import registry_pb2
from milepost_service.call_memory import KEPT_ANSWERS, CallMemory
from milepost_service.metadata import CALL_ID, CORRELATION_ID
from milepost_service.server import run, serve
from milepost_service.servicer import cancel_call
from milepost_service.settings import ServiceSettings
from milepost_service.usage import Load, UsageMeter

NAME = os.environ["SCRIPTED_NAME"]
CAPABILITIES = os.environ["SCRIPTED_CAPABILITIES"].split(",")
NUMBERED = "SCRIPTED_NUMBERED" in os.environ
BEGINNING = 4
"""Characters that are streamed before the time of a call is over."""
GATE = re.compile(r"\bgate=(\w+)/(\d+)/([\w-]+)")
GATES = Path(os.environ.get("SCRIPTED_GATES", "."))
GATE_SECONDS = 120.0
HOLD = re.compile(r"\bhold=(\w+)/(\d+)/([\d.]+)")


class Scripted(capability_pb2_grpc.CapabilityServiceServicer, model_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    def __init__(self, calls: CallMemory) -> None:
        self._calls = calls
        self.meter = UsageMeter(lambda: Load(active=calls.active))
        self._seconds = float(os.environ.get("SCRIPTED_SECONDS", "0"))
        self._rejections = int(os.environ.get("SCRIPTED_REJECTIONS", "0"))
        self._seen: dict[tuple[str, str], list[str]] = defaultdict(list)

    async def Invoke(self, request: Any, context: Any) -> AsyncIterator[capability_pb2.InvokeResponse]:
        place, first = self._place(request.role, dict(context.invocation_metadata()))
        text = f"{request.role}: {request.prompt}" + (f"\nversion {place}" if NUMBERED else "")
        yield capability_pb2.InvokeResponse(delta=text[:BEGINNING])
        await asyncio.sleep(self._seconds)
        await hold(held(request.prompt, request.role, place) if first else 0)
        await gates_opened(request, place)
        verdict = ""
        if request.verdicts:
            verdict = request.verdicts[1 if place <= self._rejections else 0]
        yield capability_pb2.InvokeResponse(delta=text[BEGINNING:])
        yield capability_pb2.InvokeResponse(result=capability_pb2.InvokeResult(text=text, verdict=verdict))

    def _place(self, role: str, metadata: dict[str, str]) -> tuple[int, bool]:
        """Which call of the role in its run this is, from 1, and whether it comes for the first time."""
        seen = self._seen[metadata.get(CORRELATION_ID, ""), role]
        call_id = metadata.get(CALL_ID, "")
        first = call_id not in seen
        if first:
            seen.append(call_id)
        return seen.index(call_id) + 1, first

    async def ListCalls(self, request: Any, context: Any) -> capability_pb2.ListCallsResponse:
        return self._calls.log.response()

    async def CancelCall(self, request: Any, context: Any) -> capability_pb2.CancelCallResponse:
        return cancel_call(self._calls, request, context)

    async def GetUsage(self, request: Any, context: Any) -> capability_pb2.GetUsageResponse:
        return capability_pb2.GetUsageResponse(usage=self.meter.read())

    async def Score(self, request: Any, context: Any) -> model_pb2.ScoreResponse:
        text = "\n".join(message.content for message in request.chat.messages)
        place, first = self._place("score", dict(context.invocation_metadata()))
        await hold(held(text, "score", place) if first else 0)
        scored = [
            model_pb2.ScoredCandidate(candidate=each, tokens=1, baseline_log_probability=0.0)
            for each in request.candidates
        ]
        return model_pb2.ScoreResponse(candidates=scored)


async def hold(seconds: float) -> None:
    """Lasts so long, or until the file SCRIPTED_RELEASE is there."""
    release = os.environ.get("SCRIPTED_RELEASE", "")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not (release and Path(release).exists()):
        await asyncio.sleep(min(left, 0.05 if release else left))


def held(text: str, role: str, place: int) -> float:
    """Seconds that a prompt asks for at this call."""
    return sum(float(found[3]) for found in HOLD.finditer(text) if (found[1], found[2]) == (role, str(place)))


async def gates_opened(request: Any, place: int) -> None:
    """Waits for the gates that the prompt names at this call."""
    wanted = [
        GATES / found[3]
        for found in GATE.finditer(request.prompt)
        if (found[1], found[2]) == (request.role, str(place))
    ]
    deadline = time.monotonic() + GATE_SECONDS
    while not all(gate.exists() for gate in wanted) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def main() -> None:
    settings = ServiceSettings.load()
    calls = CallMemory(kept=int(os.environ.get("SCRIPTED_KEPT", KEPT_ANSWERS)))
    servicer = Scripted(calls)

    def add(server: grpc.aio.Server) -> None:
        capability_pb2_grpc.add_CapabilityServiceServicer_to_server(servicer, server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)

    def registration() -> registry_pb2.Service:
        return registry_pb2.Service(name=NAME, target=settings.target, capabilities=CAPABILITIES)

    await serve(settings, name=NAME, add_servicers=add, calls=calls, registration=registration)


if __name__ == "__main__":
    run(main(), name=NAME)
