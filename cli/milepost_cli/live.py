"""The live view of a run on a terminal: what has happened scrolls by, what is happening stays in the last lines."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from milepost.agent.v1 import agent_pb2
from milepost_cli.decisions import REASON_LIMIT, decision_style, decision_text, path_text
from milepost_cli.narration import Line, narrate
from milepost_cli.progress import Event, Progress
from milepost_cli.text import milliseconds, one_line, printable

OUTCOME_STYLE = {"Completed": "green"}


class LiveView:
    """Recommendation and decision stand side by side; the footer tells step, hops, cycle and time."""

    def __init__(self, run: agent_pb2.Run, option: str, console: Console) -> None:
        self._console = console
        self._progress = Progress.of(run, option)
        self._began = time.monotonic()
        self._away = False
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self._footer, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        title = f"{self._progress.workflow}  {self._progress.run_id}"
        self._console.print(Rule(Text(title, style="bold"), align="left"))
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def event(self, message: agent_pb2.RunEvent) -> None:
        event = Event.of(message)
        self._progress.update(event)
        if event.type == "Recommended":
            return
        if event.type == "Decided":
            self._console.print(side_by_side(event, self._progress.recommendation))
            return
        self._print(*narrate(event, self._progress))

    def lost(self) -> None:
        self._away = True
        self._print(Line("connection to the agent lost, waiting for it to come back", "yellow"))

    def waiting(self, status: str) -> None:
        self._print(Line(f"waiting for the agent: {status}", "yellow"))

    def reconnected(self, away: float) -> None:
        self._away = False
        self._print(Line(f"agent answers again after {away:.1f} s", "yellow"))

    def end(self, run: agent_pb2.Run) -> None:
        self._live.stop()
        if run.result:
            style = OUTCOME_STYLE.get(self._progress.outcome, "yellow")
            title = Text(f"{self._progress.outcome or 'result'}", style=f"bold {style}")
            self._console.print(Panel(Text(printable(run.result).strip()), title=title, border_style=style))

    def _print(self, *lines: Line) -> None:
        if lines:
            texts = (Text(printable(line.text), style=line.style) for line in lines)
            self._console.print(Text("\n").join(texts))

    def _footer(self) -> RenderableType:
        progress = self._progress
        doing = "waiting for the agent" if self._away else progress.doing
        facts = [doing, progress.hops_text, progress.cycle_text, f"{time.monotonic() - self._began:.1f} s"]
        self._spinner.update(text=Text("  ".join(one_line(fact) for fact in facts if fact), style="bold"))
        return Group(self._spinner)


def side_by_side(decided: Event, recommended: Event | None) -> Table:
    """Two columns: what the router recommends with its confidence, and what the arbitrator decides and why."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    hop = f"hop {decided.hop_index} " if decided.hop_index else ""
    action, agreed = decided.text("action"), bool(decided.data.get("agreed"))
    choice = decision_text(action, decided.text("service"), agreed, decided.entries("choices"))
    right = Text.assemble(
        ("arbitrator decides ", "bold"),
        (f"{one_line(choice)} ", decision_style(action, agreed)),
        (f"[{milliseconds(decided.number('duration_ms'))}]\n", "dim"),
        (one_line(decided.text("reason"), REASON_LIMIT), "dim"),
    )
    table.add_row(_recommendation(recommended, hop), right)
    return table


def _recommendation(event: Event | None, hop: str) -> Text:
    if event is None:
        return Text(f"{hop}no recommendation", style="dim")
    text = Text.assemble((f"{hop}router recommends ", "bold"))
    for service in event.entries("services"):
        text.append(f"{one_line(str(service.get('service', '')))} ", "cyan")
        text.append(f"{float(service.get('confidence', 0)):.2f}  ")
    text.append(f"none {event.number('none_probability'):.2f} ", "dim")
    text.append(f"{path_text(event.text('path'), event.number('duration_ms'))}\n", "dim")
    text.append(one_line(event.text("reasoning"), REASON_LIMIT), "dim")
    if fallback := one_line(event.text("fallback_reason"), REASON_LIMIT):
        text.append(f"\nfallback: {fallback}", "yellow")
    return text
