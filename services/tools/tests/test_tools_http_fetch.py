"""httpFetch against a real HTTP server: what it may reach, and how much it takes."""

import asyncio
import gzip
import socket
import threading
import tracemalloc
import uuid
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import grpc.aio
import pytest
from pydantic import ValidationError

from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_crds import HttpFetch as HttpFetchSpec
from milepost_service.channels import open_channel
from milepost_service.errors import ConfigurationError
from milepost_service.metadata import call_metadata
from milepost_service.testing import free_port, running
from milepost_tools.errors import ToolError
from milepost_tools.fetching.allow_list import AllowedAddresses
from milepost_tools.fetching.body import MAX_BYTES
from milepost_tools.fetching.http_fetch import MAX_REDIRECTS, HttpFetch
from milepost_tools.fetching.pinned_transport import Resolve
from milepost_tools.tool import MAX_RESULT_CHARACTERS

LOOPBACK = ["127.0.0.0/8"]
SERVICE = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {{name: desk}}
spec:
  capabilities: [tools]
  tools:
    builtIn: [httpFetch]
    httpFetch: {{allowedHosts: ["127.0.0.1:{port}"], privateNetworks: [127.0.0.0/8]}}
    modelRef: {{name: smollm2}}
"""


class Site(BaseHTTPRequestHandler):
    """Answers by path; `asked` is what it was asked for, as (Host header, path)."""

    asked: ClassVar[list[tuple[str, str]]] = []
    released = threading.Event()

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        path, _, query = self.path.partition("?")
        getattr(self, f"_{path.strip('/').replace('-', '_')}")(query)

    def _answer(self, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _text(self, query: str) -> None:
        self._answer("Grüße".encode("latin-1"), "text/plain; charset=latin-1")

    def _json(self, query: str) -> None:
        self._answer(gzip.compress(b'{"answer": 42}'), "application/json", Content_Encoding="gzip")

    def _to(self, query: str) -> None:
        self.send_response(302)
        self.send_header("Location", query)
        self.end_headers()

    def _image(self, query: str) -> None:
        self._answer(b"\x89PNG", "image/png")

    def _missing(self, query: str) -> None:
        self.send_error(404)

    def _announced(self, query: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(100 * MAX_BYTES))
        self.end_headers()
        self.wfile.write(b"x")

    def _endless(self, query: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        try:
            while not self.released.is_set():
                self.wfile.write(b"x" * 65_536)
        except OSError:
            return

    def _bomb(self, query: str) -> None:
        self._answer(BOMB, Content_Encoding="gzip")

    def _brotli(self, query: str) -> None:
        self._answer(b"x", Content_Encoding="br")

    def _no_gzip(self, query: str) -> None:
        self._answer(b"plain text", Content_Encoding="gzip")

    def _large(self, query: str) -> None:
        self._answer(b"y" * (MAX_RESULT_CHARACTERS + 5))

    def _slow(self, query: str) -> None:
        self.released.wait()

    def log_request(self, *_: Any) -> None:
        pass


BOMB = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=1)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    Site.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(port: int, *hosts: str, networks: Sequence[str] = LOOPBACK, **others: Any) -> HttpFetch:
    listed = hosts or (f"site.example:{port}", f"127.0.0.1:{port}")
    return HttpFetch(HttpFetchSpec(allowed_hosts=list(listed), private_networks=list(networks)), **others)


def resolving(*answers: Sequence[str]) -> Resolve:
    """A name server that gives one answer after another, then none."""
    left = list(answers)

    async def resolve(host: str) -> Sequence[str]:
        if not left:
            raise socket.gaierror("no more answers")
        return left.pop(0)

    return resolve


async def refusal(tool: HttpFetch, url: str) -> str:
    with pytest.raises(ToolError) as refused:
        await tool.call({"url": url}, "")
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("Read https://example.org/a?b=1, then (http://b.org).", ["https://example.org/a?b=1", "http://b.org"]),
        ("https://a.org https://a.org", ["https://a.org"]),
        ("ftp://a.org and www.example.org", []),
        (" ".join(f"https://a.org/{number}" for number in range(9)), [f"https://a.org/{n}" for n in range(4)]),
    ],
)
def test_the_urls_of_a_text_are_found(text: str, urls: list[str]) -> None:
    assert [call["url"] for call in fetch(1).calls_for(text)] == urls


@pytest.mark.requirement("TLS-1")
@pytest.mark.parametrize(("path", "expected"), [("text", "Grüße"), ("json", '{"answer": 42}')])
async def test_a_text_is_fetched_unpacked_and_decoded(port: int, path: str, expected: str) -> None:
    outcome = await fetch(port).call({"url": f"http://127.0.0.1:{port}/{path}"}, "")
    assert outcome.result == expected
    assert outcome.line.startswith(f"http://127.0.0.1:{port}/{path} (")


async def test_a_long_text_is_cut_and_says_so(port: int) -> None:
    result = (await fetch(port).call({"url": f"http://127.0.0.1:{port}/large"}, "")).result
    assert result == f"{'y' * MAX_RESULT_CHARACTERS}\n[cut after 32768 of 32773 characters]"


@pytest.mark.requirement("SEC-2", "TLS-1")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://other.example:{port}/", "other.example:{port} is not in the list; allowed: *.site.example"),
        ("http://site.example:{port}/", "site.example:{port} is not in the list"),
        ("http://notsite.example/", "notsite.example is not in the list"),
        ("http://a.site.example:81/", "a.site.example:81 is not in the list"),
        ("http://a:b@a.site.example/", "a user name or password is not fetched"),
        ("file:///etc/passwd", "is no URL to fetch; allowed: http:// and https://"),
        ("http://[::1]:{port}/", "[::1]:{port} is not in the list"),
        ("http://2130706433:{port}/", "2130706433:{port} is not in the list"),
        ("http://[", "%5B is not in the list"),
        (f"http://{'a' * 3_000}.example/", "is not in the list"),
    ],
)
async def test_what_is_not_in_the_list_is_refused_before_any_connection(port: int, url: str, expected: str) -> None:
    tool = fetch(port, "*.site.example", resolve=resolving())
    assert expected.format(port=port) in await refusal(tool, url.format(port=port))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
@pytest.mark.requirement("SEC-2", "TLS-1")
async def test_a_name_of_an_address_that_is_not_public_is_refused(port: int, address: str) -> None:
    before = len(Site.asked)
    tool = fetch(port, networks=[], resolve=resolving([address]))
    assert f"site.example has the address {address}, which is not public" in await refusal(
        tool, f"http://site.example:{port}/text"
    )
    assert len(Site.asked) == before


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert AllowedAddresses([]).allow(address)


@pytest.mark.requirement("SEC-2", "TLS-1")
async def test_the_connection_goes_to_the_address_that_was_checked(port: int) -> None:
    """A name that means another address a moment later is asked for once only."""
    tool = fetch(port, resolve=resolving(["10.0.0.1", "127.0.0.1"], ["10.0.0.1"]))
    outcome = await tool.call({"url": f"http://site.example:{port}/text"}, "")
    assert outcome.result == "Grüße"
    assert Site.asked[-1] == (f"site.example:{port}", "/text")
    assert "10.0.0.1, which is not public" in await refusal(tool, f"http://site.example:{port}/text")


@pytest.mark.requirement("SEC-2", "TLS-1")
@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://other.example/", "other.example is not in the list"),
        ("http://inner.example:{port}/text", "inner.example has the address 10.0.0.9, which is not public"),
        ("http://a:b@site.example:{port}/text", "a user name or password"),
        ("file:///etc/passwd", "file"),
    ],
)
async def test_a_redirect_is_checked_like_the_url_itself(port: int, location: str, expected: str) -> None:
    hosts = (f"site.example:{port}", f"inner.example:{port}")
    tool = fetch(port, *hosts, resolve=resolving(["127.0.0.1"], ["10.0.0.9"]))
    url = f"http://site.example:{port}/to?{location.format(port=port)}"
    assert expected in await refusal(tool, url)


async def test_a_redirect_within_the_list_is_followed_and_many_are_not(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    assert (await fetch(port).call({"url": f"{base}/to?/text"}, "")).result == "Grüße"
    endless = "/to?" * (MAX_REDIRECTS + 1) + "/text"
    assert f"more than {MAX_REDIRECTS} redirects" in await refusal(fetch(port), f"{base}{endless}")


@pytest.mark.requirement("SEC-2", "TLS-1")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("announced", f"has more than {MAX_BYTES} bytes"),
        ("endless", f"has more than {MAX_BYTES} bytes"),
        ("bomb", f"has more than {MAX_BYTES} bytes"),
        ("brotli", "is packed by br; allowed: gzip"),
        ("no-gzip", "is packed, and not by gzip as it says"),
        ("image", "is image/png; allowed: text, HTML, JSON"),
        ("missing", "answered 404 Not Found"),
    ],
)
async def test_what_is_too_large_or_no_text_is_one_line(port: int, path: str, expected: str) -> None:
    tracemalloc.start()
    try:
        assert expected in await refusal(fetch(port), f"http://127.0.0.1:{port}/{path}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024, "a bomb of 200 MiB was unpacked"


async def test_one_who_ends_the_call_ends_a_slow_fetch(port: int) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await fetch(port).call({"url": f"http://127.0.0.1:{port}/slow"}, "")


async def test_a_server_that_is_not_there_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "cannot be fetched: " in await refusal(fetch(port), f"http://127.0.0.1:{port}/")
    assert "has no address" in await refusal(fetch(80, "site.example", resolve=resolving()), "http://site.example/")


@pytest.mark.requirement("DUR-3", "TLS-1")
async def test_a_step_that_comes_again_makes_no_completed_call_twice(port: int, tmp_path: Path) -> None:
    """The verdict needs a model, which is away: the step fails after its tool was called, and comes again."""
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE.format(port=port))
    environment = {"MILEPOST_SERVICE_FILE": str(file), "MILEPOST_MODEL_TARGET": f"127.0.0.1:{free_port()}"}
    host, path = f"127.0.0.1:{port}", f"/json?{tmp_path.name}"
    with running("milepost_tools", tmp_path / "tools.log", environment) as service:
        async with open_channel(service.target) as channel:
            stub: Any = capability_pb2_grpc.CapabilityServiceStub(channel)

            async def invoke(call_id: str, *verdicts: str) -> capability_pb2.InvokeResult:
                request = capability_pb2.InvokeRequest(prompt=f"Read http://{host}{path}", verdicts=verdicts)
                metadata = call_metadata(call_id=call_id, owner=str(uuid.uuid5(uuid.NAMESPACE_URL, "a")), epoch=1)
                answers = [answer async for answer in stub.Invoke(request, timeout=60, metadata=metadata)]
                result: capability_pb2.InvokeResult = answers[-1].result
                return result

            for _ in range(2):
                with pytest.raises(grpc.aio.AioRpcError) as away:
                    await invoke("task/0", "yes", "no")
                assert away.value.code() == grpc.StatusCode.UNAVAILABLE
            assert Site.asked.count((host, path)) == 1
            (call,) = (await invoke("task/1")).tool_calls
            assert (call.name, call.result) == ("httpFetch", '{"answer": 42}')
            assert Site.asked.count((host, path)) == 2


def test_networks_are_checked_by_the_manifest_and_again_by_the_process() -> None:
    with pytest.raises(ValidationError, match="private_networks"):
        HttpFetchSpec(allowed_hosts=["a.org"], private_networks=["10.0.0.256/8"])
    with pytest.raises(ConfigurationError, match=r"::1/129 is no network; allowed: CIDR"):
        fetch(1, networks=["::1/129"])
