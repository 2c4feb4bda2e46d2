"""`milepost-tools`: wiring only."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import grpc.aio

from milepost.capability.v1 import capability_pb2_grpc
from milepost_crds import HttpFetch as HttpFetchSpec
from milepost_crds import Tools
from milepost_service.call_memory import CallMemory
from milepost_service.model_client import ModelClient
from milepost_service.observed import observed
from milepost_service.resource import load_model_service
from milepost_service.server import run, serve
from milepost_service.servicer import CapabilityServicer, registry_entry
from milepost_service.serving_stats import ServingStats
from milepost_service.usage import Load, UsageMeter
from milepost_tools.answer import answer_with
from milepost_tools.calculator import Calculator
from milepost_tools.clock import Clock
from milepost_tools.fetching.http_fetch import HttpFetch
from milepost_tools.mcp_servers.server import McpServer
from milepost_tools.send_message import SendMessage
from milepost_tools.settings import ToolsSettings
from milepost_tools.tool import TextTool
from milepost_tools.toolbox import Toolbox

FIRST_TRY_SECONDS = 10.0
"""How long the service waits for its MCP servers before it serves without those that are away."""


def text_tools(spec: Tools) -> Sequence[TextTool]:
    """The built-in tools of a resource."""
    made: Mapping[str, Callable[[], TextTool]] = {
        "calculator": Calculator,
        "clock": Clock,
        "httpFetch": lambda: HttpFetch(spec.http_fetch or HttpFetchSpec(allowed_hosts=[])),
        "sendMessage": SendMessage,
    }
    return [made[name]() for name in spec.built_in]


async def serve_tools(settings: ToolsSettings) -> None:
    """Serves the ModelService of the settings until it is told to stop."""
    resource = load_model_service(settings.service_file, engine="tools")
    spec = resource.spec.tools
    assert spec is not None
    servers = [McpServer(server) for server in spec.mcp_servers]
    toolbox = Toolbox(text_tools(spec), servers)
    model, calls = ModelClient(spec.model_ref.name, settings.model_target), CallMemory()
    stats = ServingStats()

    def details() -> Mapping[str, str]:
        return {"model": spec.model_ref.name, **toolbox.details()}

    async def connect() -> None:
        await asyncio.gather(*(server.start(FIRST_TRY_SECONDS) for server in servers))

    def load() -> Load:
        return Load(active=calls.active)

    meter = UsageMeter(load)

    def add_servicers(server: grpc.aio.Server) -> None:
        answer = answer_with(toolbox, model, resource)
        servicer = CapabilityServicer(resource, answer=answer, details=details, usage=meter.read, calls=calls)
        capability_pb2_grpc.add_CapabilityServiceServicer_to_server(servicer, server)

    try:
        with observed(settings.metrics_listen, stats, load):
            await serve(
                settings,
                name=resource.name,
                add_servicers=add_servicers,
                start=connect,
                calls=calls,
                stats=stats,
                registration=lambda: registry_entry(resource, settings.target, details()),
            )
    finally:
        await asyncio.gather(model.close(), *(server.close() for server in servers))


async def _main() -> None:
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # what goes wrong there is told with the call or the server
    await serve_tools(ToolsSettings.load())


def main() -> None:
    """Entry point."""
    run(_main(), name="milepost-tools")
