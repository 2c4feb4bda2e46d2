"""The agents of the running `milepost up` on one state directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_cli.backend import (
    PAGE,
    Messages,
    Runs,
    ServiceRow,
    WorkflowRow,
    is_uuid,
    may_begin_an_id,
    newest_first,
    newest_messages,
    only_match,
)
from milepost_cli.client import EVERY_RUN, PATIENCE, Agent, RunQuery
from milepost_cli.errors import NotFoundError
from milepost_cli.state import StateDirectory, UpRecord


@dataclass(frozen=True)
class Supervised:
    """The keeper of an agent that a living supervisor starts again."""

    state: StateDirectory
    workflow: str
    patience: float = PATIENCE
    following_patience: float = PATIENCE

    def check(self) -> None:
        """Raises NotRunningError when the supervisor is gone."""
        self.state.running()

    def status(self) -> str:
        return ""

    def advice(self) -> str:
        return f"its log is {self.state.logs / self.workflow}.log"


class LocalBackend:
    """Raises NotRunningError when nothing runs on the state directory."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._record: UpRecord = state.running()
        self._open: dict[str, Agent] = {}

    @property
    def option(self) -> str:
        return self._state.option

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self._open.values():
            agent.close()

    def accepting(self, workflow: str, correlation_id: str, *, is_new: bool) -> Agent:
        return self._of(workflow)

    def serving(self, workflow: str) -> Sequence[Agent]:
        return [self._of(workflow)]

    def with_run(self, run_id: str) -> tuple[Agent, agent_pb2.Run]:
        for agent in self._agents() if is_uuid(run_id) else ():
            with contextlib.suppress(NotFoundError):
                return agent, agent.get_run(run_id)
        if may_begin_an_id(run_id):
            wanted = RunQuery(text=run_id)
            listed = [(agent, run) for agent in self._agents() for run in agent.list_runs(PAGE, wanted)]
            match = only_match(run_id, [(agent, run) for agent, run in listed if run.run_id.startswith(run_id)])
            if match is not None:
                return match[0], match[0].get_run(match[1].run_id)
        raise NotFoundError(f"{run_id}: no run has this id here; `milepost get runs` lists them")

    def runs(self, limit: int, wanted: RunQuery = EVERY_RUN) -> Runs:
        return Runs(newest_first([run for agent in self._agents() for run in agent.list_runs(limit, wanted)], limit))

    def messages(self, limit: int) -> Messages:
        found = [message for agent in self._agents() for message in agent.newest_messages(limit)]
        return Messages(newest_messages(found, limit))

    def services(self) -> Sequence[ServiceRow]:
        """Services that any agent knows, with how often the supervisor started each again."""
        found: dict[str, registry_pb2.Service] = {}
        for agent in self._agents():
            for service in agent.services():
                found.setdefault(service.name, service)
        processes = self._record.processes
        return [ServiceRow(found[name], processes[name].restarts if name in processes else 0) for name in sorted(found)]

    def workflows(self) -> Sequence[WorkflowRow]:
        described = [agent.describe() for agent in self._agents()]
        return [WorkflowRow(one, self._record.workflows[one.workflow]) for one in described]

    def _agents(self) -> Iterator[Agent]:
        return (self._of(workflow) for workflow in self._record.workflows)

    def _of(self, workflow: str) -> Agent:
        if workflow not in self._record.workflows:
            raise NotFoundError(
                f"no workflow {workflow} here; allowed: {', '.join(self._record.workflows) or 'none is up yet'}"
            )
        if workflow not in self._open:
            keeper = Supervised(self._state, workflow)
            self._open[workflow] = Agent(workflow, self._record.workflows[workflow], keeper)
        return self._open[workflow]
