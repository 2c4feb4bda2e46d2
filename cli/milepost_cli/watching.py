"""Events of one run in order, over as many connections as it takes: an agent that dies and comes back is a pause."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from milepost.agent.v1 import agent_pb2
from milepost_cli.client import PATIENCE, Agent, is_away, refusal
from milepost_cli.errors import AgentError
from milepost_cli.state import StateDirectory

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


WatchItem = agent_pb2.RunEvent | ConnectionLost | Reconnected


class Watch:
    """Every event of a run from its first to its last, each once, and what happens to the connection in between.

    Iterating raises NotRunningError when the supervisor is gone, AgentError when the agent stays away for
    `patience` seconds or refuses.
    """

    def __init__(self, agent: Agent, run_id: str, state: StateDirectory, *, patience: float = PATIENCE) -> None:
        self._agent = agent
        self._run_id = run_id
        self._state = state
        self._patience = patience
        self._sequence = 0
        self._lost_at: float | None = None

    def __iter__(self) -> Iterator[WatchItem]:
        while True:
            try:
                yield from self._connection()
                if self._is_complete():
                    return
            except grpc.RpcError as error:
                if not is_away(error):
                    raise refusal(error) from error
                if self._lost_at is None:
                    self._lost_at = time.monotonic()
                    yield ConnectionLost(self._sequence)
            self._check_patience()
            time.sleep(PAUSE)

    def _connection(self) -> Iterator[WatchItem]:
        request = agent_pb2.WatchRunRequest(run_id=self._run_id, after_sequence=self._sequence)
        for response in self._agent.stub.WatchRun(request):
            yield from self._back()
            if response.event.sequence > self._sequence:
                self._sequence = response.event.sequence
                yield response.event
        yield from self._back()

    def _back(self) -> Iterator[WatchItem]:
        if self._lost_at is not None:
            away = time.monotonic() - self._lost_at
            self._lost_at = None
            yield Reconnected(self._sequence, away)

    def _is_complete(self) -> bool:
        run = self._agent.get_run(self._run_id)
        return run.state == agent_pb2.RUN_STATE_ENDED and self._sequence >= run.last_sequence

    def _check_patience(self) -> None:
        self._state.running()
        if self._lost_at is not None and time.monotonic() - self._lost_at > self._patience:
            raise AgentError(
                f"the agent of {self._agent.workflow} has been away for {self._patience:.0f} s; "
                f"run {self._run_id} is kept and goes on when it is back"
            )
