"""Named places where a kill matters, so that tests can kill the process exactly there."""

import os
import re
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from milepost_agent.errors import FailpointReached, FailpointsInvalid

VARIABLE: Final = "MILEPOST_FAILPOINTS"

OPENING_FAILPOINTS: Final = frozenset(
    {
        "store.locked",  # the lock is taken, the file was not touched
        "store.migrated",  # the schema and the new epoch are written, not committed
        "store.epoch_begun",  # the new epoch is on disk, nothing was done in it
    }
)
STORE_FAILPOINTS: Final = frozenset(
    {
        "store.queued",  # a write was queued, nothing of it is on disk
        "store.item_applied",  # one write of an open transaction was applied
        "store.before_commit",  # all writes of the transaction were applied
        "store.after_commit",  # the transaction is on disk, nobody was told
        "store.run_accepted",  # a run is on disk, its caller was not answered
        "ledger.recorded",  # an answer is on disk, its caller was not told
        "checkpoint.writes_stored",  # a task's writes and its step are on disk, LangGraph was not told
        "checkpoint.stored",  # a checkpoint is on disk, LangGraph was not told
    }
)
RUN_FAILPOINTS: Final = frozenset(
    {
        "run.accepted",  # a run is accepted, its caller was not answered
        "effect.before_call",  # a service is about to be called
        "call.streaming",  # a service has sent the first part of its answer
        "effect.after_call",  # a service has answered, nothing of it is on disk
        "step.completed",  # a step is done, its transaction is not committed
        "wait.stored",  # what a run waits for is on disk, nobody can have answered
        "input.answered",  # an answer or approval is on disk, the run has not gone on
        "run.driven",  # a run is called running, nothing of its graph is on disk
        "run.paused",  # a pause is on disk, the run has not heard of it
        "run.continued",  # the end of a pause is on disk, the run has not gone on
        "run.cancelled",  # a run is ended as Cancelled, the call that it is in goes on
        "trial.begun",  # a suspect is noted, it has not gone on
        "message.stored",  # a message from outside is on disk, its sender was not answered
    }
)
LIFE_FAILPOINTS: Final = frozenset(
    {
        "recovery.begun",  # the process has an epoch, no run was looked at
        "recovery.marked",  # a resumed run is marked, it has not gone on
        "recovery.done",  # every unfinished run goes on, the process does not serve yet
        "drain.requested",  # the process is told to end, and its runs to stop at the next step boundary
        "drain.done",  # every run was handed over, that the process ended in order was not noted
        "drain.noted",  # that the process ended in order is on disk, the file is not closed
    }
)
BACKUP_FAILPOINTS: Final = frozenset(
    {
        "backup.begun",  # the snapshot is held, nothing of it is copied
        "backup.step_copied",  # some pages were copied
        "backup.copied",  # all pages were copied, none was checked
        "backup.synced",  # the copy is sound and on disk, under a name that does not count
        "backup.manifest_written",  # its manifest is on disk, the copy has not its name
        "backup.kept",  # the backup counts, nobody was told
        "backup.rotating",  # a backup is about to be removed
    }
)
RESTORE_FAILPOINTS: Final = frozenset(
    {
        "restore.planned",  # what will be done is on disk, nothing was done
        "restore.part_moved",  # the database or what lies beside it was set aside
        "restore.set_aside",  # all of it was set aside, nothing is in its place
        "restore.prepared",  # the copy of the backup is ready, not in its place
        "restore.replaced",  # the copy is in its place, the restore still counts as begun
    }
)
AGENT_FAILPOINTS: Final = OPENING_FAILPOINTS | STORE_FAILPOINTS | RUN_FAILPOINTS | LIFE_FAILPOINTS
FAILPOINTS: Final = AGENT_FAILPOINTS | BACKUP_FAILPOINTS | RESTORE_FAILPOINTS

Kind = Literal["kill", "term", "exhaust", "raise", "delay"]
PIECE_BYTES: Final = 16 * 2**20

_ACTION = r"kill|term|exhaust|raise|delay\((?P<seconds>\d+(\.\d+)?)\)"
_ITEM = re.compile(rf"(?P<name>[^=]+)=(?P<action>{_ACTION})(@(?P<passage>[1-9]\d*))?")


@dataclass
class _Action:
    kind: Kind
    passage: int
    seconds: float = 0.0
    passed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self) -> bool:
        with self.lock:
            self.passed += 1
            return self.passed == self.passage


_armed: dict[str, _Action] | None = None


def failpoint(name: str) -> None:
    """Does what MILEPOST_FAILPOINTS says for this place; nothing when it says nothing.

    Raises:
        FailpointReached: the action is `raise`.
        FailpointsInvalid: first call, and the variable is not understood.
    """
    armed = _armed if _armed is not None else arm_failpoints(os.environ.get(VARIABLE, ""))
    if armed and (action := armed.get(name)) and action.due():
        _act(name, action)


def arm_failpoints(text: str) -> dict[str, _Action]:
    """Replaces what is armed, counting passages from zero.

    Args:
        text: `NAME=ACTION[@N]` joined by `;`. ACTION is `kill` (SIGKILL to this process), `term` (SIGTERM to it),
            `exhaust` (takes memory until the kernel kills it), `raise` or `delay(SECONDS)`, and is done at the n-th
            passage, the first unless N is given. Empty: nothing is armed.

    Raises:
        FailpointsInvalid: an unknown name, an unknown action or a broken item.
    """
    global _armed
    _armed = dict(_parse(item.strip()) for item in text.split(";") if item.strip())
    return _armed


def _parse(item: str) -> tuple[str, _Action]:
    match = _ITEM.fullmatch(item)
    if not match:
        raise FailpointsInvalid(f"{VARIABLE}: {item!r} is not NAME=kill|term|exhaust|raise|delay(SECONDS)[@N]")
    name = match["name"]
    if name not in FAILPOINTS:
        raise FailpointsInvalid(f"{VARIABLE}: unknown failpoint {name!r}; allowed: {', '.join(sorted(FAILPOINTS))}")
    passage = int(match["passage"] or 1)
    if match["seconds"]:
        return name, _Action("delay", passage, float(match["seconds"]))
    return name, _Action(cast(Kind, match["action"]), passage)


def _act(name: str, action: _Action) -> None:
    if action.kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.kind == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    elif action.kind == "exhaust":
        _exhaust()
    elif action.kind == "delay":
        time.sleep(action.seconds)
    else:
        raise FailpointReached(f"failpoint {name} was reached")


def _exhaust() -> None:
    """Takes memory, and writes to it, until the kernel ends this process; for a process whose memory is limited."""
    taken = []
    while True:
        taken.append(b"x" * PIECE_BYTES)
