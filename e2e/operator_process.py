"""The operator as a local process, and what its logs and metrics say."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2e_waiting import eventually

START_SECONDS = 60.0


class OperatorProcess:
    """`milepost-operator` on loopback ports; logs are JSON lines in a file."""

    def __init__(self, folder: Path, kubeconfig: Path, namespaces: Sequence[str], **environment: str) -> None:
        self.log = folder / f"operator-{len(list(folder.glob('operator-*.log')))}.log"
        self._health, self._metrics = _free_port(), _free_port()
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MILEPOST_")},
            "KUBECONFIG": str(kubeconfig),
            "MILEPOST_NAMESPACES": ",".join(namespaces),
            "MILEPOST_HEALTH_PORT": str(self._health),
            "MILEPOST_METRICS_PORT": str(self._metrics),
            "MILEPOST_LOG_FORMAT": "json",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OperatorProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "milepost_operator.main"]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def stop(self, *, number: int = signal.SIGTERM) -> int:
        """Ends it and waits; its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(30)
        self._process = None
        return code

    def wait_ready(self) -> None:
        eventually("the operator is ready", lambda: self.ask("readyz"), lambda seen: seen == 200, within=START_SECONDS)

    def ask(self, path: str) -> int:
        """HTTP status of `healthz` or `readyz`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def metric(self, name: str, /, **labels: str) -> float:
        """Sum over the label sets that hold these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        rows = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(value) for found, value in rows if all(each in found for each in wanted))

    def lines(self) -> list[dict[str, Any]]:
        """Every log line; one that is no JSON fails."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line]

    def messages(self, pattern: str = "") -> list[str]:
        return [line["message"] for line in self.lines() if re.search(pattern, line["message"])]

    def wait_quiet(self, within: float = 60) -> None:
        """Until nothing waits and nothing is worked on."""
        eventually(
            "the queue is empty",
            lambda: self.metric("workqueue_depth") + self.metric("controller_runtime_active_workers"),
            lambda busy: busy == 0,
            within=within,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
