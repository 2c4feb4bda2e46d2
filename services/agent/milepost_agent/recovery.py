"""Goes on with every unfinished run when the agent starts."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from milepost_agent.failpoints import failpoint
from milepost_agent.flow import NEEDS_ATTENTION
from milepost_agent.runner import Runner
from milepost_agent.store import RUNNING, NewEvent, RunRecord, Store
from milepost_agent.tracing import lost_spans, was_driven
from milepost_agent.trials import SUSPICIOUS_CRASHES, Trials
from milepost_service.correlation import correlation

log = logging.getLogger(__name__)

CLEAN_SHUTDOWN = "clean_shutdown_epoch"
FIRST = 4
"""Runs that are marked and driven before any other, so that somebody goes on at once however many there are."""
AT_ONCE = 256
FIRST_START = "first"
CRASH = "crash"
DISK_FAILURE = "disk failure"
RESTORE = "restore"


async def why_started(store: Store, cause: str) -> str:
    """Why what the store holds is driven now: `cause`, or how the process before ended if this one has just started.

    "first" for a new file, "restart" after an end in order, "crash" after any other, "restore" when this start put a
    backup in the place of the file.
    """
    if cause:
        return cause
    if store.restored is not None:
        return RESTORE
    if store.epoch == 1:
        return FIRST_START
    return "restart" if await store.get_meta(CLEAN_SHUTDOWN) == str(store.epoch - 1) else CRASH


class Recovery:
    """One start of the agent: who goes on, who is suspected of having killed the process, who is left alone."""

    def __init__(self, store: Store, runner: Runner) -> None:
        self._store = store
        self._runner = runner
        self._trials = Trials(store, runner)

    async def start(self, cause: str = "") -> int:
        """Resumes what was accepted, running, or answered while waiting. Returns how many runs go on.

        Args:
            cause: Why they stopped, when this process stopped them itself; empty when it has just started.
        """
        if cause:
            await self._trials.stop()
        in_order = not cause and await self._store.get_meta(CLEAN_SHUTDOWN) == str(self._store.epoch - 1)
        clean = bool(cause) or in_order
        convicted = "" if clean else await self._trials.convicted()
        unfinished = await self._store.unfinished_runs()
        driven = {record.run_id for record in unfinished if was_driven(record)}
        blamed = set() if clean or convicted else {record.run_id for record in unfinished if _was_driven(record)}
        if any(record.idle_since is None for record in unfinished):
            await self._store.stop_clocks(at_last_event=bool(cause) or not clean)
        cause = cause or ("restart" if clean else CRASH)
        suspects: list[RunRecord] = []
        free: list[RunRecord] = []
        for record in unfinished:
            if not record.is_drivable:
                self._runner.drive(record)
            elif record.run_id == convicted:
                await self._convict(record)
            elif record.crashes + (record.run_id in blamed) >= SUSPICIOUS_CRASHES:
                suspects.append(record)
            else:
                free.append(record)
        mark = partial(self._mark, blamed=blamed, cause=cause, driven=driven, in_order=in_order)
        marked = await mark(suspects)
        await self._trials.start(marked)
        for some in _portions(free):
            for record in await mark(some):
                self._runner.drive(record)
        return len(suspects) + len(free)

    async def stop(self) -> None:
        """Notes that this process ends in order, so that the next start counts no crash."""
        await self._trials.stop()
        if self._store.failure is None:
            await self._store.set_meta(CLEAN_SHUTDOWN, str(self._store.epoch))

    async def _mark(
        self, records: list[RunRecord], *, blamed: set[str], cause: str, driven: set[str], in_order: bool
    ) -> list[RunRecord]:
        """Journals that runs go on, many in one commit, and what they lost."""
        lost = await lost_spans(self._store, records, driven=driven, in_order=in_order)
        return await asyncio.gather(
            *(self._mark_one(each, each.run_id in blamed, cause, lost[each.run_id]) for each in records)
        )

    async def _mark_one(self, record: RunRecord, blamed: bool, cause: str, lost: list[dict[str, Any]]) -> RunRecord:
        recoveries, crashes = record.recoveries + 1, record.crashes + blamed
        event = NewEvent(
            type="RunResumed",
            step=record.current_step,
            data={
                "step": record.current_step,
                "attempt": recoveries + 1,
                "cause": cause,
                "epoch": self._store.epoch,
                "lost": lost,
                "remaining_hops": record.remaining_hops,
                "current_cycle": record.current_cycle,
                "max_cycles": record.max_cycles,
            },
        )
        await self._store.commit(record.run_id, events=[event], update={"recoveries": recoveries, "crashes": crashes})
        failpoint("recovery.marked")
        with correlation(record.correlation_id):
            log.info("Run %s goes on at step %s", record.run_id, record.current_step or "start")
        return replace(record, crashes=crashes)

    async def _convict(self, record: RunRecord) -> None:
        crashes = record.crashes + 1
        reason = f"CrashLoop: the process died {crashes} times in step {record.current_step} of this run"
        await self._runner.end(record, NEEDS_ATTENTION, reason, crashes=crashes)
        with correlation(record.correlation_id):
            log.error("Run %s is left alone: %s", record.run_id, reason)


def _portions(records: list[RunRecord]) -> Iterator[list[RunRecord]]:
    """What is marked in one commit each."""
    if records:
        yield records[:FIRST]
    for start in range(FIRST, len(records), AT_ONCE):
        yield records[start : start + AT_ONCE]


def _was_driven(record: RunRecord) -> bool:
    """Whether a process was driving the run when it died: then its clock was going."""
    return record.state == RUNNING and record.idle_since is None
