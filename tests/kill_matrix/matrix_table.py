"""The table of `docs/durability.md`: made from what a whole run of the matrix found, and held against it."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix_points import KillPoint
from matrix_scenarios import SCENARIOS
from matrix_service_kills import ROLES, at, service_kills
from matrix_verify import Verdict

BEGIN: Final = "<!-- kill-matrix:begin -->"
END: Final = "<!-- kill-matrix:end -->"
HEADING: Final = "# Durability"
TOLERANCE: Final = 0.3
"""Share by which the number of passages may differ: how many writes share a commit depends on the disk."""
DURABLE: Final = {
    "store.locked": "what was there before the start",
    "store.migrated": "what was there before the start",
    "store.epoch_begun": "the new epoch",
    "store.queued": "everything before this write",
    "store.item_applied": "everything before this write",
    "store.before_commit": "everything before this write",
    "store.after_commit": "this write, nobody was told",
    "store.run_accepted": "the run, its caller was not answered",
    "run.accepted": "the run, its caller was not answered",
    "effect.before_call": "the decision for the call",
    "call.streaming": "the decision for the call",
    "effect.after_call": "the decision for the call; the answer is lost with the process",
    "ledger.recorded": "the answer of the call",
    "step.completed": "the answer of the call, not yet the step",
    "checkpoint.writes_stored": "the step with its events and messages",
    "checkpoint.stored": "the step and the state after it",
    "wait.stored": "what the run waits for",
    "input.answered": "the answer or approval, its sender was not told",
    "message.stored": "the message, its sender was not told",
    "run.driven": "that the run is driven",
    "run.paused": "the pause, its caller was not told",
    "run.continued": "the end of the pause, its caller was not told",
    "run.cancelled": "the end of the run, its caller was not told",
    "trial.begun": "which run is under suspicion",
    "recovery.begun": "the new epoch",
    "recovery.marked": "that the run goes on",
    "recovery.done": "that every run goes on",
    "drain.requested": "the state that each run had reached",
    "drain.done": "every run at its last step",
    "drain.noted": "every run at its last step, and that the process ended in order",
    "backup.begun": "nothing of the backup",
    "backup.step_copied": "a part of the copy, which does not count",
    "backup.copied": "the copy, which does not count",
    "backup.synced": "the copy, which does not count",
    "backup.manifest_written": "the copy and its manifest, under a name that does not count",
    "backup.kept": "the backup, its caller was not told",
    **{at(hop): "the decision for the call" for hop in range(1, len(ROLES) + 1)},
    "sync": "what was synced before; in every second cut sectors of what was not",
}
STORIES: Final = {story.name: story for story, _, _ in service_kills()}
_COLUMNS: Final = "| what was killed | at | times | resumed | lost | completed calls repeated | asked again | on disk |"


@dataclass(frozen=True)
class Row:
    """Kill points of one scenario and failpoint, added up."""

    what: str
    failpoint: str
    killed: int
    resumed: int
    lost: int
    repeated: int
    asked_again: int

    @property
    def key(self) -> tuple[str, str]:
        return self.what, self.failpoint

    def line(self) -> str:
        numbers = (self.killed, self.resumed, self.lost, self.repeated, self.asked_again)
        cells = (self.what, f"`{self.failpoint}`", *map(str, numbers), DURABLE.get(self.failpoint, ""))
        return f"| {' | '.join(cells)} |"

    @classmethod
    def parse(cls, line: str) -> "Row":
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        killed, resumed, lost, repeated, asked_again = map(int, cells[2:7])
        return cls(cells[0], cells[1].strip("`"), killed, resumed, lost, repeated, asked_again)


def rows(results: Sequence[tuple[KillPoint, Verdict]]) -> list[Row]:
    """The rows in the order of scenarios, ways of killing and failpoints."""
    grouped: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for point, verdict in results:
        grouped[what(point), point.failpoint].append(verdict)
    order = {failpoint: place for place, failpoint in enumerate(DURABLE)}
    words = {scenario.words: place for place, scenario in enumerate(SCENARIOS.values())}
    keys = sorted(grouped, key=lambda key: (*_place(key[0], words), order.get(key[1], len(order)), key[1]))
    return [
        Row(
            *key,
            killed=len(grouped[key]),
            resumed=sum(verdict.resumed for verdict in grouped[key]),
            lost=sum(verdict.lost for verdict in grouped[key]),
            repeated=sum(verdict.repeated for verdict in grouped[key]),
            asked_again=sum(verdict.asked_again for verdict in grouped[key]),
        )
        for key in keys
    ]


def what(point: KillPoint) -> str:
    """How a row names what was killed, and how."""
    return f"{(STORIES.get(point.scenario) or SCENARIOS[point.scenario]).words}: {point.how}"


def _place(described: str, words: Mapping[str, int]) -> tuple[int, str]:
    scenario, _, how = described.partition(": ")
    return words[scenario], how


def table(found: Sequence[Row], last_line: str) -> str:
    """The section between the markers."""
    lines = [_COLUMNS, "|" + " --- |" * (_COLUMNS.count("|") - 1), *(row.line() for row in found)]
    return "\n".join([BEGIN, "", f"`{last_line}`", "", *lines, "", END])


def committed(document: Path) -> list[Row]:
    """The rows that the document holds now; none when it has no table."""
    text = document.read_text() if document.exists() else ""
    section = text.partition(BEGIN)[2].partition(END)[0]
    return [Row.parse(line) for line in section.splitlines() if line.startswith("| ") and "`" in line]


def differences(found: Sequence[Row], old: Sequence[Row], left_out: Sequence[str] = ()) -> list[str]:
    """What matters in which the document differs from what was found; rows of what could not be done here are left.

    Args:
        left_out: Beginnings of rows' names.
    """
    now, then = {row.key: row for row in found}, {row.key: row for row in old}
    lines = [f"{' at '.join(key)}: is new" for key in now if key not in then]
    lines += [
        f"{' at '.join(key)}: was not found any more"
        for key in then
        if key not in now and not any(words in key[0] for words in left_out)
    ]
    for key in now.keys() & then.keys():
        mine, theirs = now[key], then[key]
        if (mine.lost, mine.repeated, mine.killed - mine.resumed) != (
            theirs.lost,
            theirs.repeated,
            theirs.killed - theirs.resumed,
        ):
            lines.append(f"{' at '.join(key)}: was {theirs.line()}, is {mine.line()}")
        elif abs(mine.killed - theirs.killed) > max(3, math.ceil(theirs.killed * TOLERANCE)):
            lines.append(f"{' at '.join(key)}: {mine.killed} passages, the document says {theirs.killed}")
    return sorted(lines)


def write(document: Path, section: str) -> None:
    """Puts the section between the markers; makes the document when it is not there."""
    text = document.read_text() if document.exists() else f"{HEADING}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    document.write_text(before + section + after)
