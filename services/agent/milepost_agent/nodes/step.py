"""Does one step at the service that was decided for, once, and passes messages on."""

import asyncio
import math
import time
import uuid
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from google.protobuf.json_format import MessageToDict
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from milepost.agent.v1 import message_pb2
from milepost.capability.v1 import capability_pb2
from milepost_agent.clients import CallContext
from milepost_agent.effects import Effect
from milepost_agent.errors import ServiceCallFailed
from milepost_agent.failpoints import failpoint
from milepost_agent.flow import FAILED, Next, closes_cycle, cycle_of, find_step, step_after
from milepost_agent.nodes.dependencies import NodeDependencies, Task, begin
from milepost_agent.nodes.sending import send, send_all
from milepost_agent.registry import Entry
from milepost_agent.state import REVISE, VERDICTS, Message, Output, RunContext, RunState, StateUpdate, best_draft
from milepost_agent.tracing import STEP
from milepost_crds import Step

INVOKE_METHOD = "/milepost.capability.v1.CapabilityService/Invoke"
MAX_FAILURES = 6
"""Calls that may break off: a request that kills whoever gets it must come to an end."""
BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0
FAILOVER_SECONDS = 10.0

InvokeEffect = Effect[capability_pb2.InvokeResult]


class Done(NamedTuple):
    """Which service answered, what, and at which attempt."""

    service: str
    effect: InvokeEffect
    attempt: int


class StepNode:
    """The LangGraph node of one step of the workflow."""

    def __init__(self, dependencies: NodeDependencies, name: str) -> None:
        self._dependencies = dependencies
        self._step = find_step(dependencies.spec, name)

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        if self._step.require_approval and (refusal := self._refused(task, state)) is not None:
            return refusal
        if task.time_is_up():
            return task.out_of_time()
        started = time.perf_counter()
        request = invoke_request(self._step, state, closes_cycle(self._dependencies.spec, self._step.name))
        try:
            done = await self._invoke(task, state, request)
        except ServiceCallFailed as error:
            task.record("StepFailed", service=error.service, reason=error.reason, message=error.detail)
            if task.time_is_up() and error.timed_out:
                return task.out_of_time()
            return {"outcome": FAILED, "reason": f"{error.reason}: step {self._step.name}: {error}"}
        return self._complete(task, state, done, (time.perf_counter() - started) * 1000)

    def _refused(self, task: Task, state: RunState) -> StateUpdate | None:
        """Waits, durably, for a person's approval; an update that ends the run, or skips the step, when refused."""
        approval_id = str(uuid.uuid5(uuid.NAMESPACE_OID, task.task_id))
        text = f"Approve step {self._step.name} (role {self._step.role}) at service {state['decision']['service']}?"
        approval = {"approval_id": approval_id, "step": self._step.name, "text": text}
        task.record("ApprovalRequested", **approval)
        task.wait("approval", approval)
        answer = interrupt(approval)
        approved, comment = bool(answer["approved"]), str(answer["comment"])
        task.record("ApprovalDecided", approval_id=approval_id, approved=approved, comment=comment)
        task.transaction.update(state="running", pending=None)
        if approved:
            return None
        if not self._step.optional:
            reason = f"ApprovalRejected: step {self._step.name}" + (f": {comment}" if comment else "")
            return {"outcome": FAILED, "reason": reason}
        return task.skip(state)

    async def _invoke(self, task: Task, state: RunState, request: capability_pb2.InvokeRequest) -> Done:
        """Calls the decided service, or another of the capability when that one is not there, until one answers.

        All attempts carry the same call id: whoever is asked, and however often, it is the same call.

        Raises:
            ServiceCallFailed: a service refused, attempts failed too often, or the time of the step is over.
        """
        service = state["decision"]["service"]
        now = self._dependencies.now
        deadline = task.hop_deadline
        context = task.call_context(0, deadline)
        stored = await self._dependencies.effects.recall(context.call_id, request, capability_pb2.InvokeResult)
        if stored is not None:
            return Done(service, Effect(stored, replayed=True), 1)
        failures = 0
        for attempt in count(1):
            entry = await self._pick(service, deadline)
            service = entry.name
            which = f"{self._dependencies.store.epoch}.{attempt}"
            task.note("StepStarted", which, service=service, attempt=attempt)
            try:
                with task.within(STEP, attempt):
                    return Done(service, await self._attempt(task, entry, request, context), attempt)
            except ServiceCallFailed as error:
                failures += not error.busy
                if not error.retryable or failures == MAX_FAILURES or now() >= deadline:
                    raise
                task.note("StepRetried", which, service=service, attempt=attempt, error=str(error))
                if not error.busy:
                    self._dependencies.registry.set_health(service, entry.target, healthy=False)
                service = self._alternative(service)
                pause = min(BACKOFF_SECONDS * 2 ** (attempt - 1), LONGEST_BACKOFF_SECONDS)
                await asyncio.sleep(min(pause, max(deadline - now(), 0.0)))
        raise AssertionError("counts for ever")

    async def _attempt(
        self, task: Task, entry: Entry, request: capability_pb2.InvokeRequest, context: CallContext
    ) -> InvokeEffect:
        return await self._dependencies.effects.once(
            task.context.run_id,
            context.call_id,
            INVOKE_METHOD,
            request,
            capability_pb2.InvokeResult,
            lambda: self._dependencies.clients.invoke(entry.name, entry.target, request, context),
        )

    async def _pick(self, service: str, deadline: float) -> Entry:
        """The service once it is ready; after a while without it, another one of the capability.

        Raises:
            ServiceCallFailed: none became ready in the time of the step.
        """
        while (left := deadline - self._dependencies.now()) > 0:
            ready = await self._dependencies.registry.wait_ready(min(FAILOVER_SECONDS, left), name=service)
            if ready:
                return ready[0]
            service = self._alternative(service)
        raise ServiceCallFailed(service, "UNAVAILABLE", f"did not become ready within {self._step.timeout}")

    def _alternative(self, service: str) -> str:
        """Another ready service of the step's capability, or the same again when there is none."""
        if self._step.service_ref or not self._step.capability:
            return service
        ready = self._dependencies.registry.ready(capability=self._step.capability)
        return next((entry.name for entry in ready if entry.name != service), service)

    def _complete(self, task: Task, state: RunState, done: Done, duration_ms: float) -> StateUpdate:
        service, effect, answer = done.service, done.effect, done.effect.answer
        remaining = state["remaining_hops"] - 1
        output: Output = {
            "step": self._step.name,
            "role": self._step.role,
            "service": service,
            "text": answer.text,
            "verdict": answer.verdict,
            "cycle": cycle_of(self._dependencies.spec, state, self._step.name),
            "hop_index": task.hop_index,
        }
        outputs = [*state["outputs"], output]
        following = step_after(self._dependencies.spec, state, self._step.name, answer.verdict, remaining)
        task.record(
            "StepCompleted",
            role=self._step.role,
            service=service,
            output=answer.text,
            verdict=answer.verdict,
            duration_ms=duration_ms,
            replayed=effect.replayed,
            citations=[MessageToDict(citation, preserving_proto_field_name=True) for citation in answer.citations],
            tool_calls=[MessageToDict(call, preserving_proto_field_name=True) for call in answer.tool_calls],
            usage=usage_of(answer),
            cycle=output["cycle"],
            remaining_hops=remaining,
            current_cycle=state["current_cycle"],
            max_cycles=state["max_cycles"],
        )
        span = task.span_id(STEP, done.attempt)
        self._review(task, state, answer, following, span)
        send_all(task, self._dependencies.spec, self._step.role, answer.messages, span)
        task.transaction.update(
            remaining_hops=remaining, current_cycle=following.cycle, result=best_draft(outputs), crashes=0
        )
        failpoint("step.completed")
        return {
            "outputs": outputs,
            "remaining_hops": remaining,
            "current_cycle": following.cycle,
            "next_step": following.step,
            "outcome": following.outcome,
            "reason": following.reason,
            "hop_ends": task.hop_ends(following.step),
        }

    def _review(
        self, task: Task, state: RunState, answer: capability_pb2.InvokeResult, following: Next, span: int
    ) -> None:
        """Records the verdict of a review, and sends what the reviewer wants changed to the role that does it."""
        cycle = self._dependencies.spec.cycle
        if cycle is None or not closes_cycle(self._dependencies.spec, self._step.name):
            return
        task.record("ReviewCycle", cycle=state["current_cycle"], max_cycles=state["max_cycles"], verdict=answer.verdict)
        if answer.verdict != REVISE or following.outcome:
            return
        recipient = find_step(self._dependencies.spec, cycle.to).role
        send(task, "message", self._step.role, recipient, answer.text, span)


def usage_of(answer: capability_pb2.InvokeResult) -> dict[str, float]:
    """What the step took at its service; 0 is what the service does not tell, or no such figure can be."""
    usage = answer.usage
    figures = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "duration_ms": usage.duration_ms,
        "queue_ms": usage.queue_ms,
    }
    return {name: figure if 0 <= figure < math.inf else 0 for name, figure in figures.items()}


def invoke_request(step: Step, state: RunState, judges: bool) -> capability_pb2.InvokeRequest:
    """The request of a step: a function of the checkpointed state alone, so that a repeated call is the same call."""
    instructions = [step.instructions]
    if clarification := state.get("clarification"):
        instructions.append(f"The user added: {clarification}")
    return capability_pb2.InvokeRequest(
        role=step.role,
        prompt=state["prompt"],
        instructions="\n".join(part for part in instructions if part),
        context=[
            capability_pb2.Context(step=output["step"], role=output["role"], text=output["text"])
            for output in _context(state["outputs"])
        ],
        messages=[
            message_pb2.AgentMessage(
                message_id=message["message_id"],
                sender_role=message["sender_role"],
                recipient_role=message["recipient_role"],
                payload=message["payload"],
                hop_index=message["hop_index"],
                trace_context=_sender(message),
            )
            for message in state.get("inbox", [])
        ],
        verdicts=VERDICTS if judges else (),
        max_tokens=step.max_tokens or 0,
    )


def _sender(message: Message) -> message_pb2.TraceContext | None:
    """The span that sent it; nothing at all where that is not known, as in the request of an older release."""
    if not message.get("traceparent"):
        return None
    return message_pb2.TraceContext(traceparent=message["traceparent"], tracestate=message["tracestate"])


def _context(outputs: Sequence[Output]) -> list[Output]:
    """The newest work of each step, oldest first; reviews travel as messages."""
    newest = {output["step"]: output for output in outputs if not output["verdict"]}
    return sorted(newest.values(), key=lambda output: output["hop_index"])
