"""How a followed run is shown: plain lines, JSON lines, or a live view; all three from the same events."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self

from milepost.agent.v1 import agent_pb2
from milepost_cli.narration import narrate
from milepost_cli.progress import Event, Progress
from milepost_cli.text import printable
from milepost_service.json_form import to_json


class View(Protocol):
    """Takes what `follow` sees, in order, between `__enter__` and `__exit__`."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def event(self, message: agent_pb2.RunEvent) -> None: ...
    def lost(self) -> None: ...
    def waiting(self, status: str) -> None: ...
    def reconnected(self, away: float) -> None: ...
    def end(self, run: agent_pb2.Run) -> None: ...


class PlainView:
    """One or more lines an event, flushed at once, without colours."""

    def __init__(self, run: agent_pb2.Run, option: str = "") -> None:
        self._progress = Progress.of(run, option)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def event(self, message: agent_pb2.RunEvent) -> None:
        event = Event.of(message)
        self._progress.update(event)
        for line in narrate(event, self._progress):
            write_line(line.text)

    def lost(self) -> None:
        write_line("connection to the agent lost, waiting for it to come back")

    def waiting(self, status: str) -> None:
        write_line(f"waiting for the agent: {printable(status)}")

    def reconnected(self, away: float) -> None:
        write_line(f"agent answers again after {away:.1f} s")

    def end(self, run: agent_pb2.Run) -> None:
        if run.result:
            write_line("")
            write_line(printable(run.result).rstrip())


class JsonView:
    """One object a line: {"event": ...} for each event, {"connection": ...}, and {"run": ...} as the last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def event(self, message: agent_pb2.RunEvent) -> None:
        write_json({"event": to_json(message)})

    def lost(self) -> None:
        write_json({"connection": {"state": "lost", "time": time.time()}})

    def waiting(self, status: str) -> None:
        write_json({"connection": {"state": "waiting", "time": time.time(), "status": status}})

    def reconnected(self, away: float) -> None:
        write_json({"connection": {"state": "back", "time": time.time(), "away_seconds": round(away, 3)}})

    def end(self, run: agent_pb2.Run) -> None:
        write_json({"run": to_json(run)})


def write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_note(text: str) -> None:
    """A line for people that is no part of the answer."""
    sys.stderr.write(f"milepost: {text}\n")


def write_json(form: Any) -> None:
    write_line(json.dumps(form, ensure_ascii=False))
