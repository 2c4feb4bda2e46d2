"""Which kills there are: each failpoint at each of its passages, in each scenario."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from matrix_scenarios import POWER
from matrix_service_kills import service_kills
from milepost_agent.failpoints import (
    AGENT_FAILPOINTS,
    BACKUP_FAILPOINTS,
    LIFE_FAILPOINTS,
    OPENING_FAILPOINTS,
    RESTORE_FAILPOINTS,
    STORE_FAILPOINTS,
)

STOPPED: Final = "effect.before_call=term@2"
"""Ends the agent in order in the middle of a run, so that its next start has something to recover."""
DRAIN_FAILPOINTS: Final = frozenset(name for name in LIFE_FAILPOINTS if name.startswith("drain."))
RECOVERY_FAILPOINTS: Final = LIFE_FAILPOINTS - DRAIN_FAILPOINTS
BUSY: Final = frozenset(name for name in STORE_FAILPOINTS if name.startswith("store."))
"""Passed at every write, several times a hop."""


FORGETFUL: Final = "SIGKILL, services without a memory"
ELSEWHERE: Final = RESTORE_FAILPOINTS | {"backup.rotating"}
"""Enumerated by test_store_restore.py and test_store_backup.py, on the store alone."""
OUT_OF_MEMORY: Final = "killed by the kernel for its memory"
COMMAND: Final = "SIGKILL of `python -m milepost_agent`"
Kind = Literal["agent", "command", "memory", "service", "power"]
"""Who dies: the agent, forked or executed as a command; the agent in a memory cgroup; a service; the machine."""
LONG: Final = frozenset({"power", "command", "service"})


@dataclass(frozen=True)
class KillPoint:
    """`plan`: MILEPOST_FAILPOINTS of the first, second, ... start of the agent."""

    scenario: str
    failpoint: str
    how: str
    passage: int
    plan: tuple[str, ...]
    memory: bool = True
    kind: Kind = "agent"

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.how} {self.failpoint}@{self.passage}"


@dataclass(frozen=True)
class Series:
    """Kills at one failpoint, passage after passage until it is not passed any more.

    `before` are the plans of earlier starts; `prefix` is armed together with the failpoint; `times` is how many
    starts in a row are killed there; `once`: at no further passage.
    """

    scenario: str
    failpoint: str
    how: str = "SIGKILL"
    action: str = "kill"
    before: tuple[str, ...] = ()
    prefix: str = ""
    times: int = 1
    first: int = 1
    stride: int = 1
    memory: bool = True
    kind: Kind = "agent"
    once: bool = False

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.how} {self.failpoint}"

    def points(self) -> Iterator[KillPoint]:
        """Without end: whoever runs them stops at the first that is not reached."""
        passage = self.first
        while True:
            plan = (
                ()
                if self.kind == "service"
                else (*self.before, *[f"{self.prefix}{self.failpoint}={self.action}@{passage}"] * self.times)
            )
            yield KillPoint(self.scenario, self.failpoint, self.how, passage, plan, self.memory, self.kind)
            passage += self.stride


def all_series() -> list[Series]:
    """Every series of the matrix, the long ones first."""
    series = [
        *_everywhere("linear"),
        *_everywhere("cyclic"),
        *_everywhere("waits"),
        *_everywhere("message", busy=5),
        *_everywhere("paused", busy=5),
        *_everywhere("paused-step", busy=5),
        *_everywhere("cancel", busy=5),
        *_everywhere("parallel", busy=9, other=3),
        *_everywhere("linear", how="SIGTERM", action="term", busy=2),
        *_everywhere("cyclic", how="SIGTERM", action="term", busy=7),
        *_everywhere("linear", how=FORGETFUL, busy=3, memory=False),
        *_recoveries(),
        *_trials(),
        *(Series("backup", failpoint) for failpoint in sorted(BACKUP_FAILPOINTS - ELSEWHERE)),
        *_drains(),
        *_out_of_memory(),
        *_commands(),
        *(Series(story.name, at, how, kind="service", once=True) for story, how, at in service_kills()),
        Series(POWER.name, "sync", "power cut", kind="power"),
    ]
    return sorted(series, key=lambda each: (each.kind not in LONG, each.failpoint not in BUSY))


def _everywhere(
    scenario: str, *, how: str = "SIGKILL", action: str = "kill", busy: int = 1, other: int = 1, memory: bool = True
) -> Iterator[Series]:
    """All failpoints. `busy` and `other`: every how many passages, for the store's own and for the rest."""
    for failpoint in sorted(AGENT_FAILPOINTS - DRAIN_FAILPOINTS):
        if failpoint in BUSY:
            # Two halves, so that the longest series do not keep everybody waiting at the end.
            for half in (1, 1 + busy):
                yield Series(scenario, failpoint, how, action, first=half, stride=2 * busy, memory=memory)
        else:
            yield Series(scenario, failpoint, how, action, stride=other, memory=memory)


def _recoveries() -> Iterator[Series]:
    """Two starts in a row are killed while they recover three runs."""
    for failpoint in sorted(RECOVERY_FAILPOINTS | OPENING_FAILPOINTS | BUSY):
        stride = 6 if failpoint in BUSY else 1
        how = "SIGKILL, twice in recovery"
        yield Series("parallel", failpoint, how, before=(STOPPED,), times=2, stride=stride)


def _trials() -> Iterator[Series]:
    """A run with which the process has died twice in one step goes on alone; killed again, it is left alone."""
    twice = ("effect.before_call=kill@2", "effect.before_call=kill")
    yield Series("convicted", "trial.begun", before=twice, once=True)
    yield Series("linear", "trial.begun", "SIGTERM after two crashes in a step", "term", before=twice)


def _drains() -> Iterator[Series]:
    """Told to stop in the middle of a run, and killed while it does."""
    for failpoint in sorted(DRAIN_FAILPOINTS):
        yield Series("cyclic", failpoint, "SIGKILL while it drains", prefix=f"{STOPPED};")


def _out_of_memory() -> Iterator[Series]:
    """Every failpoint; the store's own at every eighth passage."""
    for failpoint in sorted(AGENT_FAILPOINTS - DRAIN_FAILPOINTS):
        stride = 8 if failpoint in BUSY else 1
        yield Series("linear", failpoint, OUT_OF_MEMORY, "exhaust", stride=stride, kind="memory")


def _commands() -> Iterator[Series]:
    """A few of the kills with an agent that is executed and not forked."""
    for failpoint, passage in (
        ("run.accepted", 1),
        ("effect.after_call", 2),
        ("ledger.recorded", 3),
        ("store.before_commit", 12),
        ("checkpoint.stored", 6),
        ("recovery.marked", 1),
    ):
        before = (STOPPED,) if failpoint.startswith("recovery.") else ()
        yield Series("cyclic", failpoint, COMMAND, before=before, first=passage, kind="command", once=True)
