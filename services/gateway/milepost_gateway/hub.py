"""Who follows what happens: the clients of the stream, and what wakes them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from milepost_gateway.board import Board
from milepost_gateway.errors import ApiError
from milepost_gateway.fleet import Fleet
from milepost_gateway.journal import Entry
from milepost_gateway.overview import Overview


class Hub:
    """Clients are events that are set when there is something new; each looks up for itself what that is."""

    def __init__(self, fleet: Fleet, max_clients: int) -> None:
        self.fleet = fleet
        self.overview = Overview(lambda: fleet.agents, lambda: self.board.touch())
        self.board = Board(self.overview, self.wake, lambda: bool(self._clients))
        self.closing = asyncio.Event()
        self._max_clients = max_clients
        self._clients: set[asyncio.Event] = set()
        fleet.on_event = self._on_event
        fleet.on_change = self._on_change

    @property
    def clients(self) -> int:
        return len(self._clients)

    @contextmanager
    def client(self) -> Iterator[asyncio.Event]:
        """Raises ApiError when there are too many already."""
        if len(self._clients) >= self._max_clients:
            raise ApiError("UNAVAILABLE", f"{self._max_clients} streams are open already", {"Retry-After": "5"})
        wake = asyncio.Event()
        self._clients.add(wake)
        if len(self._clients) == 1:
            self.board.touch(urgent=True)
        try:
            yield wake
        finally:
            self._clients.discard(wake)
            if not self._clients:
                self.board.drop()

    def wake(self) -> None:
        for client in self._clients:
            client.set()

    def close(self) -> None:
        """Ends every stream."""
        self.closing.set()
        self.wake()

    def _on_event(self, entry: Entry) -> None:
        self.board.touch()
        self.wake()

    def _on_change(self) -> None:
        self.board.touch(urgent=True)
        self.wake()
