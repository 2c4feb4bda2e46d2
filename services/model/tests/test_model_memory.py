"""The memory that a model is said to take, beside what its process takes."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_crds import LlamaCpp
from milepost_model.memory import memory_of
from milepost_service.channels import open_channel
from milepost_service.models import default_cache_dir, ensure_model, read_header
from milepost_service.models.gguf_header import GgufHeader
from milepost_service.resource import load_model_service
from milepost_service.testing import ServiceProcess

MI = 1024**2


def header(vocabulary: int) -> GgufHeader:
    sizes = {"block_count": 30, "embedding_length": 576, "attention.head_count": 9, "attention.head_count_kv": 3}
    values = {f"llama.{name}": value for name, value in sizes.items()}
    return GgufHeader(
        {"general.architecture": "llama", "tokenizer.ggml.tokens": vocabulary, **values}, file_bytes=100 * MI
    )


@pytest.mark.requirement("OPR-4")
def test_a_large_vocabulary_needs_room_for_its_logits() -> None:
    spec = LlamaCpp.model_validate({"source": {"package": {"name": "p", "file": "m.gguf"}}, "contextTokens": 2048})
    small, large = (memory_of(header(words), spec) for words in (49_152, 262_144))
    assert (small.weights, small.kv_cache, small.runtime) == (100 * MI, 45 * MI, 256 * MI)
    assert large.runtime - small.runtime == 128 * MI


@pytest.mark.models
@pytest.mark.requirement("OPR-4")
async def test_a_process_stays_within_what_was_computed_before_it_loaded(
    model_service: ServiceProcess, smollm2_file: Path
) -> None:
    spec = load_model_service(smollm2_file, engine="llamaCpp").spec.llama_cpp
    assert spec is not None
    estimate = memory_of(read_header(ensure_model(spec, default_cache_dir()), "source"), spec)
    candidates = [f" word{number}" * 3 for number in range(32)]
    async with open_channel(model_service.target) as channel:
        stub: Any = model_pb2_grpc.ModelServiceStub(channel)
        await stub.Score(model_pb2.ScoreRequest(prompt="word " * 300, candidates=candidates), timeout=120)
        await stub.Embed(model_pb2.EmbedRequest(texts=["word " * 600]), timeout=120)
    taken = psutil.Process(model_service.process.pid).memory_info().rss
    assert estimate.weights < taken < estimate.total
