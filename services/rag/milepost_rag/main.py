"""`milepost-rag`: wiring only."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import grpc.aio

from milepost.capability.v1 import capability_pb2_grpc
from milepost_crds import Rag
from milepost_rag.answer import answer_with, refusals_of
from milepost_rag.library import Library, Standing
from milepost_rag.settings import RagSettings
from milepost_service.call_memory import CallMemory
from milepost_service.model_client import ModelClient
from milepost_service.observed import observed
from milepost_service.resource import load_model_service
from milepost_service.server import run, serve
from milepost_service.servicer import CapabilityServicer, registry_entry
from milepost_service.serving_stats import ServingStats
from milepost_service.usage import Load, UsageMeter
from milepost_service.volumes import volume_path


async def serve_documents(settings: RagSettings) -> None:
    """Serves the ModelService of the settings until it is told to stop."""
    resource = load_model_service(settings.service_file, engine="rag")
    spec = resource.spec.rag
    assert spec is not None
    library = Library(
        documents_folder(spec, settings.documents_dir),
        settings.data_dir,
        settings.embedding_model,
        chunk_tokens=spec.chunk_tokens,
    )
    model, calls = ModelClient(spec.model_ref.name, settings.model_target), CallMemory()
    stats = ServingStats()

    def load() -> Load:
        return Load(active=calls.active)

    meter = UsageMeter(load)
    watching: list[asyncio.Task[None]] = []

    def details() -> Mapping[str, str]:
        return {
            "model": spec.model_ref.name,
            "embeddingModel": settings.embedding_model.name,
            **standing_details(library.standing),
        }

    def add_servicers(server: grpc.aio.Server) -> None:
        answer = answer_with(library, model, resource, folder=str(settings.documents_dir))
        servicer = CapabilityServicer(resource, answer=answer, details=details, usage=meter.read, calls=calls)
        capability_pb2_grpc.add_CapabilityServiceServicer_to_server(servicer, server)

    async def start() -> None:
        await library.open()
        watching.append(asyncio.create_task(library.follow(settings.look_seconds)))

    try:
        with observed(settings.metrics_listen, stats, load):
            await serve(
                settings,
                name=resource.name,
                add_servicers=add_servicers,
                start=start,
                calls=calls,
                stats=stats,
                registration=lambda: registry_entry(resource, settings.target, details()),
            )
    finally:
        for task in watching:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await library.close()
        await model.close()


def standing_details(standing: Standing) -> dict[str, str]:
    """What Describe tells of the documents. Of many refusals the first are told."""
    refused = standing.refused or {}
    details = {
        "documents": str(standing.documents),
        "chunks": str(standing.passages),
        "refused": str(len(refused)),
        "refusals": refusals_of(standing),
        "indexing": standing.indexing,
    }
    return {name: value for name, value in details.items() if value}


def documents_folder(spec: Rag, folder: Path) -> Path:
    """The folder of documents; one on a claim must lie on it, wherever links lead.

    Raises:
        ConfigurationError: it does not.
    """
    claim = spec.documents.persistent_volume_claim
    if claim is None:
        return folder
    depth = len(PurePosixPath(claim.path).parts)
    if folder.parts[-depth:] == PurePosixPath(claim.path).parts:
        volume_path(folder.parents[depth - 1], claim.path, "rag.documents.persistentVolumeClaim.path")
    return folder


async def _main() -> None:
    await serve_documents(RagSettings.load())


def main() -> None:
    """Entry point."""
    run(_main(), name="milepost-rag")
