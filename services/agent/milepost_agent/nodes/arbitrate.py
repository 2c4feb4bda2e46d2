"""Decides what happens in the hop that is up, among choices that are valid by construction."""

import logging
import time
import uuid
from collections.abc import Sequence
from functools import partial
from itertools import count

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from milepost.model.v1 import model_pb2
from milepost_agent.clients import CallContext
from milepost_agent.errors import LedgerConflict, ServiceCallFailed
from milepost_agent.flow import FAILED, find_step
from milepost_agent.nodes.choices import FINISH, INVOKE, SKIP, priors, rank
from milepost_agent.nodes.dependencies import NodeDependencies, Task, begin
from milepost_agent.nodes.prompt import arbitration_prompt
from milepost_agent.router import Recommendation
from milepost_agent.state import Choice, Decision, Message, RunContext, RunState, StateUpdate
from milepost_agent.tracing import ARBITRATE
from milepost_crds import Step

log = logging.getLogger(__name__)

ASK = "ask"
SCORE_METHOD = "/milepost.model.v1.ModelService/Score"
SCORE_SECONDS = 60.0
MOST_WORDINGS = 16


class Arbitrate:
    def __init__(self, dependencies: NodeDependencies) -> None:
        self._dependencies = dependencies

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        step = find_step(self._dependencies.spec, task.step)
        recommendation = Recommendation.from_dict(state["recommendation"])
        inbox = await self._inbox(task, step)
        with task.within(ARBITRATE, int(bool(state.get("clarification")))):
            decision = await self._decide(task, {**state, "inbox": inbox}, step, recommendation)
            if decision is None:
                return {"outcome": FAILED, "reason": _nothing_fits(step, recommendation)}
            log.info(
                "Step %s: recommended %s, decided %s (%s): %s",
                step.name,
                recommendation.services[0].service if recommendation.services else "none",
                decision["service"] or decision["action"],
                "agreed" if decision["agreed"] else "overruled",
                decision["reason"],
            )
        if decision["action"] == ASK:
            answer = self._ask(task, step, recommendation)
            task.record("Decided", **decision, role=step.role)
            return {"decision": decision, "clarification": answer}
        task.record("Decided", **decision, role=step.role)
        if decision["action"] == SKIP:
            return {"decision": decision} | task.skip(state)
        if decision["action"] == FINISH:
            return {"decision": decision, "reason": decision["reason"]}
        _deliver(task, inbox)
        return {"decision": decision, "inbox": inbox}

    async def _inbox(self, task: Task, step: Step) -> list[Message]:
        """Messages to the role of the step that no step has received."""
        records = await self._dependencies.store.inbox(task.context.run_id, step.role)
        return [
            {
                "message_id": record.message_id,
                "sender_role": record.sender_role,
                "recipient_role": record.recipient_role,
                "payload": record.payload,
                "hop_index": record.hop_index,
                "traceparent": record.traceparent,
                "tracestate": record.tracestate,
            }
            for record in records
        ]

    async def _decide(self, task: Task, state: RunState, step: Step, recommendation: Recommendation) -> Decision | None:
        """The decision, or None when nothing may be chosen."""
        started = time.perf_counter()
        spec = self._dependencies.spec
        first = recommendation.services[0] if recommendation.services else None
        recommended = first.service if first else ""
        confidence = first.confidence if first else 0.0
        threshold = spec.router.confidence_threshold
        # A named service is not up for choice, and a step that nothing fits is skipped when it may be.
        if step.service_ref is None and not step.optional and confidence < threshold:
            doubt = f"confidence {confidence:.2f} is below {threshold:.2f}"
            if spec.arbitrator.on_low_confidence == ASK and not state.get("clarification"):
                return _decision(ASK, [], recommended, f"{doubt}: the user is asked", started)
            if default := self._default_service(step):
                return _decision(INVOKE + default, [], recommended, f"{doubt}: default service", started)
        prior = priors(spec, state, step, recommendation)
        if not prior:
            return None
        scores, note = await self._scores(task, state, step, recommendation, list(prior))
        ranked = rank(prior, scores, spec.arbitrator.weight)
        return _decision(ranked[0]["choice"], ranked, recommended, _reason(ranked, note), started)

    def _default_service(self, step: Step) -> str:
        """The workflow's default service if it is ready and can do the step, else an empty string."""
        default = self._dependencies.spec.router.default_service
        if default is None:
            return ""
        ready = self._dependencies.registry.ready(capability=step.capability or "", name=default.name)
        return ready[0].name if ready else ""

    async def _scores(
        self, task: Task, state: RunState, step: Step, recommendation: Recommendation, choices: Sequence[str]
    ) -> tuple[dict[str, float], str]:
        """Mean log-probability per token of each choice, or none with a note why no model was heard."""
        if len(choices) == 1:
            return {}, "the only valid choice"
        name = self._dependencies.spec.arbitrator.model_ref.name
        known = (self._dependencies.registry.get(each.service) for each in recommendation.services)
        services = [found for found in known if found]
        chat = arbitration_prompt(self._dependencies.spec, state, step, recommendation, services, choices)
        request = model_pb2.ScoreRequest(chat=chat, candidates=choices)
        try:
            answer = await self._score(task, name, request)
        except ServiceCallFailed as error:
            return {}, f"{error}: decided by the router's prior"
        scored = answer.candidates
        return {each.candidate: each.log_probability / max(each.tokens, 1) for each in scored}, f"model {name}"

    async def _score(self, task: Task, name: str, request: model_pb2.ScoreRequest) -> model_pb2.ScoreResponse:
        """The model's opinion, asked for once for each wording.

        The prompt tells what there is now, messages and services. A restart in between can change that: it is another
        question then, which must not go by the id of the first.

        Raises:
            ServiceCallFailed: the model gave none.
        """
        deadline = self._dependencies.now() + SCORE_SECONDS
        for ordinal in count():
            context = task.call_context(ordinal, deadline)
            try:
                effect = await self._dependencies.effects.once(
                    task.context.run_id,
                    context.call_id,
                    SCORE_METHOD,
                    request,
                    model_pb2.ScoreResponse,
                    partial(self._ask_model, name, request, context),
                )
            except LedgerConflict:
                continue
            except ServiceCallFailed as error:
                if error.code != "ALREADY_EXISTS" or ordinal == MOST_WORDINGS:
                    raise
            else:
                return effect.answer
        raise AssertionError("counts for ever")

    async def _ask_model(
        self, name: str, request: model_pb2.ScoreRequest, context: CallContext
    ) -> model_pb2.ScoreResponse:
        entry = self._dependencies.registry.get(name)
        if entry is None or not entry.healthy:
            raise ServiceCallFailed(name, "UNAVAILABLE", "the model is not ready")
        return await self._dependencies.clients.score(name, entry.target, request, context)

    def _ask(self, task: Task, step: Step, recommendation: Recommendation) -> str:
        """Waits, durably, for the answer to a clarifying question."""
        question_id = str(uuid.uuid5(uuid.NAMESPACE_OID, task.task_id))
        options = [each.service for each in recommendation.services]
        text = f"It is not clear which service fits step {step.name}. What exactly shall be done?"
        question = {"question_id": question_id, "text": text, "options": options}
        task.record("QuestionAsked", **question)
        task.wait("question", question)
        answer = str(interrupt(question))
        task.record("QuestionAnswered", question_id=question_id, answer=answer)
        task.transaction.update(state="running", pending=None)
        return answer


def _decision(choice: str, ranked: list[Choice], recommended: str, reason: str, started: float) -> Decision:
    service = choice.removeprefix(INVOKE) if choice.startswith(INVOKE) else ""
    return {
        "action": "invoke" if service else choice,
        "service": service,
        "agreed": bool(service) and service == recommended,
        "reason": reason,
        "choices": ranked,
        "duration_ms": (time.perf_counter() - started) * 1000,
    }


def _reason(ranked: list[Choice], note: str) -> str:
    best = ranked[0]
    words = f"{best['choice']} has probability {best['probability']:.2f} (router prior {best['prior']:.2f}"
    if best["log_probability"]:
        words += f", {note} {best['log_probability']:.2f} per token"
        note = ""
    if len(ranked) > 1:
        words += f"; next {ranked[1]['choice']} {ranked[1]['probability']:.2f}"
    return f"{words})" + (f": {note}" if note else "")


def _nothing_fits(step: Step, recommendation: Recommendation) -> str:
    return (
        f"NoServiceFits: step {step.name}: no ready service fits this request (none fits: "
        f"{recommendation.none_probability:.2f}); give the step a capability or the workflow a default service"
    )


def _deliver(task: Task, inbox: list[Message]) -> None:
    """Marks the messages as delivered in the transaction that also checkpoints them for the step."""
    task.transaction.deliver([message["message_id"] for message in inbox])
    for message in inbox:
        task.record_once("MessageDelivered", message["message_id"], message_id=message["message_id"])
