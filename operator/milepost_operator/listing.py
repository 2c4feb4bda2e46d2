"""Whole listings: at the start, so that nothing is judged by half of it; now and then, as watches may miss things."""

import asyncio
import logging
import random
from collections.abc import Sequence

from milepost_operator.cache import Cache, version_of
from milepost_operator.cluster import ApiError, Cluster, ResourceType
from milepost_operator.controller import Controller
from milepost_operator.handlers import selector
from milepost_operator.observation import Object

FIRST_CHECK_SECONDS = 20.0
"""What was deleted between our first listing and the watch's is found out this long after."""
CHECK_SECONDS = 60.0
"""A watch that lost its place does not tell what was deleted meanwhile; this finds it out."""
_GRACE_SECONDS = 30.0
_SPREAD_SHARE = 0.1
_RELIST_SECONDS = 3.0

log = logging.getLogger(__name__)


class Listings:
    """Lists every type in every scope, and knows whether watches keep up with it."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        controller: Controller,
        *,
        types: Sequence[ResourceType],
        scopes: Sequence[str | None],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._controller = controller
        self._types = types
        self._scopes = scopes
        self._watched: dict[ResourceType, int] = {}
        self._settled = False
        self._relisting: dict[ResourceType, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.behind: frozenset[ResourceType] = frozenset()
        """Types whose watch has not told of what a listing showed half a minute ago."""

    def hear(self, type_: ResourceType, event: str | None, found: Object) -> None:
        """Takes what a watch tells."""
        self._watched[type_] = max(self._watched.get(type_, 0), version_of(found))
        if event == "DELETED":
            self._controller.lost(type_, found)
            return
        self._controller.saw(type_, found)
        # A watch that lists anew has lost its place, and does not tell what was deleted meanwhile.
        if event is None and self._settled and type_ not in self._relisting:
            loop = asyncio.get_running_loop()
            self._relisting[type_] = loop.call_later(_RELIST_SECONDS, self._relist, type_)

    async def all(self) -> None:
        """Lists everything once. Raises ApiError, whose message names what could not be listed."""
        for type_ in self._types:
            await self._list(type_)

    async def follow(self, seconds: float) -> None:
        """Compares what exists with what is known every minute, and has every resource looked at every `seconds`."""
        await asyncio.sleep(FIRST_CHECK_SECONDS)
        self._settled = True
        loop = asyncio.get_running_loop()
        due = loop.time() + _about(seconds)
        while True:
            await self._check()
            if loop.time() >= due:
                self._controller.look_again(spread=seconds * _SPREAD_SHARE)
                due = loop.time() + _about(seconds)
            await asyncio.sleep(min(_about(CHECK_SECONDS), max(0.0, due - loop.time())))

    async def _check(self) -> None:
        newest: dict[ResourceType, int] = {}
        for type_ in self._types:
            try:
                newest[type_] = await self._list(type_, whole=False)
            except ApiError as error:
                log.warning("Listed %s in vain: %s", type_.plural, error.message)
        await asyncio.sleep(_GRACE_SECONDS)
        self.behind = frozenset(found for found, version in newest.items() if version > self._watched.get(found, 0))
        for type_ in self.behind:
            log.warning("The watch of %s is behind", type_.plural)
            await self._list_quietly(type_)

    async def _list(self, type_: ResourceType, *, whole: bool = True) -> int:
        """The newest version among the objects; without `whole` only what is gone is taken note of."""
        newest = 0
        for scope in self._scopes:
            listed: set[tuple[str, str]] = set()
            version = ""
            async for page in self._cluster.pages(type_, scope, labels=selector(type_), whole=whole):
                for found in page.items:
                    listed.add((found["metadata"]["namespace"], found["metadata"]["name"]))
                    newest = max(newest, version_of(found))
                    if whole:
                        self._controller.saw(type_, found)
                version = page.resource_version
                await asyncio.sleep(0)
            for key in self._cache.retain(type_, scope, listed, version):
                self._controller.changed(key)
        return newest

    def _relist(self, type_: ResourceType) -> None:
        del self._relisting[type_]
        task = asyncio.create_task(self._list_quietly(type_), name=f"list {type_.plural}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _list_quietly(self, type_: ResourceType) -> None:
        try:
            await self._list(type_)
        except ApiError as error:
            log.warning("Listed %s in vain: %s", type_.plural, error.message)


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 no secret
