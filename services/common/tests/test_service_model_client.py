"""A model that is not there is Unavailable, and its name is asked for anew each time."""

import pytest

from milepost_service.errors import UnavailableError
from milepost_service.model_client import ModelClient


async def test_a_name_that_is_not_found_gets_a_new_channel() -> None:
    model = ModelClient("brain", f"{'x' * 64}.test:1")
    before = model._channel
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"the model service brain at x+.test:1 cannot be reached"):
            await model.context_tokens(timeout=20)
    assert model._channel is not before
    await model.close()
