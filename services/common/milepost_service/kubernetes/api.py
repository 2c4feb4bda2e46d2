"""List and watch of the labelled objects of one kind."""

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import httpx

from milepost_service.kubernetes.access import ApiAccess
from milepost_service.kubernetes.errors import ApiUnavailable, WatchExpired

PAGE = 250
CONNECT_SECONDS = 5.0
LIST_SECONDS = 30.0
WATCH_SECONDS = 240
SILENCE_SECONDS = 90.0
"""A watch in which the server says nothing for so long, not even a bookmark (one a minute), is dead."""

Object = Mapping[str, Any]


class ListedApi:
    """List and watch of one path over one connection pool."""

    def __init__(self, access: ApiAccess, client: httpx.AsyncClient, path: str, selector: str) -> None:
        self._access = access
        self._client = client
        self._path = path
        self._selector = selector

    @classmethod
    @asynccontextmanager
    async def open(cls, access: ApiAccess, path: str, selector: str) -> AsyncIterator["ListedApi"]:
        """`path` is that of a list, for example /api/v1/pods.

        Raises:
            ApiUnavailable: the certificate of the cluster cannot be read.
        """
        timeout = httpx.Timeout(LIST_SECONDS, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(
            base_url=access.base_url, verify=_trust(access), timeout=timeout, trust_env=False
        ) as client:
            yield cls(access, client, path, selector)

    async def list(self) -> tuple[Sequence[Object], str]:
        """All objects of the selector, and the version to watch from. Raises ApiUnavailable, WatchExpired."""
        items: list[Object] = []
        page = ""
        while True:
            parameters = {"labelSelector": self._selector, "limit": str(PAGE)} | ({"continue": page} if page else {})
            with _one_error():
                response = await self._client.get(self._path, params=parameters, headers=self._headers())
                _check(response.status_code, response.content)
                body = response.json()
                items += body["items"]
                page = body["metadata"].get("continue", "")
            if not page:
                return items, str(body["metadata"]["resourceVersion"])

    @asynccontextmanager
    async def watch(self, version: str) -> AsyncIterator[AsyncIterator[tuple[str, Object]]]:
        """(ADDED, MODIFIED, DELETED or BOOKMARK, object) until the server ends the watch, as it does now and then.

        Entered when the server has agreed to it. Raises ApiUnavailable, WatchExpired.
        """
        parameters = {
            "labelSelector": self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        with _one_error():
            async with self._client.stream(
                "GET", self._path, params=parameters, headers=self._headers(), timeout=timeout
            ) as response:
                if response.status_code != httpx.codes.OK:
                    _check(response.status_code, await response.aread())
                async with aclosing(_events(response)) as events:
                    yield events

    def _headers(self) -> dict[str, str]:
        # Read for every request: kubelet renews the token in place.
        try:
            return {"Authorization": f"Bearer {self._access.token_file.read_text().strip()}"}
        except OSError as error:
            raise ApiUnavailable(f"{self._access.token_file}: {error.strerror}") from error


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever goes wrong on the way or in the answer means the same: the API cannot be used now."""
    try:
        yield
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ApiUnavailable(f"{type(error).__name__}: {error}".rstrip(": ")) from error


async def _events(response: httpx.Response) -> AsyncGenerator[tuple[str, Object], None]:
    async for line in response.aiter_lines():
        if line.strip():
            yield _event(json.loads(line))


def _trust(access: ApiAccess) -> ssl.SSLContext | bool:
    if not access.base_url.startswith("https://"):
        return False
    try:
        return ssl.create_default_context(cafile=str(access.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ApiUnavailable(f"{access.ca_file}: {error.strerror or error}") from error


def _event(event: Mapping[str, Any]) -> tuple[str, Object]:
    kind, found = str(event["type"]), event["object"]
    if kind == "ERROR":
        _refuse(int(found.get("code", 0)), str(found.get("message", "")))
    return kind, found


def _check(status: int, body: bytes) -> None:
    if status == httpx.codes.OK:
        return
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:200].decode(errors="replace")
    _refuse(status, message)


def _refuse(code: int, message: str) -> None:
    if code == httpx.codes.GONE:
        raise WatchExpired(message)
    raise ApiUnavailable(f"HTTP {code}: {message}")
