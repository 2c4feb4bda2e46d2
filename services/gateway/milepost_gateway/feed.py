"""Follows the journal of one agent for everybody: one call upstream, begun again for as long as the agent is there."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

import grpc.aio

from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError
from milepost_gateway.journal import Entry, Journal, entry_of

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between two tries
_log = logging.getLogger(__name__)


class Feed:
    """The agent, its newest events, and whether they come in now.

    `on_event` is called for each new event, `on_change` when the agent came or went; both on the event loop.
    """

    def __init__(self, agent: Agent, on_event: Callable[[Entry], None], on_change: Callable[[], None]) -> None:
        self.agent = agent
        self.journal = Journal()
        self.connected = False
        self.settled = asyncio.Event()
        """Set once the agent has answered, or was found to be away."""
        self._on_event, self._on_change = on_event, on_change
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.agent.close()

    async def _follow(self) -> None:
        pause = FIRST_PAUSE
        while True:
            begun = time.monotonic()
            try:
                await self._connection()
            except ApiError as error:
                self._lost(str(error))
            except grpc.aio.AioRpcError as error:
                await self.agent.renew_after(error)
                self._lost(error.code().name)
            except Exception:
                _log.exception("the journal of agent %s cannot be followed", self.agent.id)
                self._lost("internal error")
            else:
                self._lost("it ended the stream")
            pause = FIRST_PAUSE if time.monotonic() - begun > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _connection(self) -> None:
        self.journal.begin(await self.agent.newest())
        self.connected = True
        self.settled.set()
        _log.info("following agent %s from event %s", self.agent.id, self.journal.last)
        self._on_change()
        async with aclosing(self.agent.events("", self.journal.last or 0)) as events:
            async for event in events:
                entry = entry_of(self.agent.id, event)
                if self.journal.append(entry):
                    self._on_event(entry)

    def _lost(self, why: str) -> None:
        self.settled.set()
        if self.connected:
            self.connected = False
            _log.warning("agent %s is not followed any more: %s", self.agent.id, why)
            self._on_change()
