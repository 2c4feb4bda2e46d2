"""An HTTP proxy before a real API server that counts what passes, and fails on demand."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from kubernetes import client, config

from e2e_waiting import eventually

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?$"
)


@dataclass(frozen=True)
class Passed:
    """One request and how it was answered; `verb` is the one that a role would have to grant."""

    method: str
    path: str
    watch: bool
    status: int
    moment: float

    @property
    def rule(self) -> tuple[str, str, str] | None:
        """API group, resource and verb; None for discovery."""
        found = _PATH.match(self.path)
        if found is None:
            return None
        resource = found["resource"] + (f"/{found['sub']}" if found["sub"] else "")
        verb = _VERBS[self.method]
        if verb == "get" and found["name"] is None:
            verb = "watch" if self.watch else "list"
        return found["group"] or "", resource, verb


@dataclass
class Fault:
    """What happens instead of an answer, to the requests whose method and path match."""

    pattern: str
    methods: frozenset[str] = WRITES
    status: int | None = None
    reason: str = "InternalError"
    message: str = "injected"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0

    def matches(self, request: web.Request) -> bool:
        return request.method in self.methods and re.search(self.pattern, request.path_qs) is not None

    def answer(self) -> web.Response:
        status = {"kind": "Status", "status": "Failure", "code": self.status, "reason": self.reason}
        body = self.body if self.body is not None else json.dumps(status | {"message": self.message}).encode()
        return web.Response(status=self.status or 200, body=body, headers=self.headers, content_type="application/json")


class Proxy:
    """Listens on a loopback port; runs on a thread and loop of its own."""

    def __init__(self, token: str | None = None) -> None:
        configuration = client.Configuration()
        config.load_kube_config(client_configuration=configuration)
        self._upstream = configuration.host.rstrip("/")
        self._own_token = configuration.get_api_key_with_prefix("BearerToken")
        self.token = token
        self._tls = _context(configuration, certified=token is None)
        self.passed: list[Passed] = []
        self.faults: list[Fault] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._streams: set[web.StreamResponse] = set()
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> Proxy:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kubeconfig(self, path: Path) -> Path:
        """Writes a kubeconfig that leads here."""
        cluster = {"server": f"http://127.0.0.1:{self._port}"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": cluster}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def up(self) -> None:
        """Listens (again, on the same port)."""
        self._call(self._listen())

    def down(self) -> None:
        """Closes every connection and listens no more."""
        self._call(self._stop())

    def cut_watches(self) -> None:
        """Breaks off every stream."""
        self._call(self._cut())

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[Fault]:
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def count(self, matches: Callable[[Passed], bool], since: float = 0.0) -> int:
        """Requests since a moment of `time.monotonic`."""
        return sum(matches(each) for each in list(self.passed) if each.moment >= since)

    def writes(self, since: float = 0.0, pattern: str = "") -> int:
        return self.count(lambda each: each.method in WRITES and re.search(pattern, each.path) is not None, since)

    def written(self, since: float = 0.0) -> list[str]:
        """Methods and paths of the writes since a moment."""
        return [
            f"{each.method} {each.path}" for each in list(self.passed) if each.method in WRITES and each.moment >= since
        ]

    def wait_silent(self, seconds: float, within: float) -> None:
        """Until nothing has been written for so long."""
        eventually(
            f"nothing is written for {seconds:.0f} s",
            lambda: self.written(time.monotonic() - seconds),
            lambda written: not written,
            within=seconds + within,
        )

    def rules(self) -> set[tuple[str, str, str]]:
        """What a role would have to grant for all that passed."""
        return {rule for each in list(self.passed) if (rule := each.rule) is not None}

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        application = web.Application(client_max_size=8 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _cut(self) -> None:
        for stream in list(self._streams):
            transport = stream._req.transport if stream._req is not None else None
            if transport is not None:
                transport.abort()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") == "true"
        for fault in list(self.faults):
            if fault.matches(request):
                await asyncio.sleep(fault.delay)
                if fault.status is not None:
                    self._note(request, watch, fault.status)
                    return fault.answer()
        assert self._session is not None
        kept = {"Accept", "Content-Type", "User-Agent"}
        headers = {name: value for name, value in request.headers.items() if name in kept}
        headers["Authorization"] = f"Bearer {self.token}" if self.token else str(self._own_token)
        timeout = aiohttp.ClientTimeout(total=None)
        url, body = self._upstream + request.path_qs, await request.read() or None
        async with self._session.request(request.method, url, data=body, headers=headers, timeout=timeout) as answer:
            self._note(request, watch, answer.status)
            if not watch:
                content = answer.headers.get("Content-Type", "application/json").partition(";")[0]
                return web.Response(status=answer.status, body=await answer.read(), content_type=content)
            stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            self._streams.add(stream)
            try:
                with suppress(ConnectionError):
                    async for chunk in answer.content.iter_any():
                        await stream.write(chunk)
            finally:
                self._streams.discard(stream)
            return stream

    def _note(self, request: web.Request, watch: bool, status: int) -> None:
        self.passed.append(Passed(request.method, request.path, watch, status, time.monotonic()))


def _context(configuration: client.Configuration, *, certified: bool) -> ssl.SSLContext:
    """`certified`: with the client certificate of the kubeconfig, which would win over any token."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certified and configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
