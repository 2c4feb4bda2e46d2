"""`milepost ui` in a cluster: which gateway is found, how it is reached, and what is said when it is not."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cli_fake_cluster import NAMESPACE, FakeApi, FakeDialer, condition
from cli_process import LIMIT, Milepost

from milepost_cli.cluster import gateway_page
from milepost_cli.cluster.errors import ClusterError, ForbiddenError, RefusedError
from milepost_cli.cluster.gateway import find_gateway
from milepost_cli.cluster.gateway_page import GatewayPage, show_page

HOME = "milepost-system"
PENDING = {"phase": "Pending", "conditions": [condition("PodScheduled", "False", "Unschedulable", "0/1 nodes")]}


class PodServer:
    """A pod of the gateway: answers every path with its own name."""

    def __init__(self, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.pod("review-loop-0", "review-loop")
    return api


@pytest.fixture
def pods() -> Iterator[dict[str, PodServer]]:
    started = {name: PodServer(name) for name in ("gateway-a", "gateway-b")}
    yield started
    for pod in started.values():
        pod.stop()


@pytest.fixture
def dialer(pods: dict[str, PodServer], monkeypatch: pytest.MonkeyPatch) -> FakeDialer:
    """With short patience, since nothing here comes back by itself."""
    monkeypatch.setattr(gateway_page, "PATIENCE", 1.0)
    return FakeDialer(pods)  # type: ignore[arg-type]


def read(address: str) -> str:
    with urllib.request.urlopen(address.partition("#")[0], timeout=LIMIT) as answer:
        return str(answer.read().decode())


@pytest.mark.requirement("CLI-1")
def test_gateway_of_the_namespace_comes_first_and_the_only_one_of_the_cluster_next(api: FakeApi) -> None:
    api.gateway("gateway-a")
    assert find_gateway(api, NAMESPACE).namespace == HOME
    api.gateway("gateway-b", namespace=NAMESPACE, prefix="/tools/")
    here = find_gateway(api, NAMESPACE)
    assert (here.namespace, here.prefix, here.port, here.key) == (NAMESPACE, "tools", 8400, "token")
    with pytest.raises(ClusterError, match=f"namespace other holds no gateway; .* allowed: -n with one of {HOME}, tea"):
        find_gateway(api, "other")


@pytest.mark.requirement("CLI-1")
def test_cluster_without_a_gateway_is_told_in_one_line(api: FakeApi) -> None:
    with pytest.raises(ClusterError, match="no gateway in namespace team, nor in another; the chart installs one"):
        find_gateway(api, NAMESPACE)
    api.forbidden = {"/api/v1/pods"}
    with pytest.raises(ClusterError, match="namespace team holds no gateway, and you may not look into others; allow"):
        find_gateway(api, NAMESPACE)


@pytest.mark.requirement("CLI-1")
def test_page_is_led_to_whichever_pod_is_ready(
    api: FakeApi, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost_cli.cluster.gateway.LOOK_EVERY", 0.0)
    api.gateway("gateway-a")
    api.secret(token="first\nsecond")
    with GatewayPage(api, dialer, find_gateway(api, NAMESPACE)) as page:
        address = page.address()
        assert address.startswith("http://127.0.0.1:")
        assert address.endswith("/#token=first")
        assert read(address) == "gateway-a"
        api.gateway("gateway-a", **PENDING)
        api.gateway("gateway-b")
        assert read(address) == "gateway-b"
    with pytest.raises(OSError, match="refused"):
        read(address)


@pytest.mark.requirement("CLI-1", "SEC-1")
def test_token_that_may_not_be_read_leaves_a_page_that_changes_nothing(
    api: FakeApi, dialer: FakeDialer, capsys: pytest.CaptureFixture[str]
) -> None:
    api.gateway("gateway-a", prefix="/tools")
    with GatewayPage(api, dialer, find_gateway(api, NAMESPACE)) as page:
        assert page.address().endswith("/tools/")
        assert "Secret milepost-system/milepost-gateway holds no token under the key token" in capsys.readouterr().err
        api.forbidden = {f"/api/v1/namespaces/{HOME}/secrets/milepost-gateway"}
        assert "#" not in page.address()
        told = capsys.readouterr().err
    assert told == (
        "milepost: the token in Secret milepost-system/milepost-gateway may not be read by you; "
        "without it the page shows everything and changes nothing\n"
    )


@pytest.mark.requirement("CLI-1")
def test_gateway_that_is_not_there_says_why(api: FakeApi, dialer: FakeDialer) -> None:
    api.gateway("gateway-a", **PENDING)
    gateway = find_gateway(api, NAMESPACE)
    with pytest.raises(ClusterError, match=r"no pod of the gateway in .* is ready: gateway-a: Pending: Unschedulable"):
        GatewayPage(api, dialer, gateway).__enter__()
    api.gateway("gateway-a")
    dialer.refusal = RefusedError('cannot create resource "pods/portforward"', 403)
    with pytest.raises(ForbiddenError, match="403: cannot create resource"):
        GatewayPage(api, dialer, gateway).__enter__()


@pytest.mark.requirement("CLI-1")
def test_command_prints_the_address_alone_and_ends_well_with_ctrl_c(
    api: FakeApi, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def interrupted(_: GatewayPage) -> None:
        seen.append(read(capsys.readouterr().out.strip()))
        raise KeyboardInterrupt

    monkeypatch.setattr(GatewayPage, "stay", interrupted)
    api.gateway("gateway-a")
    api.secret(token="secret")
    assert show_page(api, dialer, find_gateway(api, NAMESPACE), opening=False) == 0
    assert seen == ["gateway-a"]


@pytest.mark.requirement("CLI-1")
def test_gateway_that_goes_and_comes_back_meanwhile_is_told(
    api: FakeApi, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("milepost_cli.cluster.gateway.LOOK_EVERY", 0.0)
    monkeypatch.setattr(gateway_page, "LOOK_EVERY", 0.05)
    api.gateway("gateway-a")
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        if "again" in text:
            raise KeyboardInterrupt
        api.gateway("gateway-b")

    monkeypatch.setattr(gateway_page, "write_note", hear)
    with GatewayPage(api, dialer, find_gateway(api, NAMESPACE)) as page:
        api.gateway("gateway-a", **PENDING)
        with pytest.raises(OSError):
            read(f"http://127.0.0.1:{page.port}/")
        with pytest.raises(KeyboardInterrupt):
            page.stay()
    away, back = told
    assert "cannot be reached now: no pod of the gateway" in away
    assert back == "the gateway is reached again"


@pytest.mark.requirement("CLI-1")
def test_ui_of_a_cluster_without_a_kubeconfig_is_one_line(milepost: Milepost, tmp_path: Path) -> None:
    done = milepost("ui", "-n", "team", "--kubeconfig", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"milepost: {tmp_path / 'none'}: there is no kubeconfig")
    assert done.stderr.count("\n") == 1
