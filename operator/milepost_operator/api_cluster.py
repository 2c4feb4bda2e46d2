"""Cluster on the official client: its authentication, TLS and connection pool; JSON goes through untouched."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from milepost_operator.cluster import NEW_EVENT, TYPES, ApiError, Applied, Listing, ResourceType
from milepost_operator.errors import ConfigurationError
from milepost_operator.names import FIELD_MANAGER
from milepost_operator.observation import Object

TIMEOUT_SECONDS = 30.0
CREDENTIALS_SECONDS = 5.0
"""Asking the official client for them costs a quarter of a request."""
PAGE_SIZE = 200
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

CountRequest = Callable[[str, str], None]
"""Is told the HTTP status ("<error>" without one) and the method of every request."""


def load_configuration() -> client.Configuration:
    """From the service account inside a pod, else from KUBECONFIG or its default place."""
    configuration = client.Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and _SERVICE_ACCOUNT.exists():
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(client_configuration=configuration)
    except config.ConfigException as error:
        line = " ".join(str(error).split())
        raise ConfigurationError(f"KUBECONFIG: {line}; allowed: a kubeconfig file, or to run in a pod") from None
    return configuration


class ApiCluster:
    """A real API server. At most `parallel` requests are under way at once, each on a thread of its own."""

    def __init__(
        self, configuration: client.Configuration, *, parallel: int, count: CountRequest = lambda code, method: None
    ) -> None:
        configuration.connection_pool_maxsize = parallel
        configuration.retries = False
        if not configuration.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._client = client.ApiClient(configuration)
        self._host: str = configuration.host.rstrip("/")
        self._count = count
        self._known_credentials: dict[str, str] = {}
        self._credentials_due = 0.0
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="api")

    @property
    def host(self) -> str:
        """Address of the API server."""
        return self._host

    def close(self) -> None:
        """Ends the threads and connections; requests that have not begun are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def get(self, type_: ResourceType, namespace: str | None, name: str) -> Object | None:
        try:
            return await self._request("GET", type_.path(namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def pages(
        self, type_: ResourceType, namespace: str | None, *, labels: str = "", fields: str = "", whole: bool = True
    ) -> AsyncIterator[Listing]:
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(PAGE_SIZE), "continue": ""}
        while True:
            given = {key: value for key, value in query.items() if value}
            path = f"{type_.path(namespace)}?{urlencode(given)}"
            page = await self._request("GET", path, accept=_JSON if whole else _METADATA)
            items = page.pop("items", None) or []
            for item in items:
                item["apiVersion"], item["kind"] = type_.api_version, type_.kind
            yield Listing(items, page["metadata"].get("resourceVersion", ""))
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def apply(self, manifest: Object, *, force: bool = True) -> Applied:
        return await self._apply(manifest, None, force)

    async def apply_status(self, manifest: Object) -> Object:
        return (await self._apply(manifest, "status", True)).found

    async def _apply(self, manifest: Object, subresource: str | None, force: bool) -> Applied:
        metadata = manifest["metadata"]
        type_ = TYPES[manifest["apiVersion"], manifest["kind"]]
        path = type_.path(metadata["namespace"], metadata["name"], subresource)
        query = f"fieldManager={FIELD_MANAGER}&force={str(force).lower()}"
        code, found = await self._answer("PATCH", f"{path}?{query}", manifest, _APPLY)
        return Applied(found, code == HTTPStatus.CREATED)

    async def delete(self, type_: ResourceType, namespace: str, name: str, uid: str) -> None:
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", type_.path(namespace, name), options)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    async def emit(self, event: Object) -> None:
        await self._request("POST", NEW_EVENT.path(event["metadata"]["namespace"]), event)

    async def served_versions(self, group: str) -> Sequence[str]:
        try:
            found = await self._request("GET", f"/apis/{group}")
        except ApiError as error:
            if error.code == 404:
                return ()
            raise
        return [version["version"] for version in found["versions"]]

    async def _request(
        self, method: str, path: str, body: Object | None = None, content_type: str = _JSON, accept: str = _JSON
    ) -> dict[str, Any]:
        return (await self._answer(method, path, body, content_type, accept))[1]

    async def _answer(
        self, method: str, path: str, body: Object | None = None, content_type: str = _JSON, accept: str = _JSON
    ) -> tuple[int | str, dict[str, Any]]:
        loop = asyncio.get_running_loop()
        headers = {"Accept": accept, "User-Agent": FIELD_MANAGER, "Content-Type": content_type}
        code, answer = await loop.run_in_executor(self._threads, self._exchange, method, path, body, headers)
        self._count(str(code), method)
        if isinstance(answer, ApiError):
            raise answer
        return code, answer

    def _exchange(
        self, method: str, path: str, body: Object | None, headers: dict[str, str]
    ) -> tuple[int | str, dict[str, Any] | ApiError]:
        try:
            response = self._client.rest_client.pool_manager.request(
                method,
                self._host + path,
                body=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers=headers | self._credentials(),
                timeout=urllib3.Timeout(connect=10.0, total=TIMEOUT_SECONDS),
                redirect=False,
            )
            data = response.data
        except urllib3.exceptions.HTTPError as error:
            return "<error>", ApiError(0, "ConnectionFailed", _connection_problem(error, self._host))
        if response.status == 401:
            self._credentials_due = 0.0
        if 200 <= response.status < 300:
            try:
                return response.status, json.loads(data)
            except ValueError:
                return response.status, ApiError(0, "ConnectionFailed", f"{self._host} did not answer in JSON")
        return response.status, error_from(response.status, data, response.headers)

    def _credentials(self) -> dict[str, str]:
        """Headers by which the API server knows us. The hook behind them renews tokens that expire."""
        now = time.monotonic()
        if now >= self._credentials_due:
            fresh: dict[str, str] = {}
            self._client.update_params_for_auth(fresh, [], ["BearerToken"], "", "GET", None)
            self._known_credentials, self._credentials_due = fresh, now + CREDENTIALS_SECONDS
        return self._known_credentials


def error_from(code: int, data: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error that an answer of the API server, or of a proxy before it, stands for."""
    try:
        status = json.loads(data)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        status = {}
    details = status.get("details") or {}
    after = str(headers.get("Retry-After") or details.get("retryAfterSeconds") or "")
    text = status.get("message") or data.decode(errors="replace")[:300]
    return ApiError(
        code,
        status.get("reason") or "Unknown",
        " ".join(str(text).split()) or f"the API server answered {code}",
        retry_after=float(after) if after.replace(".", "", 1).isdigit() else None,
        causes=[cause.get("reason", "") for cause in details.get("causes") or ()],
    )


def _connection_problem(error: urllib3.exceptions.HTTPError, host: str) -> str:
    inner = getattr(error, "reason", None) or error
    text = " ".join(str(inner).split()).rpartition(": ")[2] or type(inner).__name__
    return f"{host} does not answer: {text[:200]}"
