"""`milepost obs`: shows the observability mode of agents, and switches it while they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from milepost.agent.v1 import agent_pb2
from milepost_cli.backend import Away, Backend
from milepost_cli.client import Agent
from milepost_cli.errors import AwayError, UsageError
from milepost_cli.get import away_forms, tell_away
from milepost_cli.views import write_json, write_line
from milepost_crds.units import parse_duration
from milepost_service.json_form import enum_field, local_time, to_json

MODES = {"debug": agent_pb2.OBSERVABILITY_MODE_DEBUG, "shipping": agent_pb2.OBSERVABILITY_MODE_SHIPPING}
PATIENCE = 5.0
"""Seconds that an agent may take: `obs` is asked when something is wrong."""


@dataclass
class Modes:
    """What agents said, and those that said nothing."""

    found: list[tuple[Agent, agent_pb2.GetObservabilityResponse]] = field(default_factory=list)
    away: list[Away] = field(default_factory=list)


def show(backend: Backend, workflow: str | None, *, as_json: bool) -> int:
    """The mode of every agent, until when, why, and how its export is doing."""
    modes = _ask(backend, workflow, lambda agent: agent.get_observability())
    if as_json:
        _write_json(modes)
        return 0
    tell_away(modes.away, "modes")
    if modes.found:
        from milepost_cli.pages import modes_table, page  # noqa: PLC0415 - rich is only paid for where it shows

        with page() as out:
            out.print(modes_table([(agent.name, answer) for agent, answer in modes.found]))
    return 0


def switch(backend: Backend, workflow: str | None, mode: str, seconds: int | None, *, as_json: bool) -> int:
    """Sets the mode of every agent; 1 when one of them could not be asked."""

    def ask(agent: Agent) -> agent_pb2.GetObservabilityResponse:
        agent.set_observability(MODES[mode], seconds)
        return agent.get_observability()

    modes = _ask(backend, workflow, ask)
    if as_json:
        _write_json(modes)
    else:
        tell_away(modes.away, "modes")
        for agent, answer in modes.found:
            until = f" until {local_time(answer.until):%H:%M:%S}" if answer.HasField("until") else ""
            write_line(f"{agent.name}: {enum_field(answer, 'mode')}{until}")
    return 1 if modes.away else 0


def checked_time(mode: str | None, text: str | None) -> int | None:
    """Seconds of `--for`; None when it is not given. Raises UsageError."""
    if text is None:
        return None
    if mode != "debug":
        raise UsageError("--for: is for `milepost obs debug` alone")
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(f"--for: {text!r} is no time; allowed: for example 90s, 10m or 1h30m") from None


def _ask(
    backend: Backend, workflow: str | None, question: Callable[[Agent], agent_pb2.GetObservabilityResponse]
) -> Modes:
    names = [workflow] if workflow is not None else [row.workflow.workflow for row in backend.workflows()]
    modes = Modes()
    for agent in [agent for name in names for agent in backend.serving(name)]:
        try:
            modes.found.append((agent, question(agent.within(PATIENCE))))
        except AwayError as error:
            modes.away.append(Away(agent.name, str(error)))
    return modes


def _write_json(modes: Modes) -> None:
    found = [{"agent": agent.name, "workflow": agent.workflow, **to_json(answer)} for agent, answer in modes.found]
    write_json({"agents": found, **({"away": away_forms(modes.away)} if modes.away else {})})
