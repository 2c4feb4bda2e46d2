"""What is known of a pod that does not answer: whether it will come back, and why it is away."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Protocol

from milepost_cli.client import PATIENCE
from milepost_cli.cluster.errors import DialError, ForbiddenError, RefusedError, UnreachableError
from milepost_cli.cluster.resources import API, Object, Pod, Workflow
from milepost_cli.errors import NotFoundError

FOLLOWING_PATIENCE = 900.0  # seconds; a pod that moves to another node takes its volume along
LOOK_EVERY = 2.0


class Api(Protocol):
    """Reads from the API server; see Access."""

    def get(self, path: str, **query: str) -> Object | None: ...
    def items(self, path: str, **query: str) -> list[Object] | None: ...
    def denial(self, status: int, message: str) -> str: ...
    def close(self) -> None: ...


class Connections(Protocol):
    """What is known of the connections to pods; see Forwarder."""

    def failure(self, pod: str) -> DialError | None: ...
    def reached(self, pod: str) -> bool: ...


@dataclass
class PodKeeper:
    """The keeper of the agent in one pod. `option` ends the commands that it names."""

    api: Api
    namespace: str
    workflow: str
    pod: str
    option: str
    connections: Connections
    patience: float = PATIENCE
    following_patience: float = FOLLOWING_PATIENCE
    _seen: str = ""
    _look_at: float = field(default=0.0)

    def check(self) -> None:
        """Raises ForbiddenError, and NotFoundError when the workflow is gone or has no such pod any more.

        A pod that could be reached before is waited for whatever is said: an API server that restarts denies
        everything until it has read its roles.
        """
        failure = self.connections.failure(self.pod)
        if isinstance(failure, RefusedError) and not self.connections.reached(self.pod):
            raise ForbiddenError(self.api.denial(failure.status, str(failure)))
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY
        with contextlib.suppress(UnreachableError, ForbiddenError):
            self._look()

    def status(self) -> str:
        """Why the pod does not answer, as last seen; empty when nothing is known."""
        failure = self.connections.failure(self.pod)
        seen = self._seen or (str(failure) if failure is not None else "")
        return f"pod {self.pod}: {seen}" if seen else ""

    def advice(self) -> str:
        known = self.status()
        return f"{known + '; ' if known else ''}its log: kubectl logs{self.option} {self.pod}"

    def _look(self) -> None:
        found = self.api.get(f"{API}/namespaces/{self.namespace}/agentworkflows/{self.workflow}")
        if found is None:
            raise NotFoundError(
                f"workflow {self.workflow} was deleted from namespace {self.namespace}; "
                "a volume that was kept holds its runs, which go on when the workflow is created again"
            )
        expected = Workflow.of(found).pods
        pod = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}")
        if pod is None and self.pod not in expected:
            raise NotFoundError(
                f"pod {self.pod} is no longer wanted: workflow {self.workflow} has {len(expected)} replicas now; "
                "its runs are kept on its volume and go on when there are as many as before"
            )
        self._seen = "it does not exist at this moment" if pod is None else Pod.of(pod).trouble
