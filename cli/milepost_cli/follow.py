"""Follow a run to its end through one view; the exit code says how it ended."""

from __future__ import annotations

import sys

from milepost.agent.v1 import agent_pb2
from milepost_cli.client import Agent
from milepost_cli.views import JsonView, PlainView, View
from milepost_cli.watching import ConnectionLost, Reconnected, StillAway, Watch

COMPLETED, ENDED_OTHERWISE, INTERRUPTED = 0, 1, 130


def choose_view(run: agent_pb2.Run, option: str, *, as_json: bool) -> View:
    """Live on a terminal, plain lines elsewhere, JSON lines when asked for; `option` ends the commands it shows."""
    if as_json:
        return JsonView()
    if not sys.stdout.isatty():
        return PlainView(run, option)
    from rich.console import Console  # noqa: PLC0415 - rich is only paid for where it shows

    from milepost_cli.live import LiveView  # noqa: PLC0415

    return LiveView(run, option, Console(highlight=False))


def follow(agent: Agent, run: agent_pb2.Run, option: str, view: View) -> int:
    """0 when the run ended as Completed, 1 when it ended otherwise, 130 on Ctrl-C, which leaves the run going."""
    try:
        with view:
            for item in Watch(agent, run.run_id):
                if isinstance(item, ConnectionLost):
                    view.lost()
                elif isinstance(item, Reconnected):
                    view.reconnected(item.away)
                elif isinstance(item, StillAway):
                    view.waiting(item.status)
                else:
                    view.event(item)
            ended = agent.get_run(run.run_id)
            view.end(ended)
    except KeyboardInterrupt:
        again = f"milepost watch {run.run_id}{option}"
        sys.stderr.write(f"stopped watching; run {run.run_id} goes on. Watch it again: {again}\n")
        return INTERRUPTED
    return COMPLETED if ended.outcome == agent_pb2.RUN_OUTCOME_COMPLETED else ENDED_OTHERWISE
