"""The process of a model behind a URL: wiring only."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import grpc.aio

from milepost.capability.v1 import capability_pb2_grpc
from milepost.model.v1 import model_pb2_grpc
from milepost_crds import ModelService
from milepost_model.remote.engine import Limits, RemoteEngine
from milepost_model.remote.invoking import answer_with
from milepost_model.remote.key import ApiKey
from milepost_model.remote.readiness import Readiness
from milepost_model.remote.servicer import RemoteModelServicer, details_of
from milepost_model.settings import ModelSettings
from milepost_service.call_memory import CallMemory
from milepost_service.observed import observed
from milepost_service.server import serve
from milepost_service.servicer import CapabilityServicer, registry_entry
from milepost_service.serving_stats import ServingStats
from milepost_service.usage import UsageMeter

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_WORDY = ("openai", "httpx2", "httpcore2")
"""Libraries that log each request, which our own line of the call has said already, with its headers at worst."""


async def serve_remote(settings: ModelSettings, resource: ModelService) -> None:
    """Serves a ModelService with the engine openAI until it is told to stop."""
    spec = resource.spec.open_ai
    assert spec is not None
    for name in _WORDY:
        logging.getLogger(name).setLevel(logging.WARNING)
    limits = Limits(queue_size=settings.queue_size, idle_seconds=settings.idle_seconds)
    engine, calls = RemoteEngine(spec, ApiKey(spec, settings.api_key_file), limits), CallMemory()
    readiness = Readiness(engine)
    meter, stats = UsageMeter(engine.load_now), ServingStats()

    def add_servicers(server: grpc.aio.Server) -> None:
        model_pb2_grpc.add_ModelServiceServicer_to_server(RemoteModelServicer(engine, resource), server)
        capability = CapabilityServicer(
            resource,
            answer=answer_with(engine, resource),
            details=lambda: details_of(engine, readiness.problem),
            usage=meter.read,
            calls=calls,
        )
        capability_pb2_grpc.add_CapabilityServiceServicer_to_server(capability, server)

    try:
        with observed(settings.metrics_listen, stats, engine.load_now, lambda: _metrics(engine)):
            await serve(
                settings,
                name=resource.name,
                add_servicers=add_servicers,
                attend=readiness.attend,
                calls=calls,
                stats=stats,
                registration=lambda: registry_entry(resource, settings.target, details_of(engine, readiness.problem)),
            )
    finally:
        await engine.close()


def _metrics(engine: RemoteEngine) -> "Iterable[Metric]":
    from milepost_model.remote.metrics import engine_metrics  # noqa: PLC0415 -- imported where metrics are served alone

    return engine_metrics(engine)
