"""Answers of an API server, over HTTP, as the operator understands them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes import client

from milepost_operator.api_cluster import ApiCluster
from milepost_operator.cluster import CONFIG_MAP, MODEL_SERVICE, ApiError


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answers: dict[str, tuple[int, dict[str, str], bytes]]
    requests: list[tuple[str, str, dict[str, str], bytes]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        status, headers, content = self.server.answers[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PATCH = do_POST = do_DELETE = respond  # noqa: N815 the base class calls them so

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.answers, made.requests = {}, []
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def cluster_at(port: int, counted: list[tuple[str, str]] | None = None) -> ApiCluster:
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    configuration.api_key["BearerToken"] = "Bearer secret"
    return ApiCluster(
        configuration, parallel=2, count=lambda *found: (counted if counted is not None else []).append(found)
    )


def status(code: int, reason: str, message: str, **details: Any) -> bytes:
    return json.dumps(
        {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    ).encode()


CASES = [
    (409, {}, status(409, "Conflict", "was modified"), "Conflict", True, None),
    (422, {}, status(422, "Invalid", "spec.x: Invalid\nvalue"), "Invalid", False, None),
    (403, {}, status(403, "Forbidden", "may not"), "Forbidden", False, None),
    (429, {"Retry-After": "4"}, status(429, "TooManyRequests", "slow down"), "TooManyRequests", True, 4.0),
    (500, {}, status(500, "InternalError", "etcd", retryAfterSeconds=2), "InternalError", True, 2.0),
    (502, {}, b"<html>bad gateway</html>", "Unknown", True, None),
    (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", "Unknown", True, None),
]


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(
    ("code", "headers", "body", "reason", "retriable", "after"), CASES, ids=lambda value: str(value)[:3]
)
async def test_refusals_are_typed(
    code: int, headers: Any, body: bytes, reason: str, retriable: bool, after: float | None, server: Server
) -> None:
    server.answers["/api/v1/namespaces/ns/configmaps/a"] = (code, headers, body)
    counted: list[tuple[str, str]] = []
    cluster = cluster_at(server.server_port, counted)
    with pytest.raises(ApiError) as refused:
        await cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}})
    error = refused.value
    assert (error.code, error.reason, error.retriable, error.retry_after) == (code, reason, retriable, after)
    assert error.message
    assert "\n" not in error.message
    assert counted == [(str(code), "PATCH")]
    assert len(server.requests) == 1
    cluster.close()


async def test_a_namespace_that_goes_away_is_known_by_its_cause(server: Server) -> None:
    body = status(403, "Forbidden", "is being terminated", causes=[{"reason": "NamespaceTerminating"}])
    server.answers["/api/v1/namespaces/ns/configmaps/a"] = (403, {}, body)
    cluster = cluster_at(server.server_port)
    with pytest.raises(ApiError) as refused:
        await cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}})
    assert refused.value.namespace_is_terminating
    cluster.close()


async def test_a_server_that_is_not_there_is_no_answer(server: Server) -> None:
    server.server_close()
    cluster = cluster_at(server.server_port)
    with pytest.raises(ApiError) as refused:
        await cluster.get(CONFIG_MAP, "ns", "a")
    assert (refused.value.code, refused.value.retriable) == (0, True)
    assert "does not answer" in refused.value.message
    cluster.close()


@pytest.mark.requirement("OPR-1")
async def test_writes_are_forced_server_side_applies_of_one_field_manager(server: Server) -> None:
    path = "/apis/milepost.dev/v1alpha1/namespaces/ns/modelservices/a/status"
    server.answers[path] = (200, {}, b"{}")
    cluster = cluster_at(server.server_port)
    body = {
        "apiVersion": MODEL_SERVICE.api_version,
        "kind": "ModelService",
        "metadata": {"name": "a", "namespace": "ns"},
    }
    await cluster.apply_status(body | {"status": {"replicas": 1}})
    ((method, asked, headers, sent),) = server.requests
    assert (method, asked) == ("PATCH", f"{path}?fieldManager=milepost-operator&force=true")
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert headers["authorization"] == "Bearer secret"
    assert json.loads(sent)["status"] == {"replicas": 1}
    cluster.close()


@pytest.mark.requirement("OPR-1")
@pytest.mark.parametrize(("code", "force"), [(201, False), (200, True)])
async def test_an_apply_tells_whether_it_created_and_takes_over_only_when_told(
    code: int, force: bool, server: Server
) -> None:
    server.answers["/api/v1/namespaces/ns/configmaps/a"] = (code, {}, b"{}")
    cluster = cluster_at(server.server_port)
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}}
    assert (await cluster.apply(manifest, force=force)).created == (code == 201)
    assert server.requests[0][1].endswith(f"&force={str(force).lower()}")
    cluster.close()


async def test_a_deletion_is_of_that_very_object_and_one_that_is_gone_is_fine(server: Server) -> None:
    server.answers["/api/v1/namespaces/ns/configmaps/a"] = (404, {}, status(404, "NotFound", "gone"))
    cluster = cluster_at(server.server_port)
    await cluster.delete(CONFIG_MAP, "ns", "a", "uid-1")
    assert json.loads(server.requests[0][3])["preconditions"] == {"uid": "uid-1"}
    assert await cluster.get(CONFIG_MAP, "ns", "a") is None
    cluster.close()


async def test_a_long_listing_comes_in_pages(server: Server) -> None:
    page = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "a"}}]}
    server.answers["/api/v1/configmaps"] = (200, {}, json.dumps(page).encode())
    cluster = cluster_at(server.server_port)
    found = [page async for page in cluster.pages(CONFIG_MAP, None, labels="a=b")]
    assert [item["kind"] for item in found[0].items] == ["ConfigMap"]
    assert found[0].resource_version == "9"
    assert "limit=200" in server.requests[0][1]
    assert "labelSelector=a%3Db" in server.requests[0][1]
    cluster.close()


async def test_a_listing_of_names_alone_asks_in_words_that_the_api_server_knows(server: Server) -> None:
    page = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "a"}}]}
    server.answers["/api/v1/configmaps"] = (200, {}, json.dumps(page).encode())
    cluster = cluster_at(server.server_port)
    assert [page async for page in cluster.pages(CONFIG_MAP, None, whole=False)]
    # An API server that does not know the version answers 406.
    assert server.requests[0][2]["Accept"] == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    cluster.close()


async def test_credentials_are_asked_for_again_once_they_are_refused(server: Server) -> None:
    path = "/api/v1/namespaces/ns/configmaps/a"
    server.answers[path] = (200, {}, b"{}")
    tokens = iter(("one", "two"))
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    configuration.api_key["BearerToken"] = "none"
    configuration.refresh_api_key_hook = lambda found: found.api_key.update(BearerToken=f"Bearer {next(tokens)}")
    cluster = ApiCluster(configuration, parallel=2)
    for code in (200, 401, 200):
        server.answers[path] = (code, {}, b"{}" if code == 200 else status(401, "Unauthorized", "who are you"))
        with suppress(ApiError):
            await cluster.get(CONFIG_MAP, "ns", "a")
    sent = [headers["authorization"] for _, _, headers, _ in server.requests]
    assert sent == ["Bearer one", "Bearer one", "Bearer two"]
    cluster.close()


async def test_requests_go_side_by_side(server: Server) -> None:
    server.answers["/api/v1/namespaces/ns/configmaps/a"] = (200, {}, b"{}")
    cluster = cluster_at(server.server_port)
    await asyncio.gather(*(cluster.get(CONFIG_MAP, "ns", "a") for _ in range(20)))
    assert len(server.requests) == 20
    cluster.close()
