"""A power cut: the files as they were at the last sync, with nothing or some of what was written after it."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from matrix_agent import DATABASE, Death, PointFailed
from matrix_client import Client
from matrix_recorder import RECORD, Entry, read_record
from matrix_scenarios import Scenario
from matrix_verify import INVOKE, Verdict, count_repeated, verify
from milepost.agent.v1 import agent_pb2
from milepost_agent.store.evidence import boot_id

NOTHING: Final = "power cut, nothing unsynced on disk"
SOME: Final = "power cut, some unsynced sectors on disk"
OTHER_BOOT: Final = "00000000-0000-4000-8000-000000000000"
SECTORS: Final = (512, 4096)
"""Bytes that a disk writes whole or not at all."""
SEED: Final = 20_251


@dataclass
class Marks(Client):
    """A client that notes how much was recorded when it was told something; what it knows must survive a later cut."""

    marks: list[tuple[int, int, int]] = field(default_factory=list)
    evidence: bytes = b""
    """What lies beside the file from the first mark on, as another start of the machine finds it."""

    def mark(self) -> None:
        """Notes (bytes of record, runs answered, events seen)."""
        size = (self.agent.folder / RECORD).stat().st_size
        if not self.marks:
            found = (self.agent.folder / f"{DATABASE}.lock").read_bytes()
            self.evidence = found.replace(boot_id().encode(), OTHER_BOOT[: len(boot_id())].encode())
        self.marks.append((size, len(self.run_ids), len(self.seen)))

    def left(self, end: int) -> bytes:
        """The evidence that lies beside the file when the record has this size."""
        return self.evidence if self.marks and end >= self.marks[0][0] else b""

    def known(self, end: int) -> tuple[dict[str, str], list[agent_pb2.RunEvent]]:
        """Runs and events that it had been told of when the record had this size."""
        _, runs, events = max((mark for mark in self.marks if mark[0] <= end), default=(0, 0, 0))
        return dict(itertools.islice(self.run_ids.items(), runs)), self.seen[:events]


@dataclass
class _File:
    """One file: what is surely on disk, and what was written since the last sync."""

    durable: bytearray | None = None
    pending: list[Entry] = field(default_factory=list)

    def sync(self) -> None:
        for entry in self.pending:
            self.durable = _apply(self.durable, entry)
        self.pending.clear()

    def after_cut(self, choice: random.Random | None) -> bytearray | None:
        """The content that is found later; with `choice`, sectors of what was not synced are there in any order."""
        content = None if self.durable is None else bytearray(self.durable)
        if choice is None:
            return content
        pieces = [piece for entry in self.pending for piece in _pieces(entry, choice.choice(SECTORS))]
        choice.shuffle(pieces)
        for piece in pieces:
            if choice.random() < 0.5:
                content = _apply(content, piece)
        return content


@dataclass(frozen=True)
class Cut:
    """A moment just before a sync has ended: the files that are found after it. None: the file is not there."""

    end: int
    how: str
    files: dict[str, bytearray | None]


def cuts(entries: Sequence[Entry]) -> Iterator[Cut]:
    """Before each sync that had something to do: once with nothing of it on disk, once with some of it."""
    choice = random.Random(SEED)
    files = {"": _File(), "-wal": _File()}
    for entry in entries:
        file = files[entry.suffix]
        if entry.operation != "sync":
            file.pending.append(entry)
            continue
        if file.pending:
            before = entry.end - 1
            yield Cut(before, NOTHING, {suffix: each.after_cut(None) for suffix, each in files.items()})
            yield Cut(before, SOME, {suffix: each.after_cut(choice) for suffix, each in files.items()})
        file.sync()


def record(client: Marks, scenario: Scenario) -> list[Entry]:
    """Plays the scenario once, without a cut, and returns what SQLite did meanwhile.

    Raises:
        PointFailed: it did not end as it should, or never moved its log into the database.
    """
    client.prompt = scenario.prompt
    for _ in range(scenario.runs):
        client.start_runs(1)
        client.mark()
    client.on_seen = lambda _: client.mark()
    client.watch_to_the_end(scenario.reactions)
    verify(scenario, client, memory=True)
    entries = list(read_record(client.agent.folder))
    begin, end = client.marks[0][0], client.marks[-1][0]
    if not any(entry.operation == "write" and not entry.suffix and begin < entry.end < end for entry in entries):
        raise PointFailed("the log was not moved into the database while the runs went on")
    return entries


def play_cut(client: Client, cut: Cut, before: Marks, scenario: Scenario) -> Verdict:
    """Starts the agent of a client on the files of a cut and holds it against what had been acknowledged before.

    Raises:
        PointFailed: something that was acknowledged is not there, or the runs do not end as they should.
    """
    agent = client.agent
    for suffix, content in cut.files.items():
        if content is not None:
            (agent.folder / (DATABASE + suffix)).write_bytes(content)
    if evidence := before.left(cut.end):
        (agent.folder / f"{DATABASE}.lock").write_bytes(evidence)
    runs, events = before.known(cut.end)
    client.prompt, client.run_ids = scenario.prompt, dict(runs)
    agent.correlation_ids = list(before.run_ids)
    agent.deaths.append(Death(0, agent.recorded(), agent.services.counts(agent.correlation_ids)))
    steps = [event for event in events if event.type == "StepCompleted"]
    kept = agent.read(f"SELECT count(*) FROM ledger WHERE method = '{INVOKE}'") if events else [(0,)]
    in_ledger = int(kept[0][0]) if kept else 0
    if in_ledger < len(steps):
        raise PointFailed(f"{len(steps)} steps were seen to be completed, {in_ledger} are in the ledger")
    lost = sum(client.get(run_id).correlation_id != key for key, run_id in runs.items())
    for key in before.run_ids:
        client.start(key)
    if {key: client.run_ids[key] for key in runs} != runs:
        raise PointFailed("an accepted run was accepted once more")
    client.watch_to_the_end(scenario.reactions)
    _check_known(events, client.seen)
    _check_ends(client, scenario)
    repeated, asked_again = count_repeated(agent, memory=True)
    return Verdict(lost, repeated, asked_again)


def _check_ends(client: Client, scenario: Scenario) -> None:
    for run in client.runs():
        if run.outcome != scenario.outcome_value() or tuple(hop.step for hop in run.hops) != scenario.hops:
            raise PointFailed(f"the run ended as {agent_pb2.RunOutcome.Name(run.outcome)}: {run.reason}")
    if status := client.agent.end():
        raise PointFailed(f"after SIGTERM at the end the agent exited with {status}")
    if (sound := client.agent.read("PRAGMA integrity_check")) != [("ok",)]:
        raise PointFailed(f"the file is not sound: {sound[0][0]}")


def _check_known(known: Sequence[agent_pb2.RunEvent], journal: Sequence[agent_pb2.RunEvent]) -> None:
    kept = {event.sequence: event for event in journal}
    for event in known:
        if kept.get(event.sequence) != event:
            raise PointFailed(f"event {event.sequence} ({event.type}) was seen by a watcher and is not there any more")


def _apply(content: bytearray | None, entry: Entry) -> bytearray | None:
    if entry.operation == "delete":
        return None
    content = bytearray() if content is None else content
    if entry.operation == "truncate":
        del content[entry.offset :]
        return content
    end = entry.offset + len(entry.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[entry.offset : end] = entry.data
    return content


def _pieces(entry: Entry, sector: int) -> Iterator[Entry]:
    """A write as the sectors that it touches."""
    if entry.operation != "write":
        yield entry
        return
    position = entry.offset
    while position < entry.offset + len(entry.data):
        end = min((position // sector + 1) * sector, entry.offset + len(entry.data))
        data = entry.data[position - entry.offset : end - entry.offset]
        yield Entry("write", entry.suffix, position, data, entry.end)
        position = end
