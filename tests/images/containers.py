"""Starts the images under test the way a restricted pod does, and looks into them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from image_layers import ROLES, Role

ROOT = Path(__file__).resolve().parent.parent.parent
TAG = (
    os.environ.get("MILEPOST_IMAGES_TAG") or tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
)
RESTRICTED = (
    *("--read-only", "--user", "10001:10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "none", "--tmpfs", "/tmp"),
)
BY_TARGET = {role.target: role for role in ROLES}
IS_SERVING = """
import grpc, sys
from grpc_health.v1 import health_pb2, health_pb2_grpc
stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(sys.argv[1]))
print(stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status)
"""


def require_docker() -> None:
    """Skips the test where there is no Docker; an image that is not built fails it."""
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True).returncode != 0:
        pytest.skip("no Docker engine answers")


def image_of(role: Role) -> str:
    return f"{role.image}:{TAG}"


def docker(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)


def inspected(image: str) -> dict[str, Any]:
    done = docker("image", "inspect", image)
    assert done.returncode == 0, f"{image} is not here; run `make images`"
    found = json.loads(done.stdout)[0]
    assert isinstance(found, dict)
    return found


def look_inside(image: str, code: str, *arguments: str, python: str = "python") -> Any:
    """What `code`, run by the image's Python, prints as JSON."""
    done = docker("run", "--rm", *RESTRICTED, "--entrypoint", python, image, "-c", code, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


class Container:
    """One running container of an image, restricted like a pod."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def log(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    @property
    def state(self) -> dict[str, Any]:
        found = json.loads(docker("container", "inspect", self.name).stdout)[0]["State"]
        assert isinstance(found, dict)
        return found

    def python(self, code: str, *arguments: str) -> str:
        done = docker("exec", self.name, "python", "-c", code, *arguments)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.log}"
        return done.stdout.strip()

    def wait_serving(self, port: int, timeout: float = 90) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            assert self.state["Running"], self.log
            done = docker("exec", self.name, "python", "-c", IS_SERVING, f"127.0.0.1:{port}")
            if done.returncode == 0 and done.stdout.strip() == "1":
                return
            time.sleep(0.3)
        raise AssertionError(f"{self.name} does not serve after {timeout} s: {self.log}")

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        docker("stop", "--time", "30", self.name)
        return int(self.state["ExitCode"])


@contextmanager
def started(
    role: Role,
    environment: Mapping[str, str],
    *,
    files: Mapping[str, Path] | None = None,
    writable: Sequence[str] = (),
) -> Iterator[Container]:
    """A container of `role`; `files` are mounted read-only, `writable` folders belong to the image's user."""
    options = [*RESTRICTED, *(part for name, value in environment.items() for part in ("--env", f"{name}={value}"))]
    for target, source in (files or {}).items():
        options += ["--volume", f"{source}:{target}:ro"]
    for folder in writable:
        options += ["--tmpfs", f"{folder}:uid=10001,gid=10001,mode=0750"]
    name = f"milepost-test-{role.target}-{os.getpid()}"
    done = docker("run", "--detach", "--name", name, *options, image_of(role))
    try:
        assert done.returncode == 0, done.stderr
        yield Container(name)
    finally:
        docker("rm", "--force", "--volumes", name)
