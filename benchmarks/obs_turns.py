"""Processes that take turns: each stands still (SIGSTOP) unless it is asked something, and so takes no other's time."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
Figures = dict[str, float]


class Side:
    """A process of one mode, with a new database. It has said that it is ready, and stands still."""

    def __init__(self, mode: str, process: "subprocess.Popen[str]") -> None:
        self._mode = mode
        self._process = process

    def ask(self, question: str) -> Figures:
        """Lets the process go on until it has answered."""
        assert self._process.stdin
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Figures:
        """Waits for an answer; the process stands still then."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"obs_side.py {self._mode}: ended with exit code {self._process.wait()}")
        self._process.send_signal(signal.SIGSTOP)
        figures: Figures = json.loads(line)
        return figures


@contextmanager
def sides(modes: tuple[str, ...], folder: Path, endpoint: str, payload: int) -> Iterator[dict[str, Side]]:
    """A process for each mode; `off` is told of no receiver. They end with the context, whatever happens in it."""
    with ExitStack() as stack:
        found = {mode: Side(mode, stack.enter_context(_process(mode, folder, endpoint, payload))) for mode in modes}
        for side in found.values():
            side.answer()
        yield found


@contextmanager
def _process(mode: str, folder: Path, endpoint: str, payload: int) -> "Iterator[subprocess.Popen[str]]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment["PYTHONHASHSEED"] = "0"  # one thing less by which processes differ
    if mode != "off":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    own = folder / mode
    own.mkdir()
    command = [sys.executable, str(HERE / "obs_side.py"), mode, str(payload), str(own)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.stdin.close()  # type: ignore[union-attr]
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
