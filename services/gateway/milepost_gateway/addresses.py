"""Where the agents are, as the gateway is told."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Mode = Literal["local", "cluster"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,252}")


@dataclass(frozen=True)
class AgentAddress:
    """One agent. `agent` is its id: URL-safe, and the same for as long as it has the same file of runs.

    `pod` is what the runs of a workflow with several agents are spread by; empty: the id.
    """

    agent: str
    workflow: str
    target: str
    namespace: str = ""
    pod: str = ""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.agent):
            raise ValueError(
                f"{self.agent!r} is no name of an agent; allowed: letters, digits, '.', '_', '~' and '-', "
                "the first a letter or digit"
            )


class Agents(Protocol):
    """Tells which agents there are, for as long as the gateway runs.

    The seam for discovery: the gateway iterates over `watch` in one task and follows each list that it yields. An
    agent that is new in a list is connected to and its journal followed from its newest event; one that is missing is
    let go; one with the same id and another target is connected to anew and its journal goes on where it was. A
    watch that raises is logged and begun again after a pause, and nothing is let go meanwhile.
    """

    @property
    def mode(self) -> Mode:
        """What `api/config` says of the place."""
        ...

    def watch(self) -> AsyncIterator[Sequence[AgentAddress]]:
        """All agents now, then all agents again after each change. Does not end by itself."""
        ...


class StaticAgents:
    """A list that does not change: the agents of `milepost up`."""

    mode: Mode = "local"

    def __init__(self, addresses: Sequence[AgentAddress]) -> None:
        self._addresses = tuple(addresses)

    async def watch(self) -> AsyncIterator[Sequence[AgentAddress]]:
        yield self._addresses
        await asyncio.Event().wait()
