"""The OpenAPI document against what the gateway really takes and gives, over a real agent and a real service."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from scripted_agent import PATIENCE, GatewayServer, next_of, stream
from starlette.routing import Route

from milepost_gateway.addresses import AgentAddress
from milepost_service.testing import ServiceProcess, running

WORKFLOW = """\
apiVersion: milepost.dev/v1alpha1
kind: AgentWorkflow
metadata: {name: flow}
spec:
  pattern: linear
  steps:
    - {name: compute, role: calculator, capability: calculation}
    - {name: release, role: clerk, capability: calculation, requireApproval: true}
  arbitrator: {modelRef: {name: brain}}
"""
TOOLBOX = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: toolbox}
spec:
  capabilities: [calculation]
  tools: {modelRef: {name: brain}, builtIn: [calculator]}
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A real agent, with a tool service that registers at it."""
    folder = tmp_path_factory.mktemp("agent")
    (folder / "workflow.yaml").write_text(WORKFLOW)
    (folder / "service.yaml").write_text(TOOLBOX)
    settings = {"MILEPOST_WORKFLOW_FILE": str(folder / "workflow.yaml"), "MILEPOST_DATA_DIR": str(folder)}
    with running("milepost_agent", folder / "agent.log", settings) as process:
        service = {
            "MILEPOST_SERVICE_FILE": str(folder / "service.yaml"),
            "MILEPOST_REGISTRIES": process.target,
            "MILEPOST_MODEL_TARGET": "127.0.0.1:1",
            "MILEPOST_CACHE_DIR": str(folder),
        }
        with running("milepost_tools", folder / "tools.log", service):
            yield process


@pytest.fixture
async def server(agent: ServiceProcess) -> AsyncIterator[GatewayServer]:
    async with GatewayServer([AgentAddress("flow", "flow", agent.target)]) as gateway:
        yield gateway


def closed(schema: Any, *, shut: bool = True) -> Any:
    """The schema with nothing allowed beside what it names, so that an answer with more does not pass unseen."""
    if not isinstance(schema, dict):
        return schema
    found = {**schema}
    for key in ("anyOf", "allOf"):
        if key in found:
            found[key] = [closed(each, shut=key == "anyOf") for each in found[key]]
    if "items" in found:
        found["items"] = closed(found["items"])
    if "properties" in found:
        found["properties"] = {name: closed(each) for name, each in found["properties"].items()}
    if shut and {"$ref", "properties", "allOf"} & found.keys():
        found["unevaluatedProperties"] = False
    return found


class Document:
    """Checks answers against the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: set[str] = set()

    def check(self, method: str, path: str, response: httpx.Response) -> Any:
        """The answer, once it is found to be as described."""
        operation = self.document["paths"][path][method.lower()]
        if response.status_code != 200:
            schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
        else:
            self.seen.add(operation["operationId"])
            [(media, content)] = operation["responses"]["200"]["content"].items()
            assert response.headers["content-type"].partition(";")[0] == media
            if media != "application/json":
                return response.content
            schema = content["schema"]
        answer = response.json()
        schemas = {name: closed(each, shut=False) for name, each in self.document["components"]["schemas"].items()}
        Draft202012Validator({**closed(schema), "components": {"schemas": schemas}}).validate(answer)
        return answer


async def test_document_is_valid_and_names_every_route(server: GatewayServer) -> None:
    """Proves that no route of the API is undocumented and that each reference in the document leads somewhere."""
    document = (await server.client.get("/api/openapi.json")).json()
    routes = {
        (route.path, method.lower())
        for route in server.gateway.application.routes
        if isinstance(route, Route) and route.path.startswith("/api/") and "path:path" not in route.path
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert described == routes
    ids = [operation["operationId"] for each in document["paths"].values() for operation in each.values()]
    assert len(set(ids)) == len(ids)
    for reference in _references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _references(each)


@pytest.mark.requirement("AGT-1")
async def test_real_answers_are_as_described(server: GatewayServer) -> None:
    """Proves the whole API over a real agent: each operation done for real, each answer held against the document."""
    document = Document((await server.client.get("/api/openapi.json")).json())

    async def ask(method: str, path: str, query: str = "", body: Any = None, **values: str) -> Any:
        address = path.format(**values) + query
        return document.check(method, path, await server.client.request(method, address, json=body))

    run = "/api/runs/{run_id}"
    started = await ask("POST", "/api/runs", body={"workflow": "flow", "prompt": "6 * 7"})
    run_id = started["run"]["run_id"]
    assert started["agent"] == "flow"
    again = {"workflow": "flow", "prompt": "6 * 7", "correlation_id": started["run"]["correlation_id"]}
    assert (await ask("POST", "/api/runs", body=again))["existing"]
    conflict = await server.client.post("/api/runs", json={**again, "prompt": "other"})
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "ALREADY_EXISTS")
    document.check("POST", "/api/runs", conflict)

    async with asyncio.timeout(PATIENCE):
        while (found := await ask("GET", run, run_id=run_id))["run"]["pending_input"] is None:
            await asyncio.sleep(0.05)
    assert [step["name"] for step in found["graph"]["steps"]] == ["compute", "release"]
    assert found["run"]["hops"][0]["output"]
    approval = found["run"]["pending_input"]["approval"]["approval_id"]

    sent = {"recipient_role": "clerk", "payload": "please <b>hurry</b>"}
    message = (await ask("POST", f"{run}/messages", run_id=run_id, body=sent))["message"]
    assert message["payload"] == sent["payload"]
    assert len((await ask("GET", f"{run}/messages", run_id=run_id))["messages"]) == 1
    [listed] = (await ask("GET", "/api/messages"))["messages"]
    assert (listed["run_id"], listed["agent"], listed["delivered"]) == (run_id, "flow", False)

    assert (await ask("POST", f"{run}/pause", run_id=run_id, body={"reason": "lunch"}))["run"]["state"] == "paused"
    assert (await ask("POST", f"{run}/resume", run_id=run_id, body={}))["run"]["state"] != "paused"
    wrong = {"approval_id": run_id, "approve": True}
    refused = await server.client.post(f"/api/runs/{run_id}/approval", json=wrong)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "FAILED_PRECONDITION")
    refused = await server.client.post(f"/api/runs/{run_id}/answer", json={"question_id": run_id, "answer": "yes"})
    assert refused.status_code == 409
    document.check("POST", f"{run}/answer", refused)
    await ask(
        "POST", f"{run}/approval", run_id=run_id, body={"approval_id": approval, "approve": False, "comment": "no"}
    )
    async with asyncio.timeout(PATIENCE):
        while (found := await ask("GET", run, run_id=run_id))["run"]["state"] != "ended":
            await asyncio.sleep(0.05)

    whole = await ask("GET", f"{run}/events", run_id=run_id)
    assert (whole["last_sequence"], whole["more"]) == (found["run"]["last_sequence"], False)
    pieces: list[Any] = []
    more, last = True, 0
    while more:
        page = await ask("GET", f"{run}/events", f"?limit=3&after={last}", run_id=run_id)
        assert len(page["events"]) <= 3
        pieces += page["events"]
        more, last = page["more"], page["last_sequence"]
    assert pieces == whole["events"]
    export = await ask("GET", f"{run}/export", run_id=run_id)
    assert (export["format"], export["events"]) == ("milepost.run/v1", whole["events"])

    await ask("POST", f"{run}/cancel", run_id=run_id, body={"reason": "over"})
    results = await ask("POST", "/api/runs/cancel", body={"run_ids": [run_id, "nothing"]})
    assert [each["ok"] for each in results["results"]] == [True, False]
    listed = await ask("GET", "/api/runs", "?state=ended&q=6 *&page_size=1")
    assert [each["run_id"] for each in listed["runs"]] == [run_id]

    await ask("GET", "/api/config")
    assert (await ask("GET", "/api/agents"))["agents"][0]["status"]["last_sequence"] > 0
    assert (await ask("GET", "/api/services"))["services"][0]["agents"] == ["flow"]
    mode = "/api/agents/{agent}/observability"
    body = {"mode": "debug", "duration_seconds": 90.5}
    switched = await ask("PUT", mode, agent="flow", body=body)
    assert switched["mode"] == "debug"
    assert switched["until"]
    assert (await ask("GET", mode, agent="flow"))["mode"] == "debug"
    [result] = (await ask("PUT", "/api/observability", body={"mode": "shipping"}))["results"]
    assert (result["ok"], result["observability"]["mode"]) == (True, "shipping")

    backups = "/api/agents/{agent}/backups"
    backup = (await ask("POST", backups, agent="flow"))["backup"]
    [listed] = (await ask("GET", "/api/backups"))["agents"]
    assert listed["backups"] == [backup]
    one = {"agent": "flow", "backup_id": backup["backup_id"]}
    assert len(await ask("GET", backups + "/{backup_id}/file", **one)) == backup["size_bytes"]
    missing = await server.client.get("/api/agents/flow/backups/20000101T000000Z-1/file")
    assert missing.status_code == 404
    document.check("GET", backups + "/{backup_id}/file", missing)
    refused = await server.client.post(f"/api/agents/flow/backups/{backup['backup_id']}/restore", json={"confirm": "x"})
    assert refused.status_code == 400
    async with stream(server, f"flow={found['run']['last_sequence']}") as events:
        assert await ask("POST", backups + "/{backup_id}/restore", body={"confirm": "flow"}, **one) == {
            "backup": backup
        }
        assert "restored" in (await next_of(events, "resync")).data

    await ask("GET", "/api/openapi.json")
    operations = [each["operationId"] for path in document.document["paths"].values() for each in path.values()]
    assert set(operations) - document.seen == {"answer", "stream"}  # the one refused above, the other tested by itself
