"""kopf on a thread and loop of its own: it takes signals, and every task beside its own, for its business."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import kopf

from milepost_operator.cluster import ResourceType
from milepost_operator.handlers import Hear, registry_for, settings_for
from milepost_operator.observation import Object

log = logging.getLogger(__name__)


async def watch(types: Sequence[ResourceType], namespaces: Sequence[str], hear: Hear) -> str:
    """Watches until kopf gives up, and returns why it did; `hear` is called on the loop of the caller."""
    loop = asyncio.get_running_loop()

    heard: deque[tuple[ResourceType, str | None, Object]] = deque()

    def listen() -> None:
        while heard:
            news = heard.popleft()
            try:
                hear(*news)
            except Exception:
                log.exception("Heard in vain of %s", news[0].plural)

    def tell(type_: ResourceType, event: str | None, found: Object) -> None:
        # One wake-up serves all that is told before it is followed.
        heard.append((type_, event, found))
        if len(heard) == 1:
            loop.call_soon_threadsafe(listen)

    kopfs = _Kopf()
    try:
        await asyncio.to_thread(asyncio.run, kopfs.run(types, namespaces, tell))
    except Exception as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    finally:
        kopfs.stop()
    return "it ended"


class _Kopf:
    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flag: asyncio.Event | None = None
        self._stopped = False

    async def run(self, types: Sequence[ResourceType], namespaces: Sequence[str], hear: Hear) -> None:
        self._loop, self._flag = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_quietly)
        if self._stopped:
            return
        await kopf.operator(
            registry=registry_for(types, hear),
            settings=settings_for(types),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            stop_flag=self._flag,
        )

    def stop(self) -> None:
        self._stopped = True
        if self._loop is not None and self._flag is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._flag.set)


def _quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # What ends kopf is told in one line by the caller; the tasks that it tears down have nothing to add.
    log.debug("kopf: %s", context.get("message"))
