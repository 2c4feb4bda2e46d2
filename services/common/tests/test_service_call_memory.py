"""A repeated request joins the work or gets the remembered answer; over real gRPC."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from call_memory_server import OTHER_OWNER, OWNER, Client, Patient, serving, words

from milepost_service.call_memory import CallMemory
from milepost_service.channels import open_channel
from milepost_service.correlation import correlation

STATUS = grpc.StatusCode


@pytest.fixture
def servicer() -> Patient:
    return Patient(CallMemory())


@pytest.fixture
async def target(servicer: Patient) -> AsyncIterator[str]:
    async with serving(servicer) as target:
        yield target


@pytest.fixture
async def first(target: str) -> AsyncIterator[Client]:
    async with open_channel(target) as channel:
        yield Client(channel)


@pytest.fixture
async def second(target: str) -> AsyncIterator[Client]:
    async with open_channel(target) as channel:
        yield Client(channel)


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await words(call)
    return refused.value.code(), str(refused.value.details())


@pytest.mark.requirement("DUR-7")
async def test_a_repeated_request_joins_the_work_and_gets_the_deltas_so_far_and_the_rest(
    servicer: Patient, first: Client, second: Client
) -> None:
    one = first.invoke("t/0", "a b gate c")
    assert (await one.read()).delta == "a"
    two = second.invoke("t/0", "a b gate c")
    assert [(await two.read()).delta, (await two.read()).delta] == ["a", "b"]
    assert await first.counts() == {"t/0": (2, 1, 0)}
    servicer.gate.set()
    rest_of_one, rest_of_two = [[response async for response in call] for call in (one, two)]
    assert [response.delta for response in rest_of_two[:-1]] == ["gate", "c"]
    assert rest_of_one[-1] == rest_of_two[-1]
    assert servicer.begun == {"a b gate c": 1}
    assert await first.counts() == {"t/0": (2, 1, 1)}


@pytest.mark.requirement("DUR-7")
async def test_a_completed_call_is_answered_from_memory_streaming_and_unary(
    servicer: Patient, first: Client, second: Client
) -> None:
    assert await words(first.invoke("t/0", "a b")) == await words(second.invoke("t/0", "a b")) == ["a", "b"]
    assert await first.score("t/1", "p") == await second.score("t/1", "p")
    assert servicer.begun == {"a b": 1, "p": 1}
    assert await first.counts() == {"t/0": (2, 1, 1), "t/1": (2, 1, 1)}


async def test_a_unary_call_is_joined_and_goes_on_without_the_first_caller(
    servicer: Patient, first: Client, second: Client
) -> None:
    one = first.score("t/0", "gate", linger=30)
    await _until_begun(servicer, "gate")
    one.cancel()
    two = asyncio.ensure_future(second.score("t/0", "gate"))
    await _until_requested(second, "t/0", 2)
    servicer.gate.set()
    assert (await two).candidates[0].candidate == "a"
    assert servicer.begun == {"gate": 1}


@pytest.mark.requirement("DUR-7")
async def test_the_same_id_with_another_request_is_refused_while_working_and_afterwards(
    servicer: Patient, first: Client, second: Client
) -> None:
    expected = (STATUS.ALREADY_EXISTS, "call t/0 was made before with another request")
    one = first.invoke("t/0", "a gate")
    await one.read()
    assert await refusal(second.invoke("t/0", "a gate !")) == expected
    servicer.gate.set()
    assert len([response async for response in one]) == 2
    assert await refusal(second.invoke("t/0", "a gate !")) == expected
    assert await first.counts() == {"t/0": (1, 1, 1)}


async def test_the_same_id_of_another_owner_is_another_call(servicer: Patient, first: Client) -> None:
    assert await words(first.of(OWNER, 1).invoke("t/0", "a")) == ["a"]
    assert await words(first.of(OTHER_OWNER, 1).invoke("t/0", "b")) == ["b"]


@pytest.mark.requirement("DUR-7")
async def test_a_failure_reaches_every_joined_caller_and_is_not_remembered(
    servicer: Patient, first: Client, second: Client
) -> None:
    servicer.full = True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await first.invoke("t/0", "a b").read()
    assert (refused.value.code(), refused.value.details()) == (STATUS.RESOURCE_EXHAUSTED, "the queue is full")
    assert dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"
    servicer.full = False
    one = first.invoke("t/0", "gate b")
    await _until_begun(servicer, "gate b")
    two = second.invoke("t/0", "gate b")
    await _until_requested(second, "t/0", 3)
    assert await second.cancel("t/0")
    cancelled = (STATUS.CANCELLED, "call t/0 was cancelled")
    assert [await refusal(one), await refusal(two)] == [cancelled, cancelled]
    servicer.gate.set()
    assert await words(second.invoke("t/0", "gate b")) == ["gate", "b"]
    assert await first.counts() == {"t/0": (4, 3, 1)}


@pytest.mark.requirement("AGT-3")
async def test_work_ends_with_its_only_caller_unless_that_one_may_come_back(servicer: Patient, first: Client) -> None:
    call = first.invoke("t/0", "a gate")
    await call.read()
    call.cancel()
    assert await asyncio.wait_for(servicer.closed.get(), 30) == "a gate"
    call = first.invoke("t/1", "b gate", linger=0.2)
    await call.read()
    call.cancel()
    assert await asyncio.wait_for(servicer.closed.get(), 30) == "b gate"
    assert servicer.gate.is_set() is False


async def test_a_caller_that_comes_back_in_time_gets_the_answer_of_the_same_work(
    servicer: Patient, first: Client, second: Client
) -> None:
    call = first.invoke("t/0", "a gate", linger=60)
    await call.read()
    call.cancel()
    again = second.invoke("t/0", "a gate", linger=60)
    assert (await again.read()).delta == "a"
    servicer.gate.set()
    assert [response.delta async for response in again] == ["gate", ""]
    assert await first.counts() == {"t/0": (2, 1, 1)}


@pytest.mark.requirement("AGT-3")
async def test_cancel_call_stops_work_whose_caller_is_not_connected_and_only_of_its_owner(
    servicer: Patient, first: Client, second: Client
) -> None:
    call = first.of(OWNER, 1).invoke("t/0", "a gate", linger=600)
    await call.read()
    call.cancel()
    assert not await second.cancel("t/0")
    assert not await second.of(OTHER_OWNER, 1).cancel("t/0")
    assert not await second.of(OWNER, 1).cancel("t/1")
    assert servicer.closed.empty()
    assert await second.of(OWNER, 1).cancel("t/0")
    assert await asyncio.wait_for(servicer.closed.get(), 30) == "a gate"
    assert not await second.of(OWNER, 1).cancel("t/0")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await second.cancel("")
    assert refused.value.code() == STATUS.INVALID_ARGUMENT


@pytest.mark.requirement("AGT-3")
async def test_the_deadline_of_the_newest_request_bounds_the_work(
    servicer: Patient, first: Client, second: Client
) -> None:
    soon = first.invoke("t/0", "a gate", timeout=1, linger=60)
    await soon.read()
    later = second.invoke("t/0", "a gate", timeout=60)
    await later.read()
    assert (await refusal(soon))[0] == STATUS.DEADLINE_EXCEEDED
    assert servicer.closed.empty()
    last = first.invoke("t/0", "a gate", timeout=0.5)
    assert (await refusal(last))[0] == STATUS.DEADLINE_EXCEEDED
    assert (await refusal(later))[0] == STATUS.DEADLINE_EXCEEDED
    assert await asyncio.wait_for(servicer.closed.get(), 30) == "a gate"


@pytest.mark.requirement("OBS-4")
async def test_the_work_carries_the_correlation_id_of_the_request_that_began_it(
    servicer: Patient, first: Client
) -> None:
    with correlation("c-7"):
        await words(first.invoke("t/0", "a"))
    assert servicer.correlation_ids == ["c-7"]


async def test_a_call_without_an_id_is_worked_on_each_time_and_not_counted(servicer: Patient, first: Client) -> None:
    for _ in range(2):
        assert await words(first.invoke("", "a")) == ["a"]
    assert servicer.begun == {"a": 2}
    assert await first.counts() == {}


async def test_the_memory_keeps_to_its_bounds_of_count_age_and_bytes() -> None:
    now = [0.0]
    servicer = Patient(CallMemory(kept=2, kept_bytes=10_000, kept_seconds=600, now=lambda: now[0]))
    async with serving(servicer) as target, open_channel(target) as channel:
        client = Client(channel)

        async def begun_again(call_id: str, prompt: str) -> bool:
            before = servicer.begun[prompt]
            await words(client.invoke(call_id, prompt))
            return servicer.begun[prompt] > before

        assert [await begun_again(call_id, call_id) for call_id in ("a", "b", "c")] == [True, True, True]
        assert not await begun_again("c", "c")
        assert await begun_again("a", "a"), "more than two"
        now[0] = 599
        assert not await begun_again("a", "a")
        now[0] = 601
        assert await begun_again("a", "a"), "older than ten minutes"
        assert await begun_again("large", "x" * 4_900)
        assert await begun_again("a", "a"), "no room beside the large one"
        code, details = await refusal(client.invoke("larger", "x" * 10_000))
        assert code == STATUS.RESOURCE_EXHAUSTED
        assert details == "call larger: the answers in the making take more than 10000 bytes"
        assert await begun_again("small", "y"), "what did not fit takes no room"
        assert not await begun_again("small", "y")


async def test_stopping_ends_all_work_also_that_of_callers_who_are_gone(servicer: Patient, first: Client) -> None:
    call = first.invoke("t/0", "a gate", linger=600)
    await call.read()
    call.cancel()
    await servicer.calls.close()
    assert servicer.closed.get_nowait() == "a gate"


async def _until_begun(servicer: Patient, prompt: str) -> None:
    async with asyncio.timeout(30):
        while not servicer.begun[prompt]:
            await asyncio.sleep(0.005)


async def _until_requested(client: Client, call_id: str, times: int) -> None:
    async with asyncio.timeout(30):
        while (await client.counts())[call_id][0] < times:
            await asyncio.sleep(0.005)
