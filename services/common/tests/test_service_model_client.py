"""A model that is not there is Unavailable; an id that stands for another request is passed over."""

import pytest
from call_memory_server import Client, Patient, serving

from milepost_service.call_memory import CallMemory
from milepost_service.calls import CallKey, ServedCall
from milepost_service.calls import serving as serving_call
from milepost_service.channels import open_channel
from milepost_service.errors import UnavailableError
from milepost_service.model_client import ModelClient


async def test_a_name_that_is_not_found_gets_a_new_channel() -> None:
    model = ModelClient("brain", f"{'x' * 64}.test:1")
    before = model._channel
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"the model service brain at x+.test:1 cannot be reached"):
            await model.context_tokens(timeout=60)
    assert model._channel is not before
    await model.close()


@pytest.mark.requirement("DUR-7")
async def test_an_outer_call_begun_anew_that_asks_the_same_gets_the_answer_and_one_that_asks_otherwise_an_own_one() -> (
    None
):
    servicer = Patient(CallMemory())
    servicer.gate.set()
    async with serving(servicer) as target, open_channel(target) as channel:
        model = ModelClient("brain", target)
        for question in ("a", "a", "b"):
            with serving_call(ServedCall(CallKey("", "t/0", "/Invoke"))):
                await model.choose([("user", question)], ["x", "y"], timeout=60)
        assert await Client(channel).counts() == {"t/0.0": (2, 1, 1), "t/0.1": (1, 1, 1)}
        await model.close()
