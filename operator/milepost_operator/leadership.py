"""Which of several operators works: the oldest running one of those whose namespaces overlap. Nothing is written."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from milepost_operator.cluster import POD, ApiError, Cluster
from milepost_operator.names import LABEL_COMPONENT, LABEL_PART_OF, PART_OF
from milepost_operator.observation import Object

OPERATOR_SELECTOR = f"{LABEL_COMPONENT}=operator,{LABEL_PART_OF}={PART_OF}"
POLL_SECONDS = 3.0
_OVERDUE = timedelta(seconds=15)
_NAMESPACES_VARIABLE = "MILEPOST_NAMESPACES"

log = logging.getLogger(__name__)


def leader(pods: Sequence[Object], me: tuple[str, str], scopes: frozenset[str], now: datetime) -> tuple[str, str]:
    """Namespace and name of the pod that leads among those that serve a namespace of `scopes` (empty: all)."""
    rivals = [pod for pod in pods if _identity(pod) == me or (_is_running(pod, now) and _overlap(scopes, _scopes(pod)))]
    return _identity(min(rivals, key=_age)) if rivals else me


class Leadership:
    """Follows the operators' pods. `leading` is set while this process is to work."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        pod: str,
        namespace: str,
        namespaces: Sequence[str],
        changed: Callable[[bool], None] = lambda leads: None,
    ) -> None:
        self.leading = asyncio.Event()
        self._cluster = cluster
        self._me = (namespace, pod)
        self._scopes = frozenset(namespaces)
        self._changed = changed
        self._leader: tuple[str, str] | None = None
        if not pod:
            self._follow(self._me)

    async def run(self) -> None:
        """Looks again every few seconds; outside a pod it leads and there is nothing to look at."""
        while self._me[1]:
            try:
                await self.look()
            except ApiError as error:
                log.warning("Operators could not be listed: %s", error.message)
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Lists the operators once and decides. Raises ApiError."""
        pods = await self._operators()
        self._follow(leader(pods, self._me, self._scopes, datetime.now(UTC)))

    async def _operators(self) -> list[Object]:
        scopes: Sequence[str | None] = sorted({self._me[0], *self._scopes}) if self._scopes else [None]
        found: list[Object] = []
        for scope in scopes:
            async for page in self._cluster.pages(POD, scope, labels=OPERATOR_SELECTOR):
                found += page.items
        return found

    def _follow(self, new: tuple[str, str]) -> None:
        if new == self._leader:
            return
        previous, self._leader = self._leader, new
        if new == self._me:
            self.leading.set()
            if previous is not None:
                log.info("Took over from operator %s", "/".join(previous))
        else:
            self.leading.clear()
            log.info("Another operator %s leads; standing by", "/".join(new))
        self._changed(new == self._me)


def _identity(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _age(pod: Object) -> tuple[str, str, str]:
    return pod["metadata"].get("creationTimestamp", ""), *_identity(pod)


def _is_running(pod: Object, now: datetime) -> bool:
    if pod.get("status", {}).get("phase") != "Running":
        return False
    # It works until it is gone; one that outlives its grace period lies on a node that is lost.
    ends = pod["metadata"].get("deletionTimestamp")
    return ends is None or now < datetime.fromisoformat(ends) + _OVERDUE


def _scopes(pod: Object) -> frozenset[str]:
    for container in pod.get("spec", {}).get("containers", ()):
        for variable in container.get("env", ()):
            if variable["name"] == _NAMESPACES_VARIABLE:
                return frozenset(part.strip() for part in variable.get("value", "").split(",") if part.strip())
    return frozenset()


def _overlap(one: frozenset[str], other: frozenset[str]) -> bool:
    return not one or not other or bool(one & other)
