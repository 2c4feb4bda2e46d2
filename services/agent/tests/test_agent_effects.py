"""The ledger around calls: one answer for one call, and never the answer of another request."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.capability.v1 import capability_pb2
from milepost_agent.effects import Effects, call_id
from milepost_agent.errors import LedgerConflict
from milepost_agent.failpoints import arm_failpoints
from milepost_agent.store import NewRun, Store, StoreWriteError

RUN = "0d9c7f52-0000-4000-8000-000000000001"
KEY = call_id("task", 0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "milepost.db")
    await store.accept_run(NewRun(RUN, RUN, "hash", "flow", "digest", "go", 3, 0))
    yield store
    await store.close()
    arm_failpoints("")


@pytest.fixture
def effects(store: Store) -> Effects:
    return Effects(store)


@pytest.mark.requirement("DUR-7")
async def test_completed_call_is_answered_from_the_ledger_and_another_request_is_refused(effects: Effects) -> None:
    called: list[str] = []

    async def call() -> capability_pb2.InvokeResult:
        called.append("once")
        return capability_pb2.InvokeResult(text="answer")

    request = capability_pb2.InvokeRequest(role="coder", prompt="go")
    first = await effects.once(RUN, KEY, "/Invoke", request, capability_pb2.InvokeResult, call)
    again = await effects.once(RUN, KEY, "/Invoke", request, capability_pb2.InvokeResult, call)
    assert (first.replayed, again.replayed, called) == (False, True, ["once"])
    assert again.answer == first.answer
    other = capability_pb2.InvokeRequest(role="coder", prompt="something else")
    with pytest.raises(LedgerConflict, match="task/0 was completed before with another request"):
        await effects.once(RUN, KEY, "/Invoke", other, capability_pb2.InvokeResult, call)


async def test_call_that_failed_is_made_again(effects: Effects) -> None:
    request = capability_pb2.InvokeRequest(role="coder", prompt="go")

    async def fail() -> capability_pb2.InvokeResult:
        raise TimeoutError

    async def call() -> capability_pb2.InvokeResult:
        return capability_pb2.InvokeResult(text="late")

    with pytest.raises(TimeoutError):
        await effects.once(RUN, KEY, "/Invoke", request, capability_pb2.InvokeResult, fail)
    effect = await effects.once(RUN, KEY, "/Invoke", request, capability_pb2.InvokeResult, call)
    assert (effect.answer.text, effect.replayed) == ("late", False)


@pytest.mark.requirement("DUR-6", "DUR-7")
async def test_an_answer_that_came_while_the_disk_failed_is_recorded_later_and_the_call_is_not_repeated(
    store: Store, effects: Effects
) -> None:
    called: list[str] = []

    async def call() -> capability_pb2.InvokeResult:
        called.append("once")
        arm_failpoints("store.before_commit=raise")
        return capability_pb2.InvokeResult(text="answer")

    request = capability_pb2.InvokeRequest(role="coder", prompt="go")
    with pytest.raises(StoreWriteError):
        await effects.once(RUN, KEY, "/Invoke", request, capability_pb2.InvokeResult, call)
    assert await store.ledger_get(KEY) is None
    await store.reopen()
    again = await effects.once(RUN, KEY, "/Invoke", request, capability_pb2.InvokeResult, call)
    assert (again.answer.text, again.replayed, called) == ("answer", True, ["once"])
    assert await store.ledger_get(KEY) is not None
