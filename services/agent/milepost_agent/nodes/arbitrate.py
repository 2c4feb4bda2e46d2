"""Decides what happens in the hop that is up, among choices that are valid by construction."""

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from milepost.model.v1 import model_pb2
from milepost_agent.clients import CallContext
from milepost_agent.errors import LedgerConflict, ServiceCallFailed
from milepost_agent.flow import FAILED, find_step
from milepost_agent.nodes.case import Case
from milepost_agent.nodes.choices import FINISH, INVOKE, SKIP, Score, priors, rank
from milepost_agent.nodes.dependencies import NodeDependencies, Task, begin
from milepost_agent.nodes.prompt import Question
from milepost_agent.nodes.reasons import (
    explain,
    explain_answer,
    explain_default,
    explain_nothing_fits,
    explain_question,
)
from milepost_agent.router import Recommendation
from milepost_agent.state import Choice, Decision, Message, RunContext, RunState, StateUpdate
from milepost_agent.tracing import ARBITRATE
from milepost_crds import Step

log = logging.getLogger(__name__)

ASK = "ask"
SCORE_METHOD = "/milepost.model.v1.ModelService/Score"
SCORE_SECONDS = 30.0
SCORE_SHARE = 0.25
"""A model that is slow leaves the step most of its time: it is heard for 30 s, or for a quarter of what the hop has."""
MODEL_SECONDS = 3.0
"""How long a model that is known is waited for: after a restart of the agent its health has yet to be seen."""
MOST_WORDINGS = 16


@dataclass(frozen=True)
class Opinion:
    """What the model said of each choice; nothing when it was not asked, or was `unheard` for the reason given."""

    scores: Mapping[str, Score] = field(default_factory=dict)
    unheard: str = ""


class Arbitrate:
    def __init__(self, dependencies: NodeDependencies) -> None:
        self._dependencies = dependencies

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        step = find_step(self._dependencies.spec, task.step)
        recommendation = Recommendation.from_dict(state["recommendation"])
        inbox = await self._inbox(task, step)
        case = Case(self._dependencies.spec, {**state, "inbox": inbox}, step, recommendation)
        with task.within(ARBITRATE, int(bool(state.get("clarification")))):
            decision = await self._decide(task, case)
            if decision is None:
                return {"outcome": FAILED, "reason": explain_nothing_fits(case)}
            _log(case, decision)
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

    async def _decide(self, task: Task, case: Case) -> Decision | None:
        """The decision, or None when nothing may be chosen."""
        started = time.perf_counter()
        if chosen := _answered(case):
            return _decision(INVOKE + chosen, [], case, explain_answer(case, chosen), started)
        # A named service is not up for choice, and a step that nothing fits is skipped when it may be.
        if case.is_doubtful and case.step.service_ref is None and not case.step.optional:
            if case.spec.arbitrator.on_low_confidence == ASK and not case.state.get("clarification"):
                return _decision(ASK, [], case, explain_question(case), started)
            if default := self._default_service(case.step):
                return _decision(INVOKE + default, [], case, explain_default(case, default), started)
            if case.step.capability is None and case.recommendation.none_probability > case.confidence:
                return None
        prior = priors(case)
        if not prior:
            return None
        opinion = await self._opinion(task, case, list(prior)) if len(prior) > 1 else Opinion()
        ranked = rank(prior, opinion.scores, case.spec.arbitrator.weight)
        return _decision(ranked[0]["choice"], ranked, case, explain(case, ranked, opinion.unheard), started)

    def _default_service(self, step: Step) -> str:
        """The workflow's default service if it is ready and can do the step, else an empty string."""
        default = self._dependencies.spec.router.default_service
        if default is None:
            return ""
        ready = self._dependencies.registry.ready(capability=step.capability or "", name=default.name)
        return ready[0].name if ready else ""

    async def _opinion(self, task: Task, case: Case, choices: Sequence[str]) -> Opinion:
        """What the model makes of each choice; or nothing, and why the router's prior decides alone."""
        known = map(self._dependencies.registry.get, case.confidences)
        question = Question(case, [entry for entry in known if entry], choices)
        name = case.spec.arbitrator.model_ref.name
        try:
            answer = await self._score(task, name, question.request())
        except ServiceCallFailed as error:
            return Opinion(unheard=f"{error}: decided by the router's prior")
        if scores := question.scores(answer):
            return Opinion(scores)
        return Opinion(unheard=f"{name} did not score every choice with its baseline: decided by the router's prior")

    async def _score(self, task: Task, name: str, request: model_pb2.ScoreRequest) -> model_pb2.ScoreResponse:
        """The model's opinion, asked for once for each wording.

        The prompt tells what there is now, messages and services. A restart in between can change that: it is another
        question then, which must not go by the id of the first.

        Raises:
            ServiceCallFailed: the model gave none.
        """
        now = self._dependencies.now()
        deadline = now + min(SCORE_SECONDS, SCORE_SHARE * (task.hop_deadline - now))
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
        registry = self._dependencies.registry
        ready = await registry.wait_ready(MODEL_SECONDS, name=name) if registry.get(name) else []
        if not ready:
            raise ServiceCallFailed(name, "UNAVAILABLE", "the model is not ready")
        return await self._dependencies.clients.score(name, ready[0].target, request, context)

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


def _answered(case: Case) -> str:
    """The service that the user has just named in answer to the question, if it still is one to choose from."""
    if case.state.get("decision", {}).get("action") != ASK:
        return ""
    answer = case.state.get("clarification", "").strip().lower()
    return next((each.service for each in case.recommendation.services if each.service == answer), "")


def _decision(choice: str, ranked: list[Choice], case: Case, reason: str, started: float) -> Decision:
    service = choice.removeprefix(INVOKE) if choice.startswith(INVOKE) else ""
    return {
        "action": "invoke" if service else choice,
        "service": service,
        "agreed": bool(service) and service == case.recommended,
        "reason": reason,
        "choices": ranked,
        "duration_ms": (time.perf_counter() - started) * 1000,
    }


def _log(case: Case, decision: Decision) -> None:
    agreement = {"invoke": ", agreed" if decision["agreed"] else ", overruled"}.get(decision["action"], "")
    log.info(
        "Step %s: recommended %s (%.2f), decided %s%s: %s",
        case.step.name,
        case.recommended or "none",
        case.confidence,
        decision["service"] or decision["action"],
        agreement,
        decision["reason"],
    )


def _deliver(task: Task, inbox: list[Message]) -> None:
    """Marks the messages as delivered in the transaction that also checkpoints them for the step."""
    task.transaction.deliver([message["message_id"] for message in inbox])
    for message in inbox:
        task.record_once("MessageDelivered", message["message_id"], message_id=message["message_id"])
