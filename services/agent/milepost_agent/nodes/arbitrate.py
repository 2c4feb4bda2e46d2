"""Decides what happens in the hop that is up, among choices that are valid by construction.

The posterior of a choice is proportional to prior * likelihood ** weight. The prior comes from the router, the
likelihood is the geometric mean of the model's token probabilities of the choice, the weight is
`spec.arbitrator.weight`.
"""

import logging
import math
import time
import uuid
from collections.abc import Mapping, Sequence

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from milepost.model.v1 import model_pb2
from milepost_agent.errors import ServiceCallFailed
from milepost_agent.flow import find_step, step_after
from milepost_agent.nodes.dependencies import NodeDependencies, Task, begin
from milepost_agent.nodes.prompt import arbitration_prompt
from milepost_agent.router import Recommendation
from milepost_agent.state import Choice, Decision, Message, RunContext, RunState, StateUpdate, best_draft
from milepost_crds import AgentWorkflowSpec, Step
from milepost_service.telemetry import tracer

log = logging.getLogger(__name__)

FINISH = "finish"
SKIP = "skip"
ASK = "ask"
INVOKE = "invoke:"
SCORE_METHOD = "/milepost.model.v1.ModelService/Score"
SCORE_SECONDS = 60.0
FINISH_PRIOR = 0.05
FINISH_PRIOR_UNDER_PRESSURE = 0.75


class Arbitrate:
    def __init__(self, dependencies: NodeDependencies) -> None:
        self._dependencies = dependencies

    async def run(self, state: RunState, runtime: Runtime[RunContext]) -> StateUpdate:
        task = begin(self._dependencies, state, runtime)
        step = find_step(self._dependencies.spec, task.step)
        recommendation = Recommendation.from_dict(state["recommendation"])
        inbox = await self._inbox(task, step)
        with tracer().start_as_current_span("agent.arbitrate") as span:
            decision = await self._decide(task, {**state, "inbox": inbox}, step, recommendation)
            span.set_attributes(
                {
                    "thread.id": task.context.run_id,
                    "gen_ai.conversation.id": task.context.run_id,
                    "correlation.id": task.context.correlation_id,
                    "hop.count": task.hop_index,
                    "arbitrator.action": decision["action"],
                    "arbitrator.service": decision["service"],
                    "arbitrator.agreed": decision["agreed"],
                    "arbitrator.reason": decision["reason"],
                }
            )
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
            task.record("Decided", **decision)
            return {"decision": decision, "clarification": answer}
        task.record("Decided", **decision)
        if decision["action"] == SKIP:
            return {"decision": decision} | _skip(self._dependencies.spec, task, state)
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
            }
            for record in records
        ]

    async def _decide(self, task: Task, state: RunState, step: Step, recommendation: Recommendation) -> Decision:
        started = time.perf_counter()
        spec = self._dependencies.spec
        first = recommendation.services[0] if recommendation.services else None
        recommended = first.service if first else ""
        confidence = first.confidence if first else 0.0
        low = step.service_ref is None and confidence < spec.router.confidence_threshold
        prior = priors(spec, state, step, recommendation)
        if low and spec.arbitrator.on_low_confidence == ASK and not state.get("clarification"):
            reason = f"confidence {confidence:.2f} is below {spec.router.confidence_threshold:.2f}: the user is asked"
            return _decision(ASK, [], recommended, reason, started)
        default = spec.router.default_service.name if spec.router.default_service else ""
        if low and INVOKE + default in prior:
            reason = f"confidence {confidence:.2f} is below {spec.router.confidence_threshold:.2f}: default service"
            return _decision(INVOKE + default, [], recommended, reason, started)
        scores, note = await self._scores(task, state, step, recommendation, list(prior))
        ranked = rank(prior, scores, spec.arbitrator.weight)
        reason = _reason(ranked, note)
        return _decision(ranked[0]["choice"], ranked, recommended, reason, started)

    async def _scores(
        self, task: Task, state: RunState, step: Step, recommendation: Recommendation, choices: Sequence[str]
    ) -> tuple[dict[str, float], str]:
        """Mean log-probability per token of each choice, or none with a note why no model was heard."""
        if len(choices) == 1:
            return {}, "the only valid choice"
        name = self._dependencies.spec.arbitrator.model_ref.name
        entry = self._dependencies.registry.get(name)
        if entry is None or not entry.healthy:
            return {}, f"model {name} is not ready: decided by the router's prior"
        known = (self._dependencies.registry.get(each.service) for each in recommendation.services)
        services = [found for found in known if found]
        chat = arbitration_prompt(self._dependencies.spec, state, step, recommendation, services, choices)
        request = model_pb2.ScoreRequest(chat=chat, candidates=choices)
        context = task.call_context(0, self._dependencies.now() + SCORE_SECONDS)
        try:
            effect = await self._dependencies.effects.once(
                task.context.run_id,
                context.call_id,
                SCORE_METHOD,
                request,
                model_pb2.ScoreResponse,
                lambda: self._dependencies.clients.score(name, entry.target, request, context),
            )
        except ServiceCallFailed as error:
            return {}, f"{error}: decided by the router's prior"
        scored = effect.answer.candidates
        return {each.candidate: each.log_probability / max(each.tokens, 1) for each in scored}, f"model {name}"

    def _ask(self, task: Task, step: Step, recommendation: Recommendation) -> str:
        """Waits, durably, for the answer to a clarifying question."""
        question_id = str(uuid.uuid5(uuid.NAMESPACE_OID, task.task_id))
        options = [each.service for each in recommendation.services]
        text = f"It is not clear which service fits step {step.name}. What exactly shall be done?"
        question = {"question_id": question_id, "text": text, "options": options}
        task.record("QuestionAsked", **question)
        task.transaction.update(state="waiting", pending={"kind": "question", **question})
        answer = str(interrupt(question))
        task.record("QuestionAnswered", question_id=question_id, answer=answer)
        task.transaction.update(state="running", pending=None)
        return answer


def priors(spec: AgentWorkflowSpec, state: RunState, step: Step, recommendation: Recommendation) -> dict[str, float]:
    """The valid choices with their prior probabilities, which sum to 1."""
    weights = {INVOKE + each.service: max(each.confidence, 1e-3) for each in recommendation.services}
    if step.optional:
        weights[SKIP] = max(recommendation.none_probability, 1e-3)
    total = sum(weights.values())
    finish = _finish_prior(spec, state, step)
    shares = {choice: weight / total * (1 - finish) for choice, weight in weights.items()} if total else {}
    return shares | ({FINISH: finish if total else 1.0} if finish else {})


def _finish_prior(spec: AgentWorkflowSpec, state: RunState, step: Step) -> float:
    """0 when finishing is not valid: there must be a draft, and either an optional step or too few hops left."""
    if not best_draft(state["outputs"]):
        return 0.0
    needed = hops_to_end(spec, step)
    pressure = max(0.0, 1 - state["remaining_hops"] / needed)
    if not step.optional and pressure == 0:
        return 0.0
    return FINISH_PRIOR + FINISH_PRIOR_UNDER_PRESSURE * pressure


def hops_to_end(spec: AgentWorkflowSpec, step: Step) -> int:
    """Hops that a run needs from this step to its end when every review approves."""
    names = [each.name for each in spec.steps]
    return len(names) - names.index(step.name)


def rank(prior: Mapping[str, float], scores: Mapping[str, float], weight: float) -> list[Choice]:
    """Choices by falling posterior; without scores the posterior is the prior."""
    logits = {choice: math.log(share) + weight * scores.get(choice, 0.0) for choice, share in prior.items()}
    highest = max(logits.values())
    total = sum(math.exp(logit - highest) for logit in logits.values())
    ranked: list[Choice] = [
        {
            "choice": choice,
            "probability": math.exp(logit - highest) / total,
            "prior": prior[choice],
            "log_probability": scores.get(choice, 0.0),
        }
        for choice, logit in logits.items()
    ]
    return sorted(ranked, key=lambda each: each["probability"], reverse=True)


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


def _deliver(task: Task, inbox: list[Message]) -> None:
    """Marks the messages as delivered in the transaction that also checkpoints them for the step."""
    task.transaction.deliver([message["message_id"] for message in inbox])
    for message in inbox:
        task.record_once("MessageDelivered", message["message_id"], message_id=message["message_id"])


def _skip(spec: AgentWorkflowSpec, task: Task, state: RunState) -> StateUpdate:
    following = step_after(spec, state, task.step, "", state["remaining_hops"])
    task.record("StepSkipped", remaining_hops=state["remaining_hops"])
    return {"next_step": following.step, "outcome": following.outcome, "reason": following.reason}
