"""The agent process: its settings, its store as soon as that can be had, and the agent over it."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from milepost_agent.agent import Agent
from milepost_agent.counts import Counts
from milepost_agent.failpoints import arm_failpoints
from milepost_agent.settings import AgentSettings, load_workflow
from milepost_agent.store import Store
from milepost_agent.takeover import take_over
from milepost_service.server import run, serve

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
            )
        finally:
            await store.close()


@contextmanager
def observed(counts: Counts, listen: str) -> Iterator[Callable[[Store], None]]:
    """Serves metrics at the address, of the store too once it is shown; does nothing for an empty one.

    Raises:
        ConfigurationError: the address is in use, or none of this machine.
    """
    if not listen:
        yield lambda _: None
        return
    # Takes its time to be imported, which an agent without metrics saves.
    from milepost_agent.metrics import Metrics  # noqa: PLC0415
    from milepost_service.prometheus import served  # noqa: PLC0415

    metrics = Metrics(counts)
    with served(metrics, listen):
        yield metrics.show


def main() -> None:
    """Entry point `milepost-agent`."""
    for name in FOREIGN_TRACING:
        os.environ.pop(name, None)
    run(_main(), name="milepost-agent")


async def _main() -> None:
    await serve_agent(AgentSettings.load())
