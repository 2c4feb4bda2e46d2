"""One process of local mode: started, asked whether it is healthy, started again when it dies, stopped cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from milepost_cli.backoff import Backoff
from milepost_cli.probing import Probe, asking
from milepost_service import launcher

CONFIGURATION_ERROR = 2  # exit code of a process that was configured wrongly; starting it again cannot help
PROBE_STARTING, PROBE_READY = 0.1, 1.0
TAIL_BYTES = 8192


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `env` is added to the environment of the supervisor; `argv[0]` is an absolute path.

    Without one that is not `essential` everything else goes on.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    target: str
    log: Path
    probe: Probe = "grpc"
    essential: bool = True
    http: str = ""
    """Where it answers OpenAI's API, if it does."""


class ChildState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class Child:
    """Runs `spec` until `stop`. `changed` is called after every change of `state`, on the event loop."""

    def __init__(self, spec: ProcessSpec, changed: Callable[[Child], None]) -> None:
        self.spec = spec
        self.state = ChildState.STARTING
        self.pid: int | None = None
        self.restarts = 0
        self.deaths_before_ready = 0
        self.last_words = ""
        self.exit_text = ""
        self.delay = 0.0
        self.started_at = time.monotonic()
        self.ready_after = 0.0
        self._ready_at: float | None = None
        self._changed = changed
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._backoff = Backoff()

    async def run(self) -> None:
        """Keep the process alive. Ends after `stop`, or when the process says that it is configured wrongly."""
        while not self._stopping.is_set():
            offset = self._log_size()
            try:
                process = await self._spawn()
            except OSError as error:
                self._fail(f"cannot be started: {error}")
                return
            code = await self._until_exit(process)
            if self._stopping.is_set():
                break
            self.last_words = self._last_line(offset)
            self.exit_text = _exit_text(code)
            if code == CONFIGURATION_ERROR:
                self._fail(self.last_words)
                return
            await self._pause_after_death()
        self._set(ChildState.STOPPED)

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL for the whole process group after `grace` seconds."""
        self._stopping.set()
        if self.pid is not None:
            _signal(self.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), grace)
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """End the process and what it started, now."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _spawn(self) -> asyncio.subprocess.Process:
        starter = (sys.executable, "-I", "-S", str(Path(launcher.__file__)), str(os.getpid()))
        with self.spec.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *starter,
                *self.spec.argv,
                env={**os.environ, **self.spec.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = process.pid
        self.started_at = time.monotonic()
        self._ready_at = None
        self._set(ChildState.STARTING)
        return process

    async def _until_exit(self, process: asyncio.subprocess.Process) -> int:
        if self._stopping.is_set():
            _signal(process.pid, signal.SIGTERM)
        probe = asyncio.create_task(self._probe())
        try:
            return await process.wait()
        finally:
            self.pid = None
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)

    async def _pause_after_death(self) -> None:
        healthy_for = time.monotonic() - self._ready_at if self._ready_at is not None else 0.0
        self.deaths_before_ready = 0 if self._ready_at is not None else self.deaths_before_ready + 1
        self.delay = self._backoff.after(healthy_for)
        self.restarts += 1
        self._set(ChildState.RESTARTING)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self.delay)

    async def _probe(self) -> None:
        async with asking(self.spec.target, self.spec.probe) as serves:
            while True:
                serving = await serves() and (self.state is ChildState.READY or self._listens())
                if serving and self.state is not ChildState.READY:
                    if self._ready_at is None:
                        self._ready_at = time.monotonic()
                        self.ready_after = self._ready_at - self.started_at
                    self._set(ChildState.READY)
                elif not serving and self.state is ChildState.READY:
                    self._set(ChildState.NOT_READY)
                await asyncio.sleep(PROBE_READY if serving else PROBE_STARTING)

    def _listens(self) -> bool:
        """Whether it is this process that listens at its target, and not one that took the port before it."""
        port = int(self.spec.target.rpartition(":")[2])
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)

    def _fail(self, words: str) -> None:
        self.last_words = words
        self._set(ChildState.FAILED)

    def _set(self, state: ChildState) -> None:
        self.state = state
        if state in (ChildState.STOPPED, ChildState.FAILED):
            self._ended.set()
        self._changed(self)

    def _log_size(self) -> int:
        try:
            return self.spec.log.stat().st_size
        except OSError:
            return 0

    def _last_line(self, offset: int) -> str:
        """What the process that just died wrote last, without blanks around it."""
        try:
            with self.spec.log.open("rb") as log:
                log.seek(max(offset, self._log_size() - TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
