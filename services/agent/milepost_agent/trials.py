"""Finds the run that kills the process: runs under suspicion go on one at a time, before all others.

A run is suspected when it was being driven in two crashes without completing a step in between. While one is on
trial, and until it has completed a step, nothing else is driven; a process that dies then was killed by that run alone.
So no run is ever blamed for what another did.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from milepost_agent.errors import StoreError
from milepost_agent.failpoints import failpoint
from milepost_agent.runner import Runner
from milepost_agent.store import RunRecord, Store

log = logging.getLogger(__name__)

ON_TRIAL = "on_trial"
SUSPICIOUS_CRASHES = 2
TRIAL_SECONDS = 20.0
"""How long the others wait at first for a suspect that does not complete its step; doubled with each crash."""
PROGRESS = frozenset(
    {"StepCompleted", "StepSkipped", "StepFailed", "RunCompleted", "QuestionAsked", "ApprovalRequested"}
)


class Trials:
    """Drives suspects in turn, in the background of an agent that accepts runs all the while."""

    def __init__(self, store: Store, runner: Runner) -> None:
        self._store = store
        self._runner = runner
        self._task: asyncio.Task[None] | None = None

    async def convicted(self) -> str:
        """Id of the run that was on trial when the process before died; empty when none was."""
        return await self._store.get_meta(ON_TRIAL) or ""

    async def start(self, suspects: Sequence[RunRecord]) -> None:
        """Holds everything else back until each suspect has shown that it is harmless."""
        if not suspects:
            if await self.convicted():
                await self._store.set_meta(ON_TRIAL, "")
            return
        self._runner.hold()
        self._task = asyncio.create_task(self._try_all(suspects), name="trials")

    async def stop(self) -> None:
        """Ends the trials without a verdict, because the process ends in order."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._store.failure is None and await self.convicted():
            await self._store.set_meta(ON_TRIAL, "")

    async def _try_all(self, suspects: Sequence[RunRecord]) -> None:
        try:
            for record in suspects:
                await self._store.set_meta(ON_TRIAL, record.run_id)
                failpoint("trial.begun")
                log.warning("Run %s goes on alone: the process died %d times with it", record.run_id, record.crashes)
                await self._try(record)
            await self._store.set_meta(ON_TRIAL, "")
        except StoreError as error:
            log.error("the trials end without a verdict: %s", error)
        finally:
            self._runner.release()

    async def _try(self, record: RunRecord) -> None:
        begun = await self._runner.get(record.run_id)
        self._runner.drive(begun, alone=True)
        window = TRIAL_SECONDS * 2 ** (record.crashes - SUSPICIOUS_CRASHES)
        try:
            async with (
                asyncio.timeout(window),
                aclosing(self._store.watch(record.run_id, after=begun.last_sequence)) as events,
            ):
                async for event in events:
                    if event.type in PROGRESS:
                        return
        except TimeoutError:
            log.warning("Run %s has not completed its step after %g s; the others go on", record.run_id, window)
