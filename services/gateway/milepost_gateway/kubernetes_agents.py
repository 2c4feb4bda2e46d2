"""The agents of a cluster: what the operator's StatefulSets say that there is, and where its pods are now."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Literal

from milepost_gateway.addresses import AgentAddress, Mode
from milepost_service.kubernetes.access import ApiAccess
from milepost_service.kubernetes.api import Object
from milepost_service.kubernetes.reflector import Reflector

SELECTOR: Final = (
    "app.kubernetes.io/name=milepost,app.kubernetes.io/component=agent,app.kubernetes.io/managed-by=milepost-operator"
)
INSTANCE: Final = "app.kubernetes.io/instance"
AGENT_PORT: Final = 50051
FIRST_LOOK_SECONDS: Final = 3.0
"""How long the first answer waits for all lists, so that it is whole where they can be had."""
PATHS: Final[Mapping[str, str]] = {"StatefulSet": "/apis/apps/v1", "Pod": "/api/v1"}
PLURALS: Final[Mapping[str, str]] = {"StatefulSet": "statefulsets", "Pod": "pods"}
Kind = Literal["StatefulSet", "Pod"]
Key = tuple[str, str]
"""Namespace and name."""

_log = logging.getLogger(__name__)


class KubernetesAgents:
    """An agent for each replica of each StatefulSet, whether or not its pod is there at the moment.

    So the agent of a pod that is replaced stays the same one, and whoever follows its journal goes on without a gap.
    While the API server cannot be reached all that is known is kept.
    """

    mode: Mode = "cluster"

    def __init__(self, access: ApiAccess, namespaces: Sequence[str]) -> None:
        """`namespaces`: those that are looked at; empty: all."""
        self._access = access
        self._namespaces = namespaces or ("",)

    async def watch(self) -> AsyncGenerator[Sequence[AgentAddress], None]:
        changed = asyncio.Event()
        kinds: tuple[Kind, Kind] = ("StatefulSet", "Pod")
        lists = [_List(kind, namespace, changed) for namespace in self._namespaces for kind in kinds]
        tasks = [asyncio.create_task(Reflector(self._access, each.path, SELECTOR, each).run()) for each in lists]
        told: Sequence[AgentAddress] | None = None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_SECONDS):
                    await asyncio.gather(*(each.listed.wait() for each in lists))
            while True:
                changed.clear()
                found = addresses_of(_all(lists, "StatefulSet"), _all(lists, "Pod"))
                if found != told:
                    told = found
                    yield found
                await changed.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _List:
    """The objects of one kind in one namespace, or in all."""

    def __init__(self, kind: Kind, namespace: str, changed: asyncio.Event) -> None:
        where = f"/namespaces/{namespace}" if namespace else ""
        self.kind = kind
        self.path = f"{PATHS[kind]}{where}/{PLURALS[kind]}"
        self.objects: dict[Key, Object] = {}
        self.listed = asyncio.Event()
        self._changed = changed

    async def replace(self, objects: Sequence[Object]) -> None:
        self.objects = {_key(found): found for found in objects}
        self.listed.set()
        self._changed.set()

    async def change(self, kind: str, found: Object) -> None:
        if kind == "DELETED":
            self.objects.pop(_key(found), None)
        else:
            self.objects[_key(found)] = found
        self._changed.set()

    def unreachable(self, trouble: str) -> None:
        _log.warning("%s cannot be watched, %d are known: %s", self.path, len(self.objects), trouble)

    def reachable(self) -> None:
        _log.info("%s is watched again, %d are known", self.path, len(self.objects))


def addresses_of(stateful_sets: Mapping[Key, Object], pods: Mapping[Key, Object]) -> list[AgentAddress]:
    """All agents, in the order of their ids.

    The target is the address of the pod while it has one. While it has none, it is the pod's name, which nobody else
    can get; the address that it had may be another pod's by then.
    """
    found = []
    for (namespace, name), stateful_set in sorted(stateful_sets.items()):
        spec: Mapping[str, Any] = stateful_set.get("spec") or {}
        workflow = (stateful_set["metadata"].get("labels") or {}).get(INSTANCE, name)
        for ordinal in range(int(spec.get("replicas", 1))):
            pod = f"{name}-{ordinal}"
            host = _address(pods.get((namespace, pod))) or f"{pod}.{spec.get('serviceName', name)}.{namespace}.svc"
            found.append(
                AgentAddress(
                    agent=f"{namespace}.{pod}",
                    workflow=workflow,
                    target=f"{host}:{AGENT_PORT}",
                    namespace=namespace,
                    pod=pod,
                )
            )
    return found


def _address(pod: Object | None) -> str:
    """Of a pod that has not ended, else empty."""
    status: Mapping[str, Any] = (pod or {}).get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return ""
    address = str(status.get("podIP") or "")
    return f"[{address}]" if ":" in address else address


def _all(lists: Sequence[_List], kind: Kind) -> dict[Key, Object]:
    return {key: found for each in lists if each.kind == kind for key, found in each.objects.items()}


def _key(found: Object) -> Key:
    return found["metadata"]["namespace"], found["metadata"]["name"]
