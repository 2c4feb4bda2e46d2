"""What must hold at the end of a kill point, from the client's side, the services' side and in the file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matrix_agent import Agent, PointFailed
from matrix_client import Client
from matrix_scenarios import Scenario
from matrix_services import Count
from milepost.agent.v1 import agent_pb2

ONCE = ("QuestionAsked", "QuestionAnswered", "ApprovalRequested", "ApprovalDecided", "RunPaused", "RunContinued")
INVOKE = "/milepost.capability.v1.CapabilityService/Invoke"


@dataclass(frozen=True)
class Verdict:
    """What came of a kill point. `repeated` and `asked_again` count calls."""

    lost: int = 0
    repeated: int = 0
    asked_again: int = 0
    problem: str = ""

    @property
    def resumed(self) -> bool:
        return not self.lost and not self.repeated and not self.problem


def verify(scenario: Scenario, client: Client, *, memory: bool) -> Verdict:
    """Checks a kill point whose runs have ended; the agent serves before and is stopped after.

    Raises:
        PointFailed: what does not hold, in one line.
    """
    runs = client.runs()
    journal = client.journal()
    _check_watched(client, journal)
    for run in runs:
        events = [event for event in journal if event.run_id == run.run_id]
        _check_run(scenario, run)
        _check_events(scenario, run, events, client.sent)
        if set(client.agent.plan) and all("kill" not in plan and "exhaust" not in plan for plan in client.agent.plan):
            _check_handed_over(events)
    status = client.agent.end()
    if status:
        raise PointFailed(f"after SIGTERM at the end the agent exited with {status}")
    lost = _check_file(scenario, client)
    repeated, asked_again = count_repeated(client.agent, memory=memory)
    _check_calls(scenario, client, repeated)
    return Verdict(lost, repeated, asked_again)


def count_repeated(agent: Agent, *, memory: bool) -> tuple[int, int]:
    """Completed calls that were repeated, by the services' own count; and calls that were asked for more than once.

    A call is completed for the agent once its answer is in the ledger. One that the service had answered when the
    agent was killed, and that was not in the ledger, is asked for again under the same id; a service with a memory
    answers it without doing it again.
    """
    counts = agent.services.counts(agent.correlation_ids)
    twice = {call_id for call_id, count in counts.items() if memory and count.completed > 1}
    for death in agent.deaths:
        for call_id in death.recorded:
            known, now = death.counts.get(call_id, Count()), counts.get(call_id, Count())
            if now.requested > known.requested:
                twice.add(call_id)
    return len(twice), sum(count.requested > 1 for count in counts.values())


def _check_watched(client: Client, journal: Sequence[agent_pb2.RunEvent]) -> None:
    numbers = [event.sequence for event in journal]
    if sorted(set(numbers)) != numbers:
        raise PointFailed(f"the journal is not in the order of its sequence: {numbers}")
    if [event.SerializeToString(deterministic=True) for event in client.seen] != [
        event.SerializeToString(deterministic=True) for event in journal
    ]:
        seen, kept = [_name(event) for event in client.seen], [_name(event) for event in journal]
        raise PointFailed(f"a watcher saw {seen}, the journal holds {kept}")


def _name(event: agent_pb2.RunEvent) -> str:
    return f"{event.sequence}:{event.type}"


def _check_run(scenario: Scenario, run: agent_pb2.Run) -> None:
    if run.state != agent_pb2.RUN_STATE_ENDED or run.outcome != scenario.outcome_value():
        name = agent_pb2.RunOutcome.Name(run.outcome)
        raise PointFailed(f"the run ended as {name} ({run.reason}), not as {scenario.outcome}")
    if scenario.reason not in run.reason:
        raise PointFailed(f"the reason is {run.reason!r}, not {scenario.reason!r}")
    hops = tuple(hop.step for hop in run.hops)
    if hops[: len(scenario.hops)] != scenario.hops:
        raise PointFailed(f"hops are {hops}, not {scenario.hops}")
    if run.remaining_hops != run.max_hops - len(scenario.hops):
        raise PointFailed(f"{run.remaining_hops} of {run.max_hops} hops remain after {len(scenario.hops)}")
    if run.current_cycle > run.max_cycles or any(hop.cycle > run.max_cycles for hop in run.hops):
        raise PointFailed(f"review cycle {run.current_cycle} is beyond the limit of {run.max_cycles}")


def _check_events(
    scenario: Scenario, run: agent_pb2.Run, events: Sequence[agent_pb2.RunEvent], sent: Sequence[str]
) -> None:
    kinds = [event.type for event in events]
    if kinds[0] != "RunAccepted" or kinds.count("RunAccepted") != 1:
        raise PointFailed(f"the journal of the run does not begin with one RunAccepted: {kinds}")
    if kinds[-1] != "RunCompleted" or kinds.count("RunCompleted") != 1:
        raise PointFailed(f"the journal of the run does not end with one RunCompleted: {kinds}")
    completed = [(event.hop_index, event.step) for event in events if event.type == "StepCompleted"]
    if completed != list(enumerate(scenario.hops, 1)):
        raise PointFailed(f"completed steps are {completed}")
    if kinds.count("RunResumed") != run.recoveries:
        raise PointFailed(f"{kinds.count('RunResumed')} times RunResumed, but {run.recoveries} recoveries")
    for kind in ONCE:
        if kinds.count(kind) > 1:
            raise PointFailed(f"{kinds.count(kind)} times {kind}")
    expected = scenario.messages + len(sent)
    for kind in ("MessageSent", "MessageDelivered"):
        numbers = Counter(str(event.data["message_id"]) for event in events if event.type == kind)
        if len(numbers) != expected or set(numbers.values()) - {1}:
            raise PointFailed(f"{kind}: {dict(numbers)}; expected {expected} messages, each once")


def _check_handed_over(events: Sequence[agent_pb2.RunEvent]) -> None:
    """After SIGTERM nothing counts as a crash."""
    causes = {str(event.data["cause"]) for event in events if event.type == "RunResumed"}
    if causes - {"restart"}:
        raise PointFailed(f"after SIGTERM the run was resumed because of {causes}")


def _check_file(scenario: Scenario, client: Client) -> int:
    """How many accepted runs are not in the file."""
    agent = client.agent
    if (sound := agent.read("PRAGMA integrity_check")) != [("ok",)]:
        raise PointFailed(f"the file is not sound: {sound[0][0]}")
    stored = {str(key): str(run_id) for key, run_id in agent.read("SELECT correlation_id, run_id FROM runs")}
    if set(stored) - set(client.run_ids):
        raise PointFailed(f"the file holds runs that nobody asked for: {set(stored) - set(client.run_ids)}")
    if (undelivered := agent.read("SELECT count(*) FROM messages WHERE NOT delivered")) != [(0,)]:
        raise PointFailed(f"{undelivered[0][0]} messages were not delivered")
    return sum(stored.get(key) != run_id for key, run_id in client.run_ids.items())


def _check_calls(scenario: Scenario, client: Client, repeated: int) -> None:
    """The ledger and the services must tell of the same calls: no completed one is missing, none was made up.

    Only the model's opinion on a decision may have been given without being used: when it was lost with the process and
    the model is not known to be ready at the next start, the router's prior decides.
    """
    agent = client.agent
    counts = agent.services.counts(agent.correlation_ids)
    completed = {call_id for call_id, count in counts.items() if count.completed}
    steps = {call_id for call_id in completed if counts[call_id].method == INVOKE}
    recorded = agent.recorded()
    if not repeated and not steps <= recorded <= completed:
        raise PointFailed(f"the ledger holds {len(recorded)} calls, the services completed {len(completed)}")
    if len(steps) != scenario.runs * len(scenario.hops):
        raise PointFailed(f"{len(steps)} steps were completed, not {scenario.runs * len(scenario.hops)}")
