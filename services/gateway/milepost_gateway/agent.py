"""The connection to one agent."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from milepost.agent.v1 import agent_pb2, agent_pb2_grpc, backup_pb2_grpc
from milepost.registry.v1 import registry_pb2_grpc
from milepost_gateway.addresses import AgentAddress
from milepost_gateway.errors import ApiError, refusal
from milepost_service.channels import open_channel, unresolved

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryMultiCallable as Unary

Request = TypeVar("Request")
Answer = TypeVar("Answer")

READ_SECONDS = 4.0
LATE_SECONDS = 1.0
"""For an agent that let the last one wait in vain, so that it does not hold up every list."""
WRITE_SECONDS = 10.0
"""How long a change may wait for an agent that is being started again."""
LASTING_SECONDS = 900.0
"""For work that grows with what the agent holds: backups."""
PAUSE_SECONDS = 0.2


class Agent:
    """Asks one agent. What it refuses, or that it is away, is an ApiError."""

    def __init__(self, address: AgentAddress) -> None:
        self.address = address
        self._is_late = False
        self._open()

    @property
    def id(self) -> str:
        return self.address.agent

    def _open(self) -> None:
        self._channel = open_channel(self.address.target)
        self.runs = agent_pb2_grpc.AgentServiceStub(self._channel)
        self.backups = backup_pb2_grpc.BackupServiceStub(self._channel)
        self.registry = registry_pb2_grpc.RegistryServiceStub(self._channel)

    async def move(self, address: AgentAddress) -> None:
        """Goes on at another address."""
        old, moved = self._channel, address.target != self.address.target
        self.address = address
        if moved:
            self._open()
            await old.close()

    async def close(self) -> None:
        await self._channel.close()

    async def read(
        self, method: "Callable[[Agent], Unary[Request, Answer]]", request: Request, seconds: float = READ_SECONDS
    ) -> Answer:
        """One attempt, a short one while the agent has not answered in time. `method` picks the call of this agent."""
        is_quick = seconds <= READ_SECONDS
        try:
            with self._kept():
                answer = await method(self)(request, timeout=LATE_SECONDS if is_quick and self._is_late else seconds)
        except grpc.aio.AioRpcError as error:
            self._is_late = is_quick and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            await self.renew_after(error)
            raise refusal(error, self.id) from None
        self._is_late = False
        return answer

    async def write(
        self, method: "Callable[[Agent], Unary[Request, Answer]]", request: Request, seconds: float = WRITE_SECONDS
    ) -> Answer:
        """Tries again while the agent is away, so only for what may be repeated."""
        deadline = time.monotonic() + seconds
        while True:
            late = deadline - PAUSE_SECONDS
            try:
                with self._kept():
                    return await method(self)(request, timeout=max(deadline - time.monotonic(), PAUSE_SECONDS))
            except grpc.aio.AioRpcError as error:
                await self.renew_after(error)
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > late:
                    raise refusal(error, self.id) from None
            except ApiError:
                if time.monotonic() > late:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def newest(self, seconds: float = READ_SECONDS) -> int:
        """Sequence number of the newest event of its journal."""
        answer = await self.read(lambda agent: agent.runs.GetAgent, agent_pb2.GetAgentRequest(), seconds)
        return answer.last_sequence

    async def events(
        self, run_id: str, after: int, seconds: float | None = None
    ) -> AsyncGenerator[agent_pb2.RunEvent, None]:
        """The journal from a sequence number on.

        Raises:
            AioRpcError: the agent went away, or `seconds` are over.
            ApiError: it is connected to anew.
        """
        call = self.runs.WatchRun(agent_pb2.WatchRunRequest(run_id=run_id, after_sequence=after), timeout=seconds)
        try:
            with self._kept():
                async for response in call:
                    yield response.event
        finally:
            call.cancel()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """A call whose channel is closed under it ends as if its task were cancelled; here as an agent that is away."""
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise ApiError("UNAVAILABLE", f"agent {self.id} is being connected to anew") from None

    async def renew_after(self, error: grpc.aio.AioRpcError) -> None:
        """Opens the channel anew when the name of its target was not found: it would not ask again for minutes."""
        if unresolved(error):
            old = self._channel
            self._open()
            await old.close()
