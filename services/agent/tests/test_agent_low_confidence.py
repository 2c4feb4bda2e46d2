"""When the router is unsure: a default service, a question to the user, or an honest end; and models that are slow."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_harness import Harness, ScriptedService, agent, workflow
from milepost_agent.nodes.arbitrate import SCORE_SECONDS, SCORE_SHARE
from milepost_agent.router import TAGS, Candidate, Recommendation, ScoredService
from milepost_crds import AgentWorkflow


class Unsure:
    """A router that gives each of the candidates the same confidence, and the rest to "none"."""

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence

    def recommend(self, text: str, candidates: Sequence[Candidate], capability: str | None = None) -> Recommendation:
        services = tuple(ScoredService(each.name, each.capabilities[0], self.confidence) for each in candidates)
        return Recommendation(services, 1 - self.confidence * len(services), "a guess", "embedding", 1.0)

    def score_tags(self, text: str) -> dict[str, float]:
        return dict.fromkeys(TAGS, self.confidence)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        pass


def flow(*, capability: str | None = "coding", ask: bool = False, default: str = "", **step: Any) -> AgentWorkflow:
    work = {"name": "work", "role": "worker", **({"capability": capability} if capability else {}), **step}
    arbitrator = {"modelRef": {"name": "brain"}, "onLowConfidence": "ask" if ask else "defaultService"}
    router = {"defaultService": {"name": default}} if default else {}
    return workflow(steps=[work], arbitrator=arbitrator, router=router)


async def decided(harness: Harness, run_id: str) -> dict[str, Any]:
    return [event.data for event in await harness.events(run_id) if event.type == "Decided"][-1]


@pytest.mark.requirement("RTR-3")
@pytest.mark.parametrize("default", ["absent", "writer"])
async def test_a_default_service_that_is_not_ready_or_lacks_the_capability_is_passed_over(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService], default: str
) -> None:
    writer = ScriptedService("writer", ("general",))
    await writer.start()
    async with agent(tmp_path, flow(default=default), *two, writer, router=Unsure(0.3)) as harness:
        run = await harness.run()
        decision = await decided(harness, run.run_id)
    await writer.stop()
    assert (run.outcome, decision["service"], writer.requests) == ("Completed", "alpha", [])
    assert decision["reason"] == (
        "alpha (0.50) over brain (0.50): the router gave 0.30, below the threshold of 0.50, and default service "
        f"{default} is not ready for it, model brain has no clear opinion; 3 of 3 hops left"
    )


@pytest.mark.requirement("RTR-3")
async def test_where_none_fits_is_likelier_than_any_service_the_run_says_so(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    async with agent(tmp_path, flow(capability=None), *two, router=Unsure(0.1)) as harness:
        run = await harness.run()
    assert run.outcome == "Failed"
    assert run.reason == (
        "NoServiceFits: step work: no ready service fits this request (none fits 0.80, alpha 0.10); "
        "give the step a capability or the workflow a default service"
    )
    assert not any(service.requests for service in two)


@pytest.mark.requirement("RTR-3")
async def test_a_step_with_a_capability_is_done_however_little_the_request_asks_for_it(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    async with agent(tmp_path, flow(), *two, router=Unsure(0.1)) as harness:
        run = await harness.run()
        decision = await decided(harness, run.run_id)
    assert run.outcome == "Completed"
    assert "below the threshold of 0.50, and there is no default service" in decision["reason"]


@pytest.mark.requirement("RTR-3", "DUR-3")
async def test_the_user_who_names_one_of_the_offered_services_gets_it_also_after_a_restart(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    asking = flow(capability=None, ask=True)
    async with agent(tmp_path, asking, *two, router=Unsure(0.1)) as harness:
        accepted, _ = await harness.runner.accept("hm")
        question = (await harness.reached(accepted.run_id, "waiting")).pending or {}
    async with agent(tmp_path, asking, *two, router=Unsure(0.1), recovering=True) as harness:
        await harness.steering.answer(accepted.run_id, "question", question["question_id"], " Brain\n")
        run = await harness.ended(accepted.run_id)
        decisions = [event.data for event in await harness.events(run.run_id) if event.type == "Decided"]
    assert question["options"] == ["alpha", "brain"]
    assert [(each["action"], each["service"], each["agreed"]) for each in decisions] == [
        ("ask", "", False),
        ("invoke", "brain", False),
    ]
    assert [each["reason"] for each in decisions] == [
        "the user is asked: the router gave alpha 0.10, below the threshold of 0.50; 3 of 3 hops left",
        "the user chose brain: the router gave 0.10; 3 of 3 hops left",
    ]
    assert (run.outcome, len(two[0].requests), len(two[1].requests)) == ("Completed", 0, 1)


async def test_an_answer_that_names_no_service_is_read_and_weighed(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    asking = flow(ask=True)
    async with agent(tmp_path, asking, *two, router=Unsure(0.3)) as harness:
        accepted, _ = await harness.runner.accept("hm")
        question = (await harness.reached(accepted.run_id, "waiting")).pending or {}
        answer = "tools, and nothing else"
        await harness.steering.answer(accepted.run_id, "question", question["question_id"], answer)
        run = await harness.ended(accepted.run_id)
        decision = await decided(harness, run.run_id)
    assert {each["choice"] for each in decision["choices"]} == {"invoke:alpha", "invoke:brain"}
    assert f'"user": "{answer}"' in two[1].prompts[0]
    assert "the router gave" in decision["reason"]


@pytest.mark.requirement("ARB-1", "AGT-3")
@pytest.mark.parametrize(("timeout", "longest"), [("5m", SCORE_SECONDS), ("8s", 8 * SCORE_SHARE)])
async def test_a_slow_model_is_given_a_part_of_the_hop_and_then_the_prior_decides(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService], timeout: str, longest: float
) -> None:
    given: list[float] = []

    async def stay(context: Any) -> None:
        given.append(context.time_remaining())
        if longest < SCORE_SECONDS:
            await asyncio.Event().wait()

    two[1].scored = stay
    async with agent(tmp_path, flow(timeout=timeout), *two, router=Unsure(0.5)) as harness:
        run = await harness.run()
        decision = await decided(harness, run.run_id)
    assert run.outcome == "Completed"
    assert len(given) == 1
    assert 0 < given[0] <= longest * 1.05, "gRPC rounds up what is left"
    late = "brain: DeadlineExceeded" in decision["reason"] and "decided by the router's prior" in decision["reason"]
    assert late == (longest < SCORE_SECONDS)
    assert all(each["probability"] == each["prior"] for each in decision["choices"]) or not late
