"""One list out of the lists of several agents, newest first, in pages."""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from milepost_gateway.agent import Agent
from milepost_gateway.errors import ApiError

Item = TypeVar("Item")
MAX_TOKEN = 64 * 1024
MAX_SIZE = 500
ATTEMPTS = 5


@dataclass(frozen=True)
class Part(Generic[Item]):
    """A page of one agent; `token` continues after it, empty at the end."""

    items: Sequence[Item]
    token: str


@dataclass(frozen=True)
class Page(Generic[Item]):
    """A page over all agents. `unreachable` are those that did not answer."""

    items: Sequence[tuple[Agent, Item]]
    token: str
    unreachable: Sequence[str]


@dataclass(frozen=True)
class Source(Generic[Item]):
    """What is listed. `fetch` asks an agent for so many items from a token; `order` is higher for what is newer."""

    fetch: Callable[[Agent, int, str], Awaitable[Part[Item]]]
    identity: Callable[[Item], str]
    order: Callable[[Item], int]


async def merged(source: Source[Item], agents: Sequence[Agent], size: int, token: str) -> Page[Item]:
    """The next `size` items. Raises ApiError for a token that `merged` did not make, and what an agent refused."""
    begins = _parse(token)
    asked = [agent for agent in agents if begins.get(agent.id, "") is not None]
    answers = await asyncio.gather(*(_ask(source, agent, size, begins.get(agent.id) or "") for agent in asked))
    parts = {agent.id: part for agent, part in zip(asked, answers, strict=True) if part is not None}
    found = [(agent, item) for agent in asked if agent.id in parts for item in parts[agent.id].items]
    found.sort(key=lambda pair: source.order(pair[1]), reverse=True)
    chosen = found[:size]
    ends: dict[str, str | None] = {agent: begin for agent, begin in begins.items() if begin is None}
    continuations = await asyncio.gather(
        *(
            _continuation(source, agent, begins.get(agent.id) or "", part, _taken(chosen, agent))
            for agent in asked
            if (part := parts.get(agent.id)) is not None
        )
    )
    for agent, end in zip([agent for agent in asked if agent.id in parts], continuations, strict=True):
        ends[agent.id] = end
    away = [agent.id for agent in asked if agent.id not in parts]
    goes_on = any(ends.get(agent.id) is not None for agent in asked if agent.id in parts)
    for agent_id in away:
        ends[agent_id] = begins.get(agent_id) or ""
    return Page(chosen, _format(ends) if goes_on else "", away)


def _taken(chosen: Sequence[tuple[Agent, Item]], agent: Agent) -> list[Item]:
    return [item for one, item in chosen if one is agent]


async def _ask(source: Source[Item], agent: Agent, size: int, token: str) -> Part[Item] | None:
    try:
        return await source.fetch(agent, size, token)
    except ApiError as error:
        if error.status in (503, 504):
            return None
        raise


async def _continuation(
    source: Source[Item], agent: Agent, begin: str, part: Part[Item], taken: Sequence[Item]
) -> str | None:
    """The agent's own token after what was taken of its page; None when there is nothing behind it.

    A page that was taken in part is asked for again in that length: only the agent can say where it ends.
    """
    if len(taken) == len(part.items):
        return part.token or None
    if not taken:
        return begin
    last, length = source.identity(taken[-1]), len(taken)
    for _ in range(ATTEMPTS):
        again = await _ask(source, agent, length, begin)
        if again is None or not again.items:
            break
        found = [source.identity(item) for item in again.items]
        if found[-1] == last:
            return again.token or None
        # Something newer came in between.
        length = found.index(last) + 1 if last in found else min(length * 2, MAX_SIZE)
    raise ApiError("UNAVAILABLE", f"agent {agent.id}: its list changed while it was read")


def _format(ends: dict[str, str | None]) -> str:
    return base64.urlsafe_b64encode(json.dumps(ends, separators=(",", ":")).encode()).decode().rstrip("=")


def _parse(token: str) -> dict[str, str | None]:
    wrong = ApiError("INVALID_ARGUMENT", "page_token: is not one that was given out here")
    if len(token) > MAX_TOKEN:
        raise wrong
    if not token:
        return {}
    try:
        ends = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise wrong from None
    if not isinstance(ends, dict) or not all(end is None or isinstance(end, str) for end in ends.values()):
        raise wrong
    return ends
