"""The newest events of one agent, kept once for all who follow it."""

import json
from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from milepost.agent.v1 import agent_pb2
from milepost_service.json_form import to_json

MAX_EVENTS = 4096
MAX_BYTES = 8 * 1024 * 1024
_LINE_ENDS = [(chr(code).encode(), b"\\u%04x" % code) for code in (0x85, 0x2028, 0x2029)]


class Entry(NamedTuple):
    """One event as it is sent."""

    sequence: int
    run_id: str
    data: bytes


def entry_of(agent: str, event: agent_pb2.RunEvent) -> Entry:
    return Entry(event.sequence, event.run_id, dump({"agent": agent, "event": to_json(event)}))


def dump(value: object) -> bytes:
    """Compact JSON on one line, also for those who take more than CR and LF for its end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    for raw, escaped in _LINE_ENDS:
        text = text.replace(raw, escaped)
    return text


class Journal:
    """Holds every event with a sequence above `floor`, up to `last`.

    `last` is None until the agent has said what its newest event is. `generation` grows when the numbers went back,
    so that places in it mean nothing any more.
    """

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self.last: int | None = None
        self.floor = 0
        self.generation = 0
        self._entries: list[Entry] = []
        self._bytes = 0
        self._max_events, self._max_bytes = max_events, max_bytes

    def begin(self, newest: int) -> None:
        """Takes what the agent says is its newest event: the place to follow from, or a sign that it was put back."""
        if self.last is not None:
            if newest >= self.last:
                return
            self.generation += 1
        self._entries.clear()
        self._bytes = 0
        self.last = self.floor = newest

    def append(self, entry: Entry) -> bool:
        """False for an event that is here already."""
        if self.last is not None and entry.sequence <= self.last:
            return False
        self._entries.append(entry)
        self._bytes += len(entry.data)
        self.last = entry.sequence
        if len(self._entries) > self._max_events or self._bytes > self._max_bytes:
            self._shed()
        return True

    def after(self, sequence: int, max_bytes: int) -> list[Entry]:
        """The next events above `sequence`, which must not be below the floor: one, and more up to so many bytes."""
        begin = bisect_right(self._entries, sequence, key=attrgetter("sequence"))
        end, size = begin, 0
        while end < len(self._entries) and (end == begin or size + len(self._entries[end].data) <= max_bytes):
            size += len(self._entries[end].data)
            end += 1
        return self._entries[begin:end]

    def _shed(self) -> None:
        """Lets the older half go, and more until the rest is small enough; the newest stays."""
        drop = len(self._entries) // 2
        rest = sum(len(entry.data) for entry in self._entries[drop:])
        while rest > self._max_bytes and drop < len(self._entries) - 1:
            rest -= len(self._entries[drop].data)
            drop += 1
        if drop:
            self.floor = self._entries[drop - 1].sequence
            del self._entries[:drop]
            self._bytes = rest
