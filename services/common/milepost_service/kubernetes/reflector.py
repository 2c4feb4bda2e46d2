"""Keeps somebody in step with the objects of one list, whatever happens to the API server meanwhile."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from milepost_service.kubernetes.access import ApiAccess
from milepost_service.kubernetes.api import ListedApi, Object
from milepost_service.kubernetes.errors import ApiUnavailable, WatchExpired

FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 15.0
SHORTEST_WATCH: Final = 5.0
"""A watch that ends sooner counts as one more failure."""

_log = logging.getLogger(__name__)


class Follower(Protocol):
    """Who is kept in step. While the API server cannot be reached nothing is called but `unreachable`."""

    async def replace(self, objects: Sequence[Object]) -> None:
        """These are all that there are now."""
        ...

    async def change(self, kind: str, found: Object) -> None:
        """One was ADDED, MODIFIED or DELETED."""
        ...

    def unreachable(self, trouble: str) -> None:
        """Why nothing can be heard; once for each different reason."""
        ...

    def reachable(self) -> None:
        """Everything is heard again, after `unreachable`."""
        ...


class Reflector:
    """Lists, then watches, with pauses that grow while it fails."""

    def __init__(self, access: ApiAccess, path: str, selector: str, follower: Follower) -> None:
        self._access = access
        self._path = path
        self._selector = selector
        self._follower = follower
        self._trouble = ""
        self._backoff = FIRST_BACKOFF

    async def run(self) -> None:
        """Does not end by itself."""
        while True:
            try:
                async with ListedApi.open(self._access, self._path, self._selector) as api:
                    await self._follow(api)
            except WatchExpired:
                _log.debug("the watch of %s expired; it is listed again", self._path)
            except ApiUnavailable as error:
                self._complain(str(error))
            except Exception:
                _log.exception("the watch of %s failed; it begins again", self._path)
            await self._pause()

    async def _follow(self, api: ListedApi) -> None:
        """Raises ApiUnavailable, WatchExpired."""
        objects, version = await api.list()
        await self._follower.replace(objects)
        while True:
            async with api.watch(version) as events:
                self._healed()
                with self._patience():
                    async for kind, found in events:
                        version = str(found["metadata"]["resourceVersion"])
                        if kind != "BOOKMARK":
                            await self._follower.change(kind, found)
            await self._pause()

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._follower.unreachable(trouble)
            self._trouble = trouble

    def _healed(self) -> None:
        if self._trouble:
            self._follower.reachable()
            self._trouble = ""

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            if time.monotonic() - begun >= SHORTEST_WATCH:
                self._backoff = FIRST_BACKOFF

    async def _pause(self) -> None:
        await asyncio.sleep(self._backoff * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads load, protects nothing
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF)
