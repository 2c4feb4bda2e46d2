"""Runs the processes of local mode together: starts them side by side, tells what runs, and stops them all."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from milepost_cli.announcer import Announcer
from milepost_cli.child import Child, ChildState, ProcessSpec
from milepost_cli.errors import StartError, StateError
from milepost_cli.gateway import ROLE as GATEWAY
from milepost_cli.gateway import address
from milepost_cli.program import program
from milepost_cli.registered import wait_until_registered
from milepost_cli.state import ProcessRecord, StateDirectory, UpRecord
from milepost_cli.text import one_line

GRACE = 10.0  # seconds from SIGTERM to SIGKILL
REMIND_EVERY = 30.0
DEATHS_ALLOWED = 5  # before a process was ready once
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Owns the children of one `milepost up`. The caller owns the state directory."""

    def __init__(
        self, specs: Sequence[ProcessSpec], state: StateDirectory, announcer: Announcer, *, grace: float = GRACE
    ) -> None:
        self._state = state
        self._announcer = announcer
        self._grace = grace
        self._children = [Child(spec, self._on_change) for spec in specs]
        self._stop = asyncio.Event()
        self._stops_asked = 0
        self._begun = time.time()
        self._phase = "starting"
        self._was_ready: set[str] = set()

    async def run(self) -> None:
        """Start everything and stay until a signal says stop. Raises StartError when a process cannot be started."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._ask_to_stop)
        tasks = [asyncio.create_task(child.run()) for child in self._children]
        try:
            if await self._until_ready():
                self._phase = "ready"
                self._record()
                self._announce_ready()
                await self._stop.wait()
        finally:
            await self._shut_down(tasks)

    async def _until_ready(self) -> bool:
        """True when all are ready, False when asked to stop before."""
        names = [child.spec.name for child in self._children]
        self._announcer.line(f"starting {', '.join(names)}")
        remind = time.monotonic() + REMIND_EVERY
        with self._announcer.busy("starting"):
            while not self._stop.is_set():
                self._raise_for_failures()
                waiting = [child.spec.name for child in self._children if _is_waited_for(child)]
                if not waiting:
                    break
                if time.monotonic() > remind:
                    self._announcer.warn(f"still waiting for {', '.join(waiting)}; logs in {self._state.logs}")
                    remind += REMIND_EVERY
                self._announcer.now(f"waiting for {', '.join(waiting)} ({time.time() - self._begun:.0f} s)")
                await asyncio.sleep(0.05)
            agents = [child.spec.target for child in self._children if child.spec.role == "agent"]
            services = {child.spec.name for child in self._children if child.spec.role not in ("agent", GATEWAY)}
            missing = await wait_until_registered(agents, services, self._stop)
        if missing and not self._stop.is_set():
            self._announcer.warn(f"not known to every agent yet: {', '.join(sorted(missing))}")
        return not self._stop.is_set()

    def _raise_for_failures(self) -> None:
        for child in self._children:
            name, log = child.spec.name, child.spec.log
            if not child.spec.essential:
                continue
            if child.state is ChildState.FAILED:
                raise StartError(f"{name}: {_without_prefix(child.last_words, name) or child.exit_text} (log: {log})")
            if child.deaths_before_ready >= DEATHS_ALLOWED:
                words = f"; it said last: {one_line(child.last_words, 300)}" if child.last_words else ""
                raise StartError(
                    f"{name}: died {child.deaths_before_ready} times before it was ready ({child.exit_text}){words} "
                    f"(log: {log})"
                )

    def _ask_to_stop(self) -> None:
        self._stops_asked += 1
        if self._stops_asked == 1:
            self._announcer.line("stopping (once more to stop at once)")
        else:
            for child in self._children:
                child.kill()
        self._stop.set()

    async def _shut_down(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Agents and who looks at them first, so that none of them sees its services go while it works."""
        self._phase = "stopping"
        self._record()
        for first in (True, False):
            group = [child for child in self._children if (child.spec.role in ("agent", GATEWAY)) is first]
            await asyncio.gather(*(child.stop(self._grace) for child in group))
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_change(self, child: Child) -> None:
        self._record()
        if self._phase == "stopping" or self._stop.is_set():
            return
        name = child.spec.name
        if child.state is ChildState.READY:
            again = "again " if name in self._was_ready else ""
            self._was_ready.add(name)
            self._announcer.good(
                f"{name} ({child.spec.role}) is {again}ready at {child.spec.target} after {child.ready_after:.1f} s"
            )
        elif child.state is ChildState.RESTARTING:
            by_itself = child.exit_text.startswith("exit")
            words = f"; it said last: {one_line(child.last_words)}" if child.last_words and by_itself else ""
            self._announcer.warn(f"{name} died ({child.exit_text}), starting it again in {child.delay:.1f} s{words}")
        elif child.state is ChildState.NOT_READY:
            self._announcer.warn(f"{name} does not answer its health check")
        elif child.state is ChildState.FAILED and (self._phase == "ready" or not child.spec.essential):
            self._announcer.warn(f"{name} is not started again: {_without_prefix(child.last_words, name)}")

    def _record(self) -> None:
        specs = [child.spec for child in self._children]
        agents = {spec.name: spec.target for spec in specs if spec.role == "agent"}
        services = {spec.name: spec.target for spec in specs if spec.role not in ("agent", GATEWAY)}
        processes = {
            child.spec.name: ProcessRecord(
                child.spec.role,
                child.spec.target,
                child.state,
                str(child.spec.log),
                child.pid,
                child.restarts,
                child.spec.http,
            )
            for child in self._children
        }
        record = UpRecord(os.getpid(), self._begun, self._phase, agents, services, processes, self._ui())
        try:
            self._state.write(record)
        except StateError as error:
            self._announcer.warn(str(error))

    def _ui(self) -> str:
        """Address of the web UI; empty when there is none."""
        gateways = [child for child in self._children if child.spec.role == GATEWAY]
        return next((f"http://{one.spec.target}/" for one in gateways if one.state is not ChildState.FAILED), "")

    def _announce_ready(self) -> None:
        took = time.time() - self._begun
        self._announcer.heading(f"Milepost is up: {len(self._children)} processes in {took:.1f} s")
        command, suffix = program(), self._state.option
        workflows = [child.spec.name for child in self._children if child.spec.role == "agent"]
        self._announcer.line(f"state in {self._state.path}, logs in {self._state.logs}")
        for name in workflows:
            self._announcer.line(f'{command} run {name} "what you want" --follow{suffix}')
        self._announcer.line(f"{command} get runs{suffix}")
        for spec in (child.spec for child in self._children if child.spec.http):
            self._announcer.line(f"OpenAI API of {spec.name} at http://{spec.http}/v1")
        if ui := self._ui():
            self._announcer.good(f"UI  {address(self._state, ui)}")
        self._announcer.line(f"Ctrl-C or `{command} down{suffix}` stops it; runs go on when it is up again")


def _is_waited_for(child: Child) -> bool:
    """Whether it is not ready yet, and worth waiting for."""
    given_up = not child.spec.essential and (child.state is ChildState.FAILED or child.deaths_before_ready > 0)
    return child.state is not ChildState.READY and not given_up


def _without_prefix(line: str, name: str) -> str:
    return one_line(line.removeprefix(f"{name}: "), 500)
