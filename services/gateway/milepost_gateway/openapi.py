"""The OpenAPI document, made from the endpoints."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

from milepost.agent.v1 import agent_pb2, backup_pb2, message_pb2
from milepost.registry.v1 import registry_pb2
from milepost_gateway.endpoint import JSON, Endpoint, Input, Nothing
from milepost_gateway.errors import HTTP_STATUS
from milepost_gateway.schema import TEXT, components, record

VERSION = "3.1.0"
MESSAGES: Sequence[type[Message]] = (
    agent_pb2.GetAgentResponse,
    agent_pb2.GetObservabilityResponse,
    agent_pb2.Run,
    agent_pb2.RunEvent,
    agent_pb2.StoredMessage,
    agent_pb2.WorkflowGraph,
    backup_pb2.Backup,
    message_pb2.AgentMessage,
    registry_pb2.Service,
)
ERROR = record(error=record(code={"type": "string", "enum": sorted(HTTP_STATUS)}, message=TEXT))
_TEMPLATE = "#/components/schemas/{model}"


def document(endpoints: Iterable[Endpoint], version: str, prefix: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the endpoints as they are."""
    paths: dict[str, dict[str, Any]] = {}
    schemas = {**components(MESSAGES), "Error": ERROR}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Milepost gateway",
            "version": version,
            "description": "Runs of agent workflows over HTTP. Times are UTC, durations seconds.",
        },
        "servers": [{"url": prefix + "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint, schemas),
        "responses": {
            "200": {
                "description": "Done",
                "content": {endpoint.media_type: {"schema": endpoint.answer} if endpoint.answer else {}},
            },
            "default": {
                "description": "Refused",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
        "security": [{}, {"token": []}],
    }
    if endpoint.writes:
        operation["requestBody"] = {
            "required": endpoint.body is not Nothing,
            "content": {JSON: {"schema": _model(endpoint.body, schemas)}},
        }
    return operation


def _parameters(endpoint: Endpoint, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    in_header = [
        {"name": name, "in": "header", "schema": TEXT, "description": meaning}
        for name, meaning in endpoint.headers.items()
    ]
    if endpoint.query is Nothing:
        return in_path + in_header
    model = endpoint.query.model_json_schema(ref_template=_TEMPLATE)
    in_query = [{"name": name, "in": "query", "schema": schema} for name, schema in model["properties"].items()]
    return in_path + in_query + in_header


def _model(model: type[Input], schemas: dict[str, Any]) -> dict[str, Any]:
    schemas[model.__name__] = model.model_json_schema(ref_template=_TEMPLATE)
    return {"$ref": f"#/components/schemas/{model.__name__}"}
