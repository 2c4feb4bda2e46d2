"""Events of one run in order, over as many connections as it takes: an agent that dies and comes back is a pause."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from milepost.agent.v1 import agent_pb2
from milepost_cli.client import ATTEMPT_TIMEOUT, Agent, is_away, refusal
from milepost_cli.errors import AwayError

PAUSE = 0.1  # seconds between two tries


@dataclass(frozen=True)
class ConnectionLost:
    """The agent went away after the event with `sequence`; what follows is read from there on."""

    sequence: int


@dataclass(frozen=True)
class Reconnected:
    """The agent answers again, `away` seconds later."""

    sequence: int
    away: float


@dataclass(frozen=True)
class StillAway:
    """What is seen of the agent while it is away; said again only when it changes."""

    status: str


WatchItem = agent_pb2.RunEvent | ConnectionLost | Reconnected | StillAway


class Watch:
    """Every event of a run from its first to its last, each once, and what happens to the connection in between.

    Iterating raises what the keeper says when the agent will not come back, AwayError when it stays away for
    longer than the keeper allows, AgentError when it refuses.
    """

    def __init__(self, agent: Agent, run_id: str) -> None:
        self._agent = agent
        self._run_id = run_id
        self._patience = agent.keeper.following_patience
        self._sequence = 0
        self._lost_at: float | None = None
        self._status = ""

    def __iter__(self) -> Iterator[WatchItem]:
        while True:
            try:
                yield from self._connection()
                if self._is_complete():
                    return
            except AwayError:
                yield from self._lost()
            except grpc.RpcError as error:
                if not is_away(error):
                    raise refusal(error) from error
                yield from self._lost()
            self._check_patience()
            yield from self._news()
            time.sleep(PAUSE)

    def _connection(self) -> Iterator[WatchItem]:
        request = agent_pb2.WatchRunRequest(run_id=self._run_id, after_sequence=self._sequence)
        for response in self._agent.stub.WatchRun(request):
            yield from self._back()
            if response.event.sequence > self._sequence:
                self._sequence = response.event.sequence
                yield response.event
        yield from self._back()

    def _lost(self) -> Iterator[WatchItem]:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            yield ConnectionLost(self._sequence)

    def _back(self) -> Iterator[WatchItem]:
        if self._lost_at is not None:
            away = time.monotonic() - self._lost_at
            self._lost_at, self._status = None, ""
            yield Reconnected(self._sequence, away)

    def _news(self) -> Iterator[WatchItem]:
        status = self._agent.keeper.status() if self._lost_at is not None else self._status
        if status != self._status:
            self._status = status
            yield StillAway(status)

    def _is_complete(self) -> bool:
        # An agent that stops ends its streams in order: only whether it still answers tells that it goes away.
        run = self._agent.within(ATTEMPT_TIMEOUT).get_run(self._run_id)
        return run.state == agent_pb2.RUN_STATE_ENDED and self._sequence >= run.last_sequence

    def _check_patience(self) -> None:
        self._agent.keeper.check()
        if self._lost_at is not None and time.monotonic() - self._lost_at > self._patience:
            raise AwayError(
                f"the agent of {self._agent.workflow} has been away for {self._patience:.0f} s; "
                f"run {self._run_id} is kept and goes on when it is back; {self._agent.keeper.advice()}"
            )
