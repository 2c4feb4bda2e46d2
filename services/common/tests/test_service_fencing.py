"""A displaced owner of a file of runs is refused before any work, and its work ends or is taken over."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from call_memory_server import OTHER_OWNER, OWNER, Client, Patient, serving, words

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_service.call_memory import CallMemory
from milepost_service.channels import open_channel
from milepost_service.fencing import DisplacedError, Fence
from milepost_service.metadata import EPOCH, LINGER
from milepost_service.metadata import OWNER as OWNER_KEY
from milepost_service.model_client import ModelClient

STATUS = grpc.StatusCode
DISPLACED = f"epoch 3 of {OWNER} is displaced by epoch 4"


@pytest.fixture
def servicer() -> Patient:
    return Patient(CallMemory())


@pytest.fixture
async def channel(servicer: Patient) -> AsyncIterator[grpc.aio.Channel]:
    async with serving(servicer) as target, open_channel(target) as channel:
        yield channel


@pytest.fixture
def old(channel: grpc.aio.Channel) -> Client:
    return Client(channel, OWNER, 3)


@pytest.fixture
def new(channel: grpc.aio.Channel) -> Client:
    return Client(channel, OWNER, 4)


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await words(call)
    return refused.value.code(), str(refused.value.details())


@pytest.mark.requirement("DUR-4")
async def test_a_lower_epoch_of_the_same_owner_is_refused_before_any_work(
    servicer: Patient, old: Client, new: Client
) -> None:
    assert await words(old.invoke("t/0", "a")) == ["a"]
    assert await words(new.invoke("t/1", "b")) == ["b"]
    assert await refusal(old.invoke("t/2", "c")) == (STATUS.FAILED_PRECONDITION, DISPLACED)
    assert await refusal(old.invoke("t/0", "a")) == (STATUS.FAILED_PRECONDITION, DISPLACED), "remembered, but not his"
    with pytest.raises(grpc.aio.AioRpcError, match="is displaced by epoch 4"):
        await old.cancel("t/1")
    assert servicer.begun == {"a": 1, "b": 1}
    assert await words(old.of(OTHER_OWNER, 1).invoke("t/3", "d")) == ["d"]
    assert await words(new.invoke("t/0", "a")) == ["a"]
    assert servicer.begun["a"] == 1


@pytest.mark.requirement("DUR-4")
async def test_work_for_a_displaced_epoch_ends_unless_the_new_one_joins_it(
    servicer: Patient, old: Client, new: Client
) -> None:
    left, taken = old.invoke("t/0", "a gate"), old.invoke("t/1", "b gate")
    await left.read()
    await taken.read()
    joined = new.invoke("t/1", "b gate")
    await joined.read()
    assert await asyncio.wait_for(servicer.closed.get(), 30) == "a gate"
    assert await refusal(left) == (STATUS.FAILED_PRECONDITION, DISPLACED)
    taken.cancel()
    servicer.gate.set()
    assert [response.delta async for response in joined] == ["gate", ""]
    assert (await new.counts())["t/1"] == (2, 1, 1)


@pytest.mark.requirement("DUR-4")
async def test_work_for_a_displaced_epoch_waits_for_the_new_one_as_long_as_it_may(
    servicer: Patient, old: Client, new: Client
) -> None:
    await old.invoke("t/0", "a gate", linger=60).read()
    await words(new.invoke("t/1", "b"))
    assert await servicer.closed.get() == "b"
    joined = new.invoke("t/0", "a gate")
    assert (await joined.read()).delta == "a"
    servicer.gate.set()
    assert [response.delta async for response in joined] == ["gate", ""]
    assert servicer.begun["a gate"] == 1


@pytest.mark.requirement("DUR-4")
async def test_an_inner_call_carries_the_owner_and_the_newest_epoch_and_ends_with_its_outer_one(
    servicer: Patient, old: Client, new: Client, channel: grpc.aio.Channel
) -> None:
    outer = Patient(CallMemory())
    async with serving(servicer) as model_target, serving(outer) as target, open_channel(target) as outer_channel:
        outer.model = ModelClient("model", model_target)
        asked = Client(outer_channel, OWNER, 3).invoke("t/0", "a gate")
        await asked.read()
        joined = Client(outer_channel, OWNER, 4).invoke("t/0", "a gate")
        await joined.read()
        async with open_channel(model_target) as model_channel:
            await words(Client(model_channel, OWNER, 4).invoke("t/1", "b"))
            outer.gate.set()
            await _until_requested(Client(model_channel), "t/0.0")
            await words(Client(model_channel, OWNER, 5).invoke("t/2", "c"))
            servicer.gate.set()
            assert [response.delta async for response in joined] == ["gate", ""]
            assert (await Client(model_channel).counts())["t/0.0"] == (1, 1, 1)
        await outer.model.close()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        (OWNER_KEY, "me", "a UUID"),
        (EPOCH, "-1", "a whole number from 0 to 9223372036854775807"),
        (EPOCH, "4.0", "a whole number from 0 to 9223372036854775807"),
        (EPOCH, str(2**63), "a whole number from 0 to 9223372036854775807"),
        (LINGER, "soon", "a whole number from 0 to 3600000"),
        (LINGER, "3600001", "a whole number from 0 to 3600000"),
    ],
)
async def test_a_value_that_is_not_well_formed_is_refused(
    servicer: Patient, channel: grpc.aio.Channel, key: str, value: str, allowed: str
) -> None:
    metadata = {OWNER_KEY: OWNER, EPOCH: "1", "milepost-call-id": "t/0"} | {key: value}
    stub = capability_pb2_grpc.CapabilityServiceStub(channel)
    request = capability_pb2.InvokeRequest(prompt="a")
    expected = (STATUS.INVALID_ARGUMENT, f"{key}: is {value!r}; allowed: {allowed}")
    assert await refusal(stub.Invoke(request, timeout=60, metadata=tuple(metadata.items()))) == expected
    assert servicer.begun == {}


async def test_an_id_that_is_too_long_is_refused(old: Client) -> None:
    expected = (STATUS.INVALID_ARGUMENT, "milepost-call-id: has 513 characters; allowed: at most 512")
    assert await refusal(old.invoke("x" * 513, "a")) == expected


def test_the_owners_not_heard_of_for_the_longest_time_are_forgotten_first() -> None:
    fence = Fence(kept=2)
    assert [fence.admit(owner, 5) for owner in ("a", "b")] == [False, False]
    assert fence.admit("a", 6)
    assert not fence.admit("c", 5)
    with pytest.raises(DisplacedError, match="epoch 5 of a is displaced by epoch 6"):
        fence.admit("a", 5)
    assert not fence.admit("b", 4), "forgotten"


async def _until_requested(client: Client, call_id: str) -> None:
    async with asyncio.timeout(30):
        while call_id not in await client.counts():
            await asyncio.sleep(0.005)
