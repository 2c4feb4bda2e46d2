"""The operator as a process beside its benchmark, and what its metrics and the kernel say of it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

LOG = Path(__file__).resolve().parent.parent / "artifacts" / "bench-operator.log"
HEALTH_PORT, METRICS_PORT = 18180, 18181
QUIET_SECONDS = 4.0
PATIENCE_SECONDS = 900.0
WRITES = {"PATCH", "POST", "PUT", "DELETE"}


class OperatorProcess:
    """The operator as a process of its own, and what its metrics say."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._namespaces = ",".join(namespaces)
        LOG.parent.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            "MILEPOST_HEALTH_PORT": str(HEALTH_PORT),
            "MILEPOST_METRICS_PORT": str(METRICS_PORT),
            "MILEPOST_NAMESPACES": self._namespaces,
            "MALLOC_ARENA_MAX": "2",
        }
        with LOG.open("ab") as log:
            command = [sys.executable, "-m", "milepost_operator.main"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def text(self) -> str:
        """All metrics; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def metric(self, name: str, text: str | None = None) -> list[tuple[dict[str, str], float]]:
        """Label sets and values of one metric."""
        text = self.text() if text is None else text
        rows = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
        return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in rows]

    def total(self, name: str, text: str | None = None) -> float:
        return sum(value for _, value in self.metric(name, text))

    def writes(self, text: str | None = None) -> int:
        found = self.metric("rest_client_requests_total", text)
        return int(sum(value for labels, value in found if labels["method"] in WRITES))

    def passes(self) -> int:
        return int(self.total("controller_runtime_reconcile_total"))

    def rss_mb(self) -> float:
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def cpu_seconds(self) -> float:
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{HEALTH_PORT}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def state(self) -> tuple[float, int]:
        """Resources that wait for more than the periodic look, and writes so far."""
        text = self.text()
        waiting = [value for labels, value in self.metric("workqueue_depth", text) if labels["priority"] != "resync"]
        return sum(waiting), self.writes(text)

    async def wait_ready(self) -> None:
        while not await asyncio.to_thread(self.is_ready):
            await asyncio.sleep(0.05)

    async def wait_quiet(self, seconds: float = QUIET_SECONDS) -> float:
        """Waits until nothing was in the queue or written for so long; the time at which that began."""
        since = time.monotonic()
        deadline = since + PATIENCE_SECONDS
        done = -1
        while time.monotonic() - since < seconds:
            busy, count = await asyncio.to_thread(self.state)
            if busy or count != done:
                since, done = time.monotonic(), count
            if time.monotonic() > deadline:
                raise SystemExit("bench-operator: the queue did not get empty")
            await asyncio.sleep(0.5)
        return since
