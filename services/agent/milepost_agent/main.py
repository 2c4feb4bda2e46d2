"""The agent process: its settings, its store as soon as that can be had, and the agent over it."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from milepost_agent.agent import Agent
from milepost_agent.counts import Counts
from milepost_agent.failpoints import arm_failpoints
from milepost_agent.settings import AgentSettings, load_workflow
from milepost_agent.store import Store
from milepost_agent.takeover import take_over
from milepost_service.observability import add_metrics
from milepost_service.server import run, serve

if TYPE_CHECKING:
    from milepost_agent.metrics import Metrics

# LangGraph would send prompts to a hosted service when the user's shell happens to set these for another program.
FOREIGN_TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")


async def serve_agent(settings: AgentSettings) -> None:
    """Serves until a signal comes.

    Raises:
        ConfigurationError: the workflow or the store cannot be used.
        ProcessMustEnd: another process took the store over, or it was damaged.
    """
    arm_failpoints(settings.failpoints)
    workflow = load_workflow(settings.workflow_file)
    counts = Counts()
    with observed(counts, settings.metrics_listen) as show:
        store = await take_over(settings, workflow, counts)
        if store is None:
            return
        store.listen(counts.committed)
        show(store)
        try:
            agent = await asyncio.to_thread(Agent, settings, workflow, store, counts)
            await serve(
                settings,
                name=workflow.metadata.name,
                add_servicers=agent.add_servicers,
                start=agent.start,
                drain=agent.drain,
                attend=agent.life.attend,
                records_spans=False,  # those of an agent are made from its journal
            )
        finally:
            await store.close()


@contextmanager
def observed(counts: Counts, listen: str) -> Iterator[Callable[[Store], None]]:
    """Serves metrics at the address, if there is one, and exports them in debug; of the store too once it is shown.

    Raises:
        ConfigurationError: the address is in use, or none of this machine.
    """
    lazy = _LazyMetrics(counts)
    stop = add_metrics(lambda: lazy.made().collect())
    try:
        if not listen:
            yield lazy.show
            return
        from milepost_service.prometheus import served  # noqa: PLC0415 - as below

        with served(lazy.made(), listen):
            yield lazy.show
    finally:
        stop()


class _LazyMetrics:
    """Imports the metrics when they are asked for, because that takes its time."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._store: Store | None = None
        self._made: Metrics | None = None

    def show(self, store: Store) -> None:
        self._store = store
        if self._made is not None:
            self._made.show(store)

    def made(self) -> "Metrics":
        from milepost_agent.metrics import Metrics  # noqa: PLC0415

        if self._made is None:
            self._made = Metrics(self._counts, self._loop)
            if self._store is not None:
                self._made.show(self._store)
        return self._made


def main() -> None:
    """Entry point `milepost-agent`."""
    for name in FOREIGN_TRACING:
        os.environ.pop(name, None)
    run(_main(), name="milepost-agent")


async def _main() -> None:
    await serve_agent(AgentSettings.load())
