"""Asking pods that are not ready what they have to say, beside the reconciling: an answer comes when it comes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from milepost_operator.cache import ResourceKey
from milepost_operator.names import CONTAINER
from milepost_operator.observation import Object

AGAIN_SECONDS = 15.0
"""For so long an answer holds; nobody is asked who became ready meanwhile."""
_PARALLEL = 4

Ask = Callable[[str], Awaitable[str]]
"""What the process at a target says, in one line; empty for nothing, or without an answer in time."""
Target = Callable[[ResourceKey, Object], str]
"""Where the process of a pod is called; empty while it cannot be."""


class PodAsker:
    """Asks each pod that runs and is not ready, and again only after a while; tells when the answer is another."""

    def __init__(self, tell: Callable[[ResourceKey], None], ask: Ask, target: Target) -> None:
        self._tell = tell
        self._ask = ask
        self._target = target
        self._known: dict[ResourceKey, dict[str, str]] = {}
        self._due: dict[tuple[ResourceKey, str], float] = {}
        self._pending: dict[tuple[ResourceKey, str], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)

    def known(self, key: ResourceKey) -> Mapping[str, str]:
        """What pods of a resource said, by name; only of those that said something."""
        return self._known.get(key, {})

    def want(self, key: ResourceKey, pods: Sequence[Object]) -> None:
        """Sees to it that those of the pods that are not ready are asked; what the others said is forgotten."""
        silent = {pod["metadata"]["name"]: self._target(key, pod) for pod in pods if is_silent(pod)}
        self._known[key] = {name: said for name, said in self.known(key).items() if name in silent}
        now = asyncio.get_running_loop().time()
        for name, target in sorted(silent.items()):
            question = key, name
            if target and question not in self._pending and now >= self._due.get(question, 0.0):
                self._pending[question] = asyncio.create_task(self._fetch(key, name, target), name=f"ask {name}")
        for question in [found for found in self._due if found[0] == key and found[1] not in silent]:
            del self._due[question]

    def forget(self, key: ResourceKey) -> None:
        """The resource is gone."""
        self._known.pop(key, None)
        for question in [found for found in self._due if found[0] == key]:
            del self._due[question]
        for question in [found for found in self._pending if found[0] == key]:
            self._pending[question].cancel()

    async def _fetch(self, key: ResourceKey, pod: str, target: str) -> None:
        try:
            async with self._slots:
                said = await self._ask(target)
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
