"""What a namespace holds: workflows, services, and the pods that the operator made for them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost_cli.cluster.errors import ClusterError
from milepost_cli.cluster.keeper import Api
from milepost_cli.cluster.resources import AGENT, AGENT_PORT, API, MANAGED, OperatedService, Pod, Workflow
from milepost_cli.errors import CliError, NotFoundError


@dataclass(frozen=True)
class Snapshot:
    """One look at a namespace."""

    namespace: str
    workflows: Sequence[Workflow]
    pods: Mapping[str, Pod]

    def workflow(self, name: str) -> Workflow:
        """Raises NotFoundError."""
        for workflow in self.workflows:
            if workflow.name == name:
                return workflow
        names = ", ".join(workflow.name for workflow in self.workflows)
        raise NotFoundError(f"no workflow {name} in namespace {self.namespace}; allowed: {names}")

    def pods_of(self, workflow: Workflow) -> list[Pod]:
        """Those that it should have, whether they are there or not, then those that are left over."""
        wanted = [self.pods.get(name) or _missing(name, workflow.name) for name in workflow.pods]
        left = [pod for pod in self.pods.values() if pod.component == AGENT and pod.instance == workflow.name]
        return wanted + [pod for pod in left if pod.name not in workflow.pods]

    def services_pods(self, name: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.component != AGENT and pod.instance == name]


@dataclass(frozen=True)
class Namespace:
    """Reads one namespace."""

    api: Api
    name: str

    def look(self, *, need_workflows: bool = True) -> Snapshot:
        """Raises ClusterError when there is no workflow and one is needed, or no Milepost at all."""
        found = self.api.items(f"{API}/namespaces/{self.name}/agentworkflows")
        if found is None:
            raise ClusterError(
                "the cluster does not know AgentWorkflow (milepost.dev/v1alpha1); "
                "install Milepost with its Helm chart, or choose another cluster with --context"
            )
        if not found and need_workflows:
            raise self.emptiness()
        pods = self.api.items(f"/api/v1/namespaces/{self.name}/pods", labelSelector=MANAGED) or ()
        workflows = sorted((Workflow.of(one) for one in found), key=lambda workflow: workflow.name)
        return Snapshot(self.name, workflows, {pod.name: pod for pod in map(Pod.of, pods)})

    def services(self) -> list[OperatedService]:
        found = self.api.items(f"{API}/namespaces/{self.name}/modelservices") or ()
        return [OperatedService.of(one) for one in found]

    def emptiness(self) -> ClusterError:
        """Why nothing is found: no such namespace, or nothing in it; and where there is something."""
        with contextlib.suppress(CliError):
            if self.api.get(f"/api/v1/namespaces/{self.name}") is None:
                return ClusterError(f"there is no namespace {self.name}{self._elsewhere()}")
        return ClusterError(
            f"namespace {self.name} holds no AgentWorkflow{self._elsewhere()}; "
            f"apply one with `kubectl apply -n {self.name} -f FILE`"
        )

    def _elsewhere(self) -> str:
        try:
            found = self.api.items(f"{API}/agentworkflows") or ()
        except CliError:
            return ""
        names = sorted({str(one["metadata"].get("namespace", "")) for one in found})
        return f"; workflows are in: {', '.join(names)}" if names else ""


def _missing(name: str, workflow: str) -> Pod:
    return Pod(name, workflow, AGENT, False, False, 0, AGENT_PORT, "it does not exist at this moment")
