"""`make demo`: kills the agent in the middle of a step, and lets the services testify that nothing was repeated."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import grpc

from console import ToolError
from local_mode import PROMPT, ROOT, WORKFLOW, local_mode
from milepost.agent.v1 import agent_pb2
from milepost.capability.v1 import capability_pb2, capability_pb2_grpc
from milepost_cli.client import Agent
from milepost_cli.errors import CliError
from milepost_cli.local import LocalBackend
from milepost_cli.ports import free_port
from milepost_cli.state import StateDirectory
from milepost_cli.views import PlainView
from milepost_cli.watching import ConnectionLost, Reconnected, StillAway, Watch

KILLED_STEP = "code"
EVIDENCE = ROOT / "artifacts" / "demo"
LONGEST_SECONDS = 420
GOOD_ENDS = (agent_pb2.RUN_OUTCOME_COMPLETED, agent_pb2.RUN_OUTCOME_REVIEW_LIMIT_REACHED)
BEGIN_SECONDS = 60.0
Calls = Mapping[tuple[str, str, str], capability_pb2.Call]


@dataclass(frozen=True)
class Tally:
    """What the services counted for one request: when the agent was killed, and at the end."""

    before: Calls
    after: Calls

    @property
    def completed(self) -> int:
        return sum(call.completed > 0 for call in self.after.values())

    @property
    def repeated(self) -> int:
        """Calls completed more than once, or begun again although they had been completed."""
        return sum(call.completed > 1 or self._begun_again(key, call) for key, call in self.after.items())

    def table(self) -> list[str]:
        """A line for each call, oldest first."""
        calls = sorted(self.after.items(), key=lambda item: item[1].last_time.ToDatetime())
        return [
            f"{service:8} {method.rsplit('/', 1)[-1]:8} requested {call.requested}, started {call.started}, "
            f"completed {call.completed}   {call_id}"
            for (service, call_id, method), call in calls
        ]

    def _begun_again(self, key: tuple[str, str, str], call: capability_pb2.Call) -> bool:
        earlier = self.before.get(key)
        return earlier is not None and earlier.completed > 0 and call.started > earlier.started


class Demo:
    """One run on a local mode that is up."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.correlation_id = str(uuid.uuid4())
        self.resumed_at = ""
        self._before: Calls | None = None
        self._channels = {
            name: grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
            for name, target in state.running().services.items()
        }

    def run(self) -> Tally:
        """Start, kill, watch to the end. Raises ToolError when the run did not resume or did not end well."""
        with LocalBackend(self.state) as backend:
            agent = backend.accepting(WORKFLOW, self.correlation_id, is_new=True)
            print(f'\nstarting a run: "{PROMPT}"', flush=True)
            run = agent.start_run(PROMPT, self.correlation_id).run
            self._watch(agent, run)
            ended = agent.get_run(run.run_id)
            after = self._calls()
        if self._before is None:
            raise ToolError(f"step {KILLED_STEP} never began: {self._outcome(ended)}")
        if not self.resumed_at or not ended.recoveries:
            raise ToolError("the agent was killed, but the run was not resumed")
        if ended.outcome not in GOOD_ENDS:
            raise ToolError(f"the run ended as {self._outcome(ended)}")
        return Tally(self._before, after)

    def _watch(self, agent: Agent, run: agent_pb2.Run) -> None:
        view = PlainView(run)
        with view:
            for item in Watch(agent, run.run_id):
                if isinstance(item, ConnectionLost):
                    view.lost()
                elif isinstance(item, Reconnected):
                    view.reconnected(item.away)
                elif isinstance(item, StillAway):
                    view.waiting(item.status)
                else:
                    view.event(item)
                    self._after(item)
            view.end(agent.get_run(run.run_id))

    def _after(self, event: agent_pb2.RunEvent) -> None:
        if self._before is None and event.type == "StepStarted" and event.step == KILLED_STEP:
            self._kill_in_the_middle(str(event.data["service"]))
        elif self._before is not None and event.type == "RunResumed":
            self.resumed_at = event.step

    def _kill_in_the_middle(self, service: str) -> None:
        """Wait until `service` works on the step, then SIGKILL the agent."""
        deadline = time.monotonic() + BEGIN_SECONDS
        while not any(key[0] == service and call.started > call.completed for key, call in self._calls().items()):
            if time.monotonic() > deadline:
                raise ToolError(f"{service} did not begin step {KILLED_STEP} within {BEGIN_SECONDS:.0f} s")
            time.sleep(0.01)
        pid = self.state.running().processes[WORKFLOW].pid
        if pid is None:
            raise ToolError("the agent died before it was killed")
        os.kill(pid, signal.SIGKILL)
        self._before = self._calls()
        print(f"== kill -9 {pid}: the agent is gone while {service} works on step {KILLED_STEP}", flush=True)

    def _calls(self) -> Calls:
        """What all services say about this request, by service, call id and method."""
        found = {}
        for name, channel in self._channels.items():
            stub = capability_pb2_grpc.CapabilityServiceStub(channel)
            for call in stub.ListCalls(capability_pb2.ListCallsRequest(), timeout=10).calls:
                if call.correlation_id == self.correlation_id:
                    found[name, call.call_id, call.method] = call
        return found

    def _outcome(self, run: agent_pb2.Run) -> str:
        return f"{agent_pb2.RunOutcome.Name(run.outcome).removeprefix('RUN_OUTCOME_')} {run.reason}".strip()


def main() -> int:
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST_SECONDS)
    folder = Path(tempfile.mkdtemp(prefix="milepost-demo-"))
    try:
        state = StateDirectory(folder / "state")
        with local_mode(state, "--port", str(free_port(()))):
            demo = Demo(state)
            tally = demo.run()
    except (ToolError, CliError, grpc.RpcError) as error:
        shutil.copytree(folder, EVIDENCE, dirs_exist_ok=True)
        print(f"demo: {error} (state and logs are kept in {EVIDENCE.relative_to(ROOT)})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\nwhat the services counted for this run:")
    for line in tally.table():
        print(f"  {line}")
    counted = f"{tally.completed} completed calls, {tally.repeated} repeated"
    print(f"resumed at step {demo.resumed_at}: {counted}", flush=True)
    return 0 if tally.completed and not tally.repeated else 1


def _too_long(number: int, frame: FrameType | None) -> None:
    raise ToolError(f"not finished after {LONGEST_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
