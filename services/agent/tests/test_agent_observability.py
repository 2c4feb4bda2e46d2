"""Which observability mode is in force, over restarts and crashes, with a clock of the test's own and a real store."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from milepost_agent.errors import StoreWriteError
from milepost_agent.observability import Clock, Configured, Observability
from milepost_agent.observability_rules import ModeRecord
from milepost_agent.store import NewEvent, NewRequest, Store
from milepost_service.telemetry.mode import ProcessMode

CRASH = 300.0
BEGIN = 1000.0
SPEC = ModeRecord("shipping", None, "spec.observability.mode")


@dataclass
class Scene:
    """An agent's observability over a real store; `restart` is another process, as far as the mode is concerned."""

    store: Store
    folder: Path
    spec: ModeRecord = SPEC
    environment: ModeRecord | None = None
    now: float = BEGIN
    process: ProcessMode = field(default_factory=ProcessMode)
    agent: Observability = field(init=False)

    def __post_init__(self) -> None:
        self.file = self.folder / "observability"
        self.prepare()

    def prepare(self) -> None:
        configured = Configured(self.spec, self.file, self.environment)
        clock = Clock(lambda: self.now, CRASH)
        self.process = ProcessMode(lambda: self.now)
        self.agent = Observability(self.store, configured, clock, self.process)

    async def restart(self, *, crashed: bool = False, after: float = 0.0) -> None:
        await self.agent.stop()
        self.process.close()
        self.now += after
        self.prepare()
        await self.agent.start(crashed=crashed, events=[NewEvent("AgentStarted")])

    async def passes(self, seconds: float) -> None:
        self.now += seconds
        await self.agent.look()

    async def says(self, text: str) -> None:
        self.file.write_text(text)
        await self.agent.look()

    def seen(self) -> tuple[str, float | None, str]:
        """Mode, seconds from the begin on until it ends, cause; what the process does is the same."""
        record = self.agent.record
        assert self.process.mode == record.mode
        return record.mode, None if record.until is None else record.until - BEGIN, record.cause

    async def changes(self) -> list[tuple[str, str, str]]:
        events = await self.store.events("")
        changed = [event.data for event in events if event.type == "ObservabilityChanged"]
        return [(data["previous"], data["mode"], data["cause"]) for data in changed]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    store = await Store.open(tmp_path / "milepost.db")
    scene = Scene(store, tmp_path)
    await scene.restart()
    yield scene
    await scene.agent.stop()
    scene.process.close()
    await store.close()


CONFIGURED: tuple[str, float | None, str] = ("shipping", None, "spec.observability.mode")
CRASHED: tuple[str, float | None, str] = ("debug", CRASH, "crash detected")
FILE = "observability file"


@pytest.mark.requirement("OBS-1")
async def test_debug_by_hand_ends_at_its_deadline_also_over_a_restart(scene: Scene) -> None:
    assert scene.seen() == CONFIGURED
    await scene.agent.switch("debug", 300, "cli")
    await scene.restart(after=200)
    assert scene.seen() == ("debug", 300, "cli")
    await scene.passes(99)
    assert scene.seen() == ("debug", 300, "cli")
    await scene.passes(1)
    assert scene.seen() == CONFIGURED
    assert await scene.changes() == [("shipping", "debug", "cli"), ("debug", "shipping", "deadline passed")]


@pytest.mark.requirement("OBS-1")
async def test_a_deadline_that_passes_while_no_agent_runs_is_journaled_at_the_next_start(scene: Scene) -> None:
    await scene.agent.switch("debug", 10, "cli")
    await scene.restart(after=20)
    assert scene.seen() == CONFIGURED
    assert (await scene.changes())[-1] == ("debug", "shipping", "deadline passed")


@pytest.mark.requirement("OBS-1")
async def test_what_is_set_without_a_deadline_holds_until_something_newer(scene: Scene) -> None:
    await scene.agent.switch("debug", None, "cli")
    await scene.restart(after=10**9)
    assert scene.seen() == ("debug", None, "cli")
    await scene.agent.switch("shipping", 60, "ui")
    assert scene.seen() == ("shipping", None, "ui")


@pytest.mark.requirement("OBS-1")
async def test_the_newer_of_file_and_hand_wins_and_the_same_words_again_change_nothing(scene: Scene) -> None:
    await scene.says("debug\n")
    assert scene.seen() == ("debug", None, FILE)
    await scene.agent.switch("shipping", None, "cli")
    await scene.says("debug")
    assert scene.seen() == ("shipping", None, "cli")
    await scene.says("shipping")
    await scene.says("debug")
    assert scene.seen() == ("debug", None, FILE)
    await scene.agent.switch("debug", 60, "cli")
    await scene.passes(61)
    assert scene.seen() == ("debug", None, FILE)
    scene.file.unlink()
    await scene.passes(0)
    assert scene.seen() == CONFIGURED


@pytest.mark.requirement("OBS-1")
async def test_a_workflow_that_changed_while_no_agent_ran_wins_over_what_was_set_before(scene: Scene) -> None:
    await scene.agent.switch("shipping", None, "cli")
    scene.spec = ModeRecord("debug", None, "spec.observability.mode")
    await scene.restart()
    assert scene.seen() == ("debug", None, "spec.observability.mode")
    await scene.restart()
    assert await scene.changes() == [("shipping", "debug", "spec.observability.mode")]


@pytest.mark.requirement("OBS-1")
async def test_the_environment_wins_over_the_file_as_it_was_found_and_loses_to_a_change_of_it(scene: Scene) -> None:
    scene.file.write_text("shipping")
    scene.environment = ModeRecord("debug", None, "OBS_MODE")
    await scene.restart()
    assert scene.seen() == ("debug", None, "OBS_MODE")
    await scene.says("shipping")
    assert scene.seen() == ("debug", None, "OBS_MODE")
    await scene.says("debug")
    await scene.says("shipping")
    assert scene.seen() == ("shipping", None, FILE)


@pytest.mark.requirement("OBS-1")
@pytest.mark.parametrize("text", ["", "loud", "DEBUG", "debug debug", "\x00\xff", "x" * 10_000])
async def test_a_file_that_means_nothing_changes_nothing_and_is_complained_of_once(
    scene: Scene, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.says("debug")
    await scene.says(text)
    await scene.passes(1)
    assert scene.seen() == ("debug", None, FILE)
    complaints = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(complaints) == 1 and complaints[0].endswith("allowed: shipping, debug; the mode stays debug")


@pytest.mark.requirement("OBS-1")
async def test_a_crash_turns_debug_on_and_further_crashes_keep_the_first_deadline(scene: Scene) -> None:
    await scene.restart(crashed=True)
    assert scene.seen() == CRASHED
    await scene.restart(crashed=True, after=200)
    assert scene.seen() == CRASHED
    await scene.restart(after=50)
    assert scene.seen() == CRASHED
    await scene.passes(50)
    assert scene.seen() == CONFIGURED
    assert await scene.changes() == [
        ("shipping", "debug", "crash detected"),
        ("debug", "shipping", "deadline passed"),
    ]


@pytest.mark.requirement("OBS-1")
async def test_a_process_that_keeps_crashing_does_not_keep_debug_on(scene: Scene) -> None:
    for _ in range(60):
        await scene.restart(crashed=True, after=30)
        await scene.passes(20)
    assert scene.seen() == CONFIGURED
    assert len(await scene.changes()) == 2


@pytest.mark.requirement("OBS-1")
async def test_a_crash_counts_again_once_a_process_has_lived_for_as_long(scene: Scene) -> None:
    await scene.restart(crashed=True)
    await scene.restart(crashed=True, after=290)
    await scene.passes(299)
    await scene.restart(crashed=True)
    assert scene.seen() == CONFIGURED
    await scene.passes(300)
    await scene.restart(crashed=True)
    assert scene.seen() == ("debug", 290 + 299 + 300 + CRASH, "crash detected")


@pytest.mark.requirement("OBS-1")
async def test_a_crash_does_not_cut_short_a_debug_that_lasts_longer_and_outlasts_a_shorter_one(scene: Scene) -> None:
    await scene.agent.switch("debug", 1000, "cli")
    await scene.restart(crashed=True)
    assert scene.seen() == ("debug", 1000, "cli")
    await scene.agent.switch("debug", None, "cli")
    await scene.restart(crashed=True)
    assert scene.seen() == ("debug", None, "cli")
    await scene.passes(300)
    await scene.agent.switch("debug", 10, "cli")
    await scene.restart(crashed=True)
    assert scene.seen() == ("debug", 600, "crash detected")


@pytest.mark.requirement("OBS-1")
async def test_a_crash_wins_over_an_older_shipping_for_its_time_and_loses_to_a_newer_one(scene: Scene) -> None:
    await scene.agent.switch("shipping", None, "cli")
    await scene.restart(crashed=True)
    assert scene.seen() == CRASHED
    await scene.agent.switch("shipping", None, "cli")
    assert scene.seen() == ("shipping", None, "cli")
    await scene.restart(crashed=True, after=10)
    assert scene.seen() == ("shipping", None, "cli")
    await scene.passes(300)
    await scene.restart(crashed=True)
    assert scene.seen()[2] == "crash detected"
    await scene.passes(300)
    assert scene.seen() == ("shipping", None, "cli")


@pytest.mark.requirement("OBS-1")
async def test_a_file_that_changes_to_shipping_ends_the_debug_of_a_crash(scene: Scene) -> None:
    await scene.says("debug")
    await scene.agent.switch("shipping", None, "cli")
    await scene.restart(crashed=True)
    assert scene.seen() == CRASHED
    await scene.says("shipping")
    assert scene.seen() == ("shipping", None, FILE)


@pytest.mark.requirement("OBS-1")
async def test_a_clock_that_was_set_back_does_not_keep_the_debug_of_a_crash_for_longer(scene: Scene) -> None:
    await scene.restart(crashed=True)
    scene.now -= 10**6
    await scene.restart()
    assert scene.agent.record.until == scene.now + CRASH


@pytest.mark.requirement("OBS-1", "OBS-4", "DUR-7")
async def test_a_change_is_journaled_once_with_its_cause_and_a_correlation_id(scene: Scene) -> None:
    request = NewRequest("1", "SetObservability", "hash")
    for _ in range(2):
        await scene.agent.switch("debug", 60, "a person", request)
        scene.now += 1
    assert scene.seen() == ("debug", 60, "a person")
    started, changed = await scene.store.events("")
    assert (started.type, changed.type) == ("AgentStarted", "ObservabilityChanged")
    assert started.correlation_id != changed.correlation_id and len(changed.correlation_id) == 36
    assert changed.data == {
        "mode": "debug",
        "previous": "shipping",
        "until": "1970-01-01T00:17:40.000Z",
        "cause": "a person",
    }


@pytest.mark.requirement("OBS-1")
async def test_the_mode_of_this_process_holds_when_the_file_of_the_runs_is_put_back_to_an_older_one(
    scene: Scene,
) -> None:
    await scene.agent.switch("debug", 1000, "cli")
    await scene.store.set_meta("observability", json.dumps({"mode": "shipping", "until": None, "cause": "old"}))
    await scene.agent.start()
    assert scene.seen() == ("debug", 1000, "cli")
    await scene.restart()
    assert scene.seen() == ("debug", 1000, "cli")


@pytest.mark.requirement("OBS-1")
async def test_what_an_earlier_release_stored_is_understood(scene: Scene) -> None:
    stored = {"mode": "debug", "until": BEGIN + 60, "cause": "SetObservability"}
    await scene.store.set_meta("observability", json.dumps(stored))
    await scene.restart()
    assert scene.seen() == ("debug", 60, "SetObservability")
    await scene.passes(60)
    assert scene.seen() == CONFIGURED


@pytest.mark.requirement("OBS-1")
async def test_debug_ends_while_the_disk_takes_nothing_and_is_journaled_afterwards(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.agent.switch("debug", 10, "cli")
    journal_own: Callable[..., Any] = scene.store.journal_own

    async def refuse(*_: Any, **__: Any) -> bool:
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr(scene.store, "journal_own", refuse)
    await scene.passes(11)
    assert scene.seen() == CONFIGURED
    with pytest.raises(StoreWriteError):
        await scene.agent.switch("debug", 10, "cli")
    assert scene.seen() == CONFIGURED
    monkeypatch.setattr(scene.store, "journal_own", journal_own)
    await scene.passes(1)
    assert (await scene.changes())[-1] == ("debug", "shipping", "deadline passed")
