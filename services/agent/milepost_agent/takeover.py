"""Taking over the file of the runs, as soon as the process that has it lets it go and its disk takes data."""

import asyncio
import logging
import time

import grpc.aio

from milepost_agent.counts import Counts
from milepost_agent.errors import StoreError, StoreLocked, StoreNotWritable
from milepost_agent.settings import AgentSettings
from milepost_agent.standby_servicer import StandbyServicer
from milepost_agent.store import Store
from milepost_crds import AgentWorkflow
from milepost_service.errors import ConfigurationError
from milepost_service.server import standby

log = logging.getLogger(__name__)

DATABASE = "milepost.db"
LOCK_POLL_SECONDS = 0.2
LONGEST_DISK_POLL_SECONDS = 5.0


async def take_over(settings: AgentSettings, workflow: AgentWorkflow, counts: Counts) -> Store | None:
    """The store, once it can be had; None when a signal came first.

    Raises:
        ConfigurationError: it cannot be used, or was not let go in time.
    """
    takeover = _Takeover(settings, workflow, counts)
    try:
        try:
            await takeover.attempt()
        except (StoreLocked, StoreNotWritable) as refusal:
            if not takeover.may_pass(refusal):
                raise
            await standby(
                settings,
                name=workflow.metadata.name,
                until=takeover.wait(refusal),
                add_servicers=takeover.add_servicers,
            )
    except StoreError as error:
        raise ConfigurationError(str(error)) from None
    return takeover.store


class _Takeover:
    def __init__(self, settings: AgentSettings, workflow: AgentWorkflow, counts: Counts) -> None:
        self.store: Store | None = None
        self._settings = settings
        self._workflow = workflow
        self._counts = counts
        self._refusal = ""
        self._deadline = time.monotonic() + settings.longest_lock_wait

    async def attempt(self) -> None:
        durability = self._workflow.spec.checkpoint.durability
        self.store = await Store.open(
            self._settings.data_dir / DATABASE,
            durability=durability,
            history=False,
            backups=self._settings.backup_folder(self._workflow),
        )

    def may_pass(self, refusal: StoreLocked | StoreNotWritable) -> bool:
        """Whether another attempt is to be made."""
        if isinstance(refusal, StoreLocked):
            return time.monotonic() < self._deadline
        return self._settings.waits_for_disk

    def add_servicers(self, server: grpc.aio.Server) -> None:
        standby = StandbyServicer(self._workflow.metadata.name, lambda: self._refusal)
        server.add_generic_rpc_handlers((standby,))

    async def wait(self, refusal: StoreLocked | StoreNotWritable) -> None:
        """Tries until it is had. Raises what refused it last when that is not worth waiting for."""
        pause = LOCK_POLL_SECONDS
        while self.store is None:
            self._note(refusal)
            await asyncio.sleep(pause)
            try:
                await self.attempt()
            except (StoreLocked, StoreNotWritable) as error:
                if not self.may_pass(error):
                    raise
                refusal = error
            if isinstance(refusal, StoreNotWritable):
                pause = min(pause * 2, LONGEST_DISK_POLL_SECONDS)
        log.info("%s: can be had now", self._settings.data_dir / DATABASE)

    def _note(self, refusal: StoreLocked | StoreNotWritable) -> None:
        if str(refusal) == self._refusal:
            return
        self._refusal = str(refusal)
        if isinstance(refusal, StoreLocked):
            longest = self._settings.longest_lock_wait
            log.warning("%s; waiting up to %g s for it to end (MILEPOST_LOCK_WAIT_SECONDS)", refusal, longest)
        else:
            self._counts.store_failed(refusal)
            log.warning("%s; waiting until the disk takes data", refusal)
