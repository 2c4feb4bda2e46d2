"""Where agents run, as the commands see it: the processes of `milepost up`, or the pods of a namespace."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from milepost.agent.v1 import agent_pb2
from milepost.registry.v1 import registry_pb2
from milepost_cli.client import EVERY_RUN, Agent, RunQuery
from milepost_cli.errors import NotFoundError

SHORTEST_PREFIX = 4
ID_LENGTH = 36
PAGE = 500


@dataclass(frozen=True)
class Away:
    """An agent that cannot be asked now, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Readiness:
    """The condition Ready that the operator reports: True, False or Unknown."""

    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Runs:
    """Runs, newest first, of all agents but those that are away."""

    runs: Sequence[agent_pb2.Run]
    away: Sequence[Away] = ()


@dataclass(frozen=True)
class Messages:
    """Messages between roles, newest first, of all agents but those that are away."""

    messages: Sequence[agent_pb2.StoredMessage]
    away: Sequence[Away] = ()


@dataclass(frozen=True)
class ServiceRow:
    """A service as the agents know it. `ready` is set where an operator looks after it."""

    service: registry_pb2.Service
    restarts: int
    ready: Readiness | None = None


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow as its agents describe it; counts are sums over them."""

    workflow: agent_pb2.GetAgentResponse
    target: str
    ready: Readiness | None = None
    pods: Sequence[str] = ()
    away: Sequence[Away] = field(default=())


class Backend(Protocol):
    """Agents of one place. A context manager: what was opened is closed at the end, however that comes."""

    @property
    def option(self) -> str:
        """What has to be added to a command so that it finds this place: " --state DIR", " -n NAME", or nothing."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def accepting(self, workflow: str, correlation_id: str, *, is_new: bool) -> Agent:
        """The agent that a run of this correlation id belongs to.

        `is_new` says that the id was made just now, so that nobody can know it. Raises NotFoundError, AgentError.
        """
        ...

    def serving(self, workflow: str) -> Sequence[Agent]:
        """All agents of a workflow, one a pod in a cluster. Raises NotFoundError, AgentError."""
        ...

    def with_run(self, run_id: str) -> tuple[Agent, agent_pb2.Run]:
        """The run of a run id, a correlation id, or the only one whose id begins so. Raises NotFoundError."""
        ...

    def runs(self, limit: int, wanted: RunQuery = EVERY_RUN) -> Runs: ...
    def messages(self, limit: int) -> Messages: ...
    def services(self) -> Sequence[ServiceRow]: ...
    def workflows(self) -> Sequence[WorkflowRow]: ...


def is_uuid(text: str) -> bool:
    """Whether an agent can be asked for a run by it; a part of an id only its list tells."""
    with contextlib.suppress(ValueError):
        return bool(uuid.UUID(text))
    return False


def may_begin_an_id(text: str) -> bool:
    """Whether an agent can be asked for the runs whose id begins so."""
    return SHORTEST_PREFIX <= len(text) <= ID_LENGTH


def newest_first(runs: Sequence[agent_pb2.Run], limit: int) -> list[agent_pb2.Run]:
    return sorted(runs, key=lambda run: run.create_time.ToNanoseconds(), reverse=True)[:limit]


def newest_messages(messages: Sequence[agent_pb2.StoredMessage], limit: int) -> list[agent_pb2.StoredMessage]:
    return sorted(messages, key=lambda each: each.message.create_time.ToNanoseconds(), reverse=True)[:limit]


def only_match(run_id: str, found: Sequence[tuple[Agent, agent_pb2.Run]]) -> tuple[Agent, agent_pb2.Run] | None:
    """The one run whose id begins with `run_id`, if there is one. Raises NotFoundError when there are more."""
    if len(found) > 1:
        raise NotFoundError(f"{run_id}: {len(found)} runs begin so; allowed: more of the id")
    return found[0] if found else None
