"""One client of the stream: where it is in each journal, and what it is sent next."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from milepost_gateway.agent import Agent
from milepost_gateway.cursor import format_cursor
from milepost_gateway.errors import ApiError
from milepost_gateway.feed import Feed
from milepost_gateway.hub import Hub
from milepost_gateway.journal import Entry, dump
from milepost_gateway.metrics import Metrics
from milepost_gateway.replay import Replay
from milepost_service.json_form import iso_time

HEARTBEAT = 15.0  # seconds
RETRY_MS = 1000
BATCH = 256 * 1024  # bytes that are sent of one agent at a time
RESTORED = 1_000_000
"""How far the numbers of a journal go on beyond the highest that was given out, when an agent is restored."""
REPLAY_LIMIT = 100_000
"""Events that are read again for one client; when it missed more, it must look anew."""
SETTLE_SECONDS = 1.0
ASK_SECONDS = 1.0
PAUSE_SECONDS = 1.0


@dataclass
class Place:
    """How far the client is in one journal.

    `feed` is what it is attached to, at `generation`; before that `replay` reads what it missed, but after a failure
    `not_before` that time of the event loop.
    """

    position: int | None = None
    feed: Feed | None = None
    generation: int = 0
    replay: Replay | None = None
    not_before: float = 0.0


class Subscription:
    """The events of one client, in pieces ready to be sent.

    A client that begins with a cursor gets from the journal what it missed; one that cannot keep up with what is
    kept in memory is told to look anew (`resync`) and goes on with the newest.
    """

    def __init__(self, hub: Hub, wake: asyncio.Event, metrics: Metrics, cursor: Mapping[str, int], run_id: str) -> None:
        self._hub, self._wake, self._metrics = hub, wake, metrics
        self._run_id = run_id
        self._places = {agent: Place(position) for agent, position in cursor.items()}
        self._begins_now = not cursor
        self._agents: bytes | None = None
        self._services: bytes | None = None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Does not end by itself."""
        await self._hub.fleet.settled(SETTLE_SECONDS)
        yield self._hello()
        try:
            while True:
                self._wake.clear()
                pieces = self._overview()
                for feed in self._hub.fleet.feeds:
                    pieces += await self._of(feed)
                yield b"".join(pieces) if pieces else await self._quiet()
        finally:
            for place in self._places.values():
                if place.replay:
                    await place.replay.close()

    async def _quiet(self) -> bytes:
        """Waits for something new; what is sent when that takes long."""
        try:
            async with asyncio.timeout(HEARTBEAT):
                await self._wake.wait()
        except TimeoutError:
            # The id lets a client that filters go on from here although nothing was for it.
            return b": heartbeat\nid: " + self._cursor() + b"\n\n"
        return b""

    def _cursor(self) -> bytes:
        return format_cursor(
            {agent: place.position for agent, place in self._places.items() if place.position is not None}
        ).encode()

    def _hello(self) -> bytes:
        for feed in self._hub.fleet.feeds if self._begins_now else ():
            if feed.journal.last is not None:
                self._places[feed.agent.id] = Place(feed.journal.last, feed, feed.journal.generation)
        cursor = self._cursor()
        now = iso_time(time.time())
        data = dump({"cursor": cursor.decode(), "server_time": now})
        return b"retry: %d\nid: %b\nevent: hello\ndata: %b\n\n" % (RETRY_MS, cursor, data)

    def _overview(self) -> list[bytes]:
        board, pieces = self._hub.board, []
        if board.agents is not None and board.agents is not self._agents:
            self._agents = board.agents
            pieces.append(b"event: agents\ndata: %b\n\n" % board.agents)
        if board.services is not None and board.services is not self._services:
            self._services = board.services
            pieces.append(b"event: services\ndata: %b\n\n" % board.services)
        return pieces

    async def _of(self, feed: Feed) -> list[bytes]:
        """What there is now of one agent; does not wait for it."""
        agent, journal = feed.agent.id, feed.journal
        if journal.last is None:
            return []
        place = self._places.setdefault(agent, Place())
        pieces: list[bytes] = []
        if place.feed is not feed and not await self._attach(feed, place, pieces):
            return pieces
        assert place.position is not None
        if place.generation != journal.generation:
            place.generation = journal.generation
            return [*pieces, self._resync(place, journal.last, f"the journal of agent {agent} was put back")]
        if place.position < journal.floor:
            return [*pieces, self._resync(place, journal.last, f"too slow for the events of agent {agent}")]
        return [*pieces, *self._events(agent, place, journal.after(place.position, BATCH))]

    async def _attach(self, feed: Feed, place: Place, pieces: list[bytes]) -> bool:
        """Brings the client to where the journal in memory begins; False while that is still to come."""
        assert feed.journal.last is not None
        if place.position is None:
            pieces.append(self._resync(place, feed.journal.last, f"agent {feed.agent.id} has joined"))
        elif not await self._caught_up(feed, place, place.position, feed.journal.last, pieces):
            return False
        place.feed, place.generation = feed, feed.journal.generation
        return True

    async def _caught_up(self, feed: Feed, place: Place, position: int, last: int, pieces: list[bytes]) -> bool:
        agent = feed.agent.id
        if asyncio.get_running_loop().time() < place.not_before:
            return False
        if position > last:
            try:
                if await feed.agent.newest(ASK_SECONDS) < position:
                    pieces.append(self._resync(place, last, f"the journal of agent {agent} was put back"))
            except ApiError:
                return self._later(place)
        elif last - position > REPLAY_LIMIT:
            pieces.append(self._resync(place, last, f"too many events of agent {agent} were missed"))
        elif position < feed.journal.floor:
            pieces += self._replayed(feed.agent, place)
        if place.position is not None and place.position < feed.journal.floor:
            return False if place.replay else self._later(place)
        if place.replay:
            await place.replay.close()
            place.replay = None
        return True

    def _replayed(self, agent: Agent, place: Place) -> Iterator[bytes]:
        """What has come of what the client missed; without a replay afterwards when the agent went away."""
        assert place.position is not None
        place.replay = place.replay or Replay(agent, place.position, self._wake.set)
        yield from self._events(agent.id, place, place.replay.take())
        if place.replay.is_over:
            place.replay = None

    def _later(self, place: Place) -> bool:
        """The agent went away: has it asked again after a pause."""
        loop = asyncio.get_running_loop()
        place.not_before = loop.time() + PAUSE_SECONDS
        loop.call_at(place.not_before, self._wake.set)
        return False

    def _resync(self, place: Place, position: int, reason: str) -> bytes:
        place.position = position
        self._metrics.resyncs.inc()
        return b"id: %b\nevent: resync\ndata: %b\n\n" % (self._cursor(), dump({"reason": reason}))

    def _events(self, agent: str, place: Place, entries: Sequence[Entry]) -> Iterator[bytes]:
        """Each event that this client wants, with the cursor after it; its place is then after the last."""
        if not entries:
            return
        assert place.position is not None
        before = after = b""
        for position, entry in pairwise([Entry(place.position, "", b""), *entries]):
            if entry.sequence - position.sequence > RESTORED and position.sequence:
                yield self._resync(place, entry.sequence - 1, f"agent {agent} was restored from a backup")
            if not before:
                before, after = self._around(agent)
            if not self._run_id or entry.run_id == self._run_id:
                yield b"id: %b%d%b\nevent: journal\ndata: %b\n\n" % (before, entry.sequence, after, entry.data)
            place.position = entry.sequence

    def _around(self, agent: str) -> tuple[bytes, bytes]:
        """The cursor before and after the number of one agent."""
        known = [(name, place.position) for name, place in self._places.items() if place.position is not None]
        at = next(index for index, (name, _) in enumerate(known) if name == agent)
        before = "".join(f"{name}={position};" for name, position in known[:at])
        after = "".join(f";{name}={position}" for name, position in known[at + 1 :])
        return f"{before}{agent}=".encode(), after.encode()
