"""Reads from an agent what one client missed, without holding up what it gets from others."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import grpc.aio

from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_gateway.journal import Entry, entry_of

AHEAD = 16  # events read that the client has not taken yet


class Replay:
    """The events of one agent after a sequence number; `ready` is called when there is something to take."""

    def __init__(self, agent: Agent, after: int, ready: Callable[[], None]) -> None:
        self._agent, self._after, self._ready = agent, after, ready
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(AHEAD)
        self._task = asyncio.create_task(self._read())

    @property
    def is_over(self) -> bool:
        """Whether the agent went away, and all that it said before was taken."""
        return self._task.done() and self._queue.empty()

    def take(self) -> list[Entry]:
        """What has come."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async with aclosing(self._agent.events("", self._after)) as events:
                async for event in events:
                    await self._queue.put(entry_of(self._agent.id, event))
                    self._ready()
        except grpc.aio.AioRpcError as error:
            await self._agent.renew_after(error)
        except ApiError:
            pass  # the agent is connected to anew, and so is who reads
        finally:
            self._ready()
