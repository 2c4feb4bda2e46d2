"""The process of a model that llama.cpp computes: wiring only."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import grpc.aio

from milepost.capability.v1 import capability_pb2_grpc
from milepost.model.v1 import model_pb2_grpc
from milepost_crds import ModelService
from milepost_model.engine import Engine
from milepost_model.memory import require_memory
from milepost_model.servicer import ModelServicer, answer_with, details_of
from milepost_model.settings import ModelSettings
from milepost_service.call_memory import CallMemory
from milepost_service.cgroup import memory_limit
from milepost_service.daemon_thread import in_daemon_thread
from milepost_service.download_status import DownloadStatus
from milepost_service.models import ensure_model, read_header
from milepost_service.observability import MetricSource
from milepost_service.observed import observed
from milepost_service.server import serve
from milepost_service.servicer import CapabilityServicer, registry_entry
from milepost_service.serving_stats import ServingStats
from milepost_service.usage import UsageMeter

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_SWITCH_SECONDS = 0.0005
"""The decoding thread needs the interpreter after each token; the usual 5 ms would be most of a token's time."""


async def serve_llama(settings: ModelSettings, resource: ModelService) -> None:
    """Serves a ModelService with the engine llamaCpp until it is told to stop."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    spec = resource.spec.llama_cpp
    assert spec is not None
    threads = settings.threads
    engine, calls = Engine(queue_size=settings.queue_size), CallMemory()
    meter, stats, status = UsageMeter(engine.load_now), ServingStats(), DownloadStatus()
    metrics = partial(_metrics, engine, status)

    def add_servicers(server: grpc.aio.Server) -> None:
        model_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(engine, resource, threads=threads), server)
        capability = CapabilityServicer(
            resource,
            answer=answer_with(engine, resource),
            details=lambda: details_of(engine, threads=threads),
            usage=meter.read,
            calls=calls,
        )
        capability_pb2_grpc.add_CapabilityServiceServicer_to_server(capability, server)

    async def start() -> None:
        path = await in_daemon_thread(
            lambda: ensure_model(
                spec, settings.cache_dir, status.say, watch=status.watch, volume_dir=settings.model_volume_dir
            ),
            name="model-file",
        )
        status.end()
        header = await asyncio.to_thread(read_header, path, "llamaCpp.source")
        require_memory(header, spec, memory_limit(settings.cgroup_dir))
        engine.kv_bytes_per_token = header.kv_bytes_per_token
        await engine.load(
            path,
            context_tokens=spec.context_tokens,
            sequences=spec.sequences,
            threads=threads,
            embeddings=spec.embeddings,
        )

    try:
        with observed(settings.metrics_listen, stats, engine.load_now, metrics):
            async with _http(settings, engine, resource, stats, metrics) as stop_http:
                await serve(
                    settings,
                    name=resource.name,
                    add_servicers=add_servicers,
                    start=start,
                    doing=status.doing,
                    stop_beside=stop_http,
                    calls=calls,
                    stats=stats,
                    registration=lambda: registry_entry(resource, settings.target, details_of(engine, threads=threads)),
                )
    finally:
        engine.close()


@asynccontextmanager
async def _http(
    settings: ModelSettings, engine: Engine, resource: ModelService, stats: ServingStats, metrics: MetricSource
) -> AsyncIterator[Callable[[float], Awaitable[None]] | None]:
    """Inside, OpenAI's endpoints are answered, if the settings say where; gives what ends that."""
    if not settings.http_listen:
        yield None
        return
    from milepost_model.http.app import MOST_CONNECTIONS, HttpApi  # noqa: PLC0415 -- imported where HTTP is served alone
    from milepost_service.http_server import bound, http_served  # noqa: PLC0415 -- as above

    api = HttpApi(engine, resource, stats, metrics)
    with bound(settings.http_listen, "MILEPOST_HTTP_LISTEN") as listener:
        async with http_served(api.app, listener, connections=MOST_CONNECTIONS) as server:
            yield server.stop


def _metrics(engine: Engine, status: DownloadStatus) -> "Iterable[Metric]":
    from milepost_model.metrics import download_metrics, engine_metrics  # noqa: PLC0415 -- where they are served alone

    return chain(engine_metrics(engine), download_metrics(status))
