"""Goes on with every unfinished run when the agent starts."""

import logging

from milepost_agent.failpoints import failpoint
from milepost_agent.flow import NEEDS_ATTENTION
from milepost_agent.runner import Runner
from milepost_agent.store import NewEvent, RunRecord, Store

log = logging.getLogger(__name__)

CLEAN_SHUTDOWN = "clean_shutdown_epoch"
MAX_CRASHES = 3


async def recover(store: Store, runner: Runner) -> int:
    """Resumes what was accepted, running, or answered while waiting. Returns how many runs go on."""
    clean = await store.get_meta(CLEAN_SHUTDOWN) == str(store.epoch - 1)
    resumed = 0
    for record in await store.unfinished_runs():
        if record.state == "waiting" and "answer" not in (record.pending or {}):
            continue
        if await _resume(store, runner, record, clean):
            resumed += 1
    return resumed


async def mark_clean_shutdown(store: Store) -> None:
    """Notes that this process ended in order, so that the next start counts no crash."""
    await store.set_meta(CLEAN_SHUTDOWN, str(store.epoch))


async def _resume(store: Store, runner: Runner, record: RunRecord, clean: bool) -> bool:
    crashes = record.crashes if clean or record.state != "running" else record.crashes + 1
    if crashes >= MAX_CRASHES:
        reason = f"CrashLoop: the process died {crashes} times in step {record.current_step} of this run"
        await runner.end(record, NEEDS_ATTENTION, reason, crashes=crashes)
        return False
    recoveries = record.recoveries + 1
    event = NewEvent(
        type="RunResumed",
        step=record.current_step,
        data={
            "step": record.current_step,
            "attempt": recoveries + 1,
            "cause": "restart" if clean else "crash",
            "remaining_hops": record.remaining_hops,
            "current_cycle": record.current_cycle,
            "max_cycles": record.max_cycles,
        },
    )
    await store.commit(record.run_id, events=[event], update={"recoveries": recoveries, "crashes": crashes})
    failpoint("recovery.marked")
    log.info("Run %s goes on at step %s", record.run_id, record.current_step or "start")
    runner.drive(record)
    return True
