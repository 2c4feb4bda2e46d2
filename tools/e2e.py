"""`make e2e`: the tests marked `cluster`, on the cluster of KUBECONFIG or on a kind cluster made for them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console import ToolError

ROOT = Path(__file__).resolve().parent.parent
KIND_CONFIG = ROOT / "kind-config.yaml"
IMAGE_VARIABLE = "MILEPOST_KIND_IMAGE"


@contextmanager
def kind_cluster() -> Iterator[Path]:
    """Path of the kubeconfig of a new kind cluster, which is deleted at the end. Raises ToolError."""
    if not shutil.which("kind"):
        raise ToolError(
            "KUBECONFIG is not set and kind is not on the PATH: name a cluster by KUBECONFIG or install kind"
        )
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        raise ToolError("KUBECONFIG is not set and kind has no Docker engine that answers")
    name = f"milepost-e2e-{os.getpid()}"
    image = os.environ.get(IMAGE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        create = ["kind", "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait", "120s"]
        create += [
            *(["--image", image] if image else []),
            *(["--config", str(KIND_CONFIG)] if KIND_CONFIG.exists() else []),
        ]
        try:
            if subprocess.run(create).returncode != 0:
                raise ToolError(f"kind create cluster failed; {IMAGE_VARIABLE} names another node image")
            yield kubeconfig
        finally:
            subprocess.run(["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)])


def run_tests(kubeconfig: str) -> int:
    command = [sys.executable, "-m", "pytest", "-m", "cluster", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "KUBECONFIG": kubeconfig}).returncode


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if named := os.environ.get("KUBECONFIG"):
            return run_tests(named)
        with kind_cluster() as kubeconfig:
            return run_tests(str(kubeconfig))
    except ToolError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
