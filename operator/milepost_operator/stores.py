"""Asking agents that are not ready whether they can write, beside the reconciling: an answer comes when it comes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from milepost_operator.cache import ResourceKey
from milepost_operator.names import AGENT_PORT, CONTAINER, headless_name
from milepost_operator.observation import Object

TIMEOUT_SECONDS = 2.0
AGAIN_SECONDS = 15.0
"""For so long an answer holds; nobody is asked who became ready meanwhile."""
_PARALLEL = 4

log = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[str]]


async def ask_agent(target: str) -> str:
    """Why the agent at `target` cannot write, in one line; empty when it can, or does not answer in time."""
    # They take 12 MB, which an operator outside the cluster, or one whose agents are all well, does not need.
    import grpc  # noqa: PLC0415

    from milepost.agent.v1 import agent_pb2, agent_pb2_grpc  # noqa: PLC0415

    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            answer = await stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.debug("Asked %s whether it can write: %s", target, error.code().name)
            return ""
    return str(answer.store.failure)


class StoreAsker:
    """Asks each pod that runs and is not ready, and again only after a while; tells when the answer is another."""

    def __init__(self, tell: Callable[[ResourceKey], None], ask: Ask = ask_agent) -> None:
        self._tell = tell
        self._ask = ask
        self._known: dict[ResourceKey, dict[str, str]] = {}
        self._due: dict[tuple[ResourceKey, str], float] = {}
        self._pending: dict[tuple[ResourceKey, str], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)

    def known(self, key: ResourceKey) -> Mapping[str, str]:
        """What agents of a workflow said, by pod; only of those that cannot write."""
        return self._known.get(key, {})

    def want(self, key: ResourceKey, pods: Sequence[Object]) -> None:
        """Sees to it that those of the pods that are not ready are asked; what the others said is forgotten."""
        silent = {pod["metadata"]["name"] for pod in pods if is_silent(pod)}
        self._known[key] = {name: said for name, said in self.known(key).items() if name in silent}
        now = asyncio.get_running_loop().time()
        for name in sorted(silent):
            question = key, name
            if question not in self._pending and now >= self._due.get(question, 0.0):
                self._pending[question] = asyncio.create_task(self._fetch(key, name), name=f"ask {name}")
        for question in [found for found in self._due if found[0] == key and found[1] not in silent]:
            del self._due[question]

    def forget(self, key: ResourceKey) -> None:
        """The workflow is gone."""
        self._known.pop(key, None)
        for question in [found for found in self._due if found[0] == key]:
            del self._due[question]
        for question in [found for found in self._pending if found[0] == key]:
            self._pending[question].cancel()

    async def _fetch(self, key: ResourceKey, pod: str) -> None:
        try:
            async with self._slots:
                said = await self._ask(f"{pod}.{headless_name(key.name)}.{key.namespace}.svc:{AGENT_PORT}")
        finally:
            del self._pending[key, pod]
        self._due[key, pod] = asyncio.get_running_loop().time() + AGAIN_SECONDS
        known = self._known.setdefault(key, {})
        if said == known.get(pod, ""):
            return
        if said:
            known[pod] = said
        else:
            del known[pod]
        self._tell(key)


def is_silent(pod: Object) -> bool:
    """Whether the process of a pod runs and is not ready."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    return any(
        each.get("name") == CONTAINER and "running" in each.get("state", {}) and not each.get("ready")
        for each in containers
    )
