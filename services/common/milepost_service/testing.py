"""Starts a Milepost process for a test: real entry point, real port, log kept in a file."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServiceProcess:
    """One process of `package.main:main`; `environment` adds to this process's own."""

    def __init__(self, package: str, log: Path, environment: Mapping[str, str]) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.log = log
        code = f"from {package}.main import main; main()"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={**os.environ, "MILEPOST_LISTEN": self.target, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_serving(self, timeout: float = 60.0) -> None:
        """Returns when the health service says SERVING; AssertionError with the log when the process ends before."""
        deadline = time.monotonic() + timeout
        with grpc.insecure_channel(self.target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise AssertionError(f"exit code {self.process.returncode}: {self.log.read_text()}")
                with contextlib.suppress(grpc.RpcError):
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                time.sleep(0.02)
        raise AssertionError(f"not serving after {timeout} s: {self.log.read_text()}")

    def wait_exit(self, timeout: float = 30.0) -> tuple[int, str]:
        """Exit code and everything it wrote."""
        return self.process.wait(timeout), self.log.read_text()

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if it is not heard; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def running(package: str, log: Path, environment: Mapping[str, str]) -> Iterator[ServiceProcess]:
    """A process that is SERVING, stopped at the end."""
    service = ServiceProcess(package, log, environment)
    try:
        service.wait_serving()
        yield service
    finally:
        service.stop()
