"""The router informs, the arbitrator decides: priors, posterior, agreement, and the record of both."""

import asyncio
import itertools
import math
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_harness import ScriptedService, agent, cyclic, workflow
from milepost_agent.conversion import run_message
from milepost_agent.graph import initial_state
from milepost_agent.nodes.case import Case
from milepost_agent.nodes.choices import LARGEST_EVIDENCE, NOISE, Score, priors, rank
from milepost_agent.router import Recommendation, ScoredService
from milepost_agent.state import Output, RunState
from milepost_agent.store import LedgerEntry, NewMessage, Store
from milepost_crds import AgentWorkflow

EVENT_SCHEMA = Path(__file__).parents[3] / "docs" / "event_schema.md"
FLOW = {"steps": [{"name": "code", "role": "coder", "capability": "coding", "instructions": "Write it."}]}


def recommended(*confidences: float, none: float = 0.0) -> Recommendation:
    services = tuple(ScoredService(f"s{index}", "coding", value) for index, value in enumerate(confidences))
    return Recommendation(services, none, "because", "embedding", 1.0)


def with_draft(state: RunState, remaining: int) -> RunState:
    draft: Output = {
        "step": "code",
        "role": "coder",
        "service": "s0",
        "text": "draft",
        "verdict": "",
        "cycle": 1,
        "hop_index": 2,
    }
    return {**state, "outputs": [draft], "remaining_hops": remaining}


def case(flow: AgentWorkflow, state: RunState, *confidences: float, step: int = 0) -> Case:
    return Case(flow.spec, state, flow.spec.steps[step], recommended(*confidences))


def scored(**log_probabilities: float) -> dict[str, Score]:
    return {choice: Score(value, 1, 0.0) for choice, value in log_probabilities.items()}


def test_without_scores_the_posterior_is_the_prior() -> None:
    ranked = rank({"a": 0.7, "b": 0.3}, {}, 0.3)
    assert [(each["choice"], round(each["probability"], 6)) for each in ranked] == [("a", 0.7), ("b", 0.3)]


@pytest.mark.requirement("ARB-1")
def test_posterior_is_prior_times_evidence_to_the_weight() -> None:
    ranked = rank({"a": 0.7, "b": 0.3}, scored(a=-5.0, b=-1.0), 0.5)
    odds = 0.7 / 0.3 * math.exp(0.5 * (-5.0 + 1.0 + NOISE))
    assert math.isclose(ranked[0]["probability"] / ranked[1]["probability"], 1 / odds, rel_tol=1e-9)
    assert ranked[0]["choice"] == "b"


def test_what_a_choice_scores_without_the_request_is_no_evidence() -> None:
    """A long and rare name costs log-probability with every request alike."""
    ranked = rank({"a": 0.6, "b": 0.4}, {"a": Score(-30.0, 6, -31.0), "b": Score(-2.0, 2, -3.0)}, 1.0)
    assert [(each["choice"], each["evidence"]) for each in ranked] == [("a", 0.0), ("b", 0.0)]
    assert [(each["choice"], each["log_probability"]) for each in ranked] == [("a", -5.0), ("b", -1.0)]
    assert math.isclose(ranked[0]["probability"], 0.6)


def test_a_difference_that_wording_alone_makes_is_no_evidence() -> None:
    ranked = rank({"a": 0.51, "b": 0.49}, scored(a=-NOISE, b=0.0), 1.0)
    assert [(each["choice"], each["evidence"]) for each in ranked] == [("a", 0.0), ("b", 0.0)]


def test_one_sided_evidence_has_a_limit() -> None:
    ranked = rank({"a": 0.5, "b": 0.5}, scored(a=0.0, b=-1000.0), 0.3)
    odds = ranked[0]["probability"] / ranked[1]["probability"]
    assert math.isclose(odds, math.exp(0.3 * LARGEST_EVIDENCE)) and 4.4 < odds < 4.5


def test_weight_zero_ignores_the_model() -> None:
    assert rank({"a": 0.6, "b": 0.4}, scored(a=-50.0, b=0.0), 0.0)[0]["choice"] == "a"


def test_finish_is_no_choice_before_there_is_a_draft_or_while_hops_suffice() -> None:
    flow = cyclic()
    state = initial_state(flow.spec, "go")
    assert "finish" not in priors(case(flow, {**state, "remaining_hops": 1}, 0.9, step=1))
    assert "finish" not in priors(case(flow, with_draft(state, 3), 0.9, step=1))


@pytest.mark.requirement("ARB-1")
@given(
    steps=st.integers(1, 3),
    position=st.integers(0, 2),
    optional=st.booleans(),
    confidences=st.lists(st.floats(0.0, 1.0), min_size=0, max_size=3),
    relevance=st.floats(0.0, 1.0),
    evidence=st.lists(st.floats(-20.0, 0.0), min_size=5, max_size=5),
    weight=st.floats(0.0, 1.0),
)
def test_the_fewer_hops_are_left_the_more_it_leans_to_completion(
    steps: int,
    position: int,
    optional: bool,
    confidences: list[float],
    relevance: float,
    evidence: list[float],
    weight: float,
) -> None:
    """Whatever router and model say, as long as they say the same."""
    flow = workflow(
        maxHops=3,
        steps=[{"name": f"s{index}", "role": "worker", "optional": optional} for index in range(steps)],
    )
    state: RunState = {**initial_state(flow.spec, "go"), "relevance": relevance}

    def finishes(left: int) -> float:
        prior = priors(case(flow, with_draft(state, left), *confidences, step=min(position, steps - 1)))
        assert math.isclose(sum(prior.values()), 1.0) or not prior
        scores = {choice: Score(evidence[index], 1, 0.0) for index, choice in enumerate(prior)}
        ranked = rank(prior, scores, weight) if prior else []
        return next((each["probability"] for each in ranked if each["choice"] == "finish"), 0.0)

    shares = [finishes(left) for left in range(10, -1, -1)]
    assert all(more >= fewer - 1e-12 for fewer, more in itertools.pairwise(shares))
    assert shares[0] < shares[-1] or shares[-1] == 1.0


def test_priors_of_all_valid_choices_sum_to_one() -> None:
    flow = workflow(steps=[{"name": "look", "role": "researcher", "capability": "rag", "optional": True}])
    state = initial_state(flow.spec, "go")
    state = {**with_draft(state, 1), "relevance": 0.4}
    prior = priors(case(flow, state, 0.5, 0.2))
    assert set(prior) == {"invoke:s0", "invoke:s1", "skip", "finish"}
    assert math.isclose(prior["invoke:s0"] / prior["invoke:s1"], 2.5)
    assert math.isclose(sum(prior.values()), 1.0)


@pytest.mark.requirement("ARB-1", "ARB-2")
async def test_model_can_overrule_the_router_and_both_are_recorded(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "milepost_agent")
    _, brain = two
    flow = workflow(**FLOW, arbitrator={"modelRef": {"name": "brain"}, "weight": 1.0})
    async with agent(tmp_path, flow, *two) as harness:
        first = await harness.run("first")
        events = {event.type: event.data for event in await harness.events(first.run_id)}
        favourite = events["Recommended"]["services"][0]["service"]
        assert events["Decided"]["agreed"] and events["Decided"]["service"] == favourite
        brain.scores = lambda candidate: -20.0 if candidate.endswith(favourite) else 0.0
        second = await harness.run("second")
        events = {event.type: event.data for event in await harness.events(second.run_id)}
        spans = {span.name: span for span in await harness.spans(second.run_id)}
    assert events["Recommended"]["services"][0]["service"] == favourite
    assert not events["Decided"]["agreed"]
    assert events["Decided"]["service"] != favourite
    decided = events["Decided"]["service"]
    assert re.fullmatch(
        rf"{decided} \(0\.\d\d\) over {favourite} \(0\.\d\d\), which was recommended: the router gave 0\.\d\d, "
        r"model brain speaks for it by a factor of at least 148\.4; 3 of 3 hops left",
        events["Decided"]["reason"],
    )
    assert math.isclose(sum(each["probability"] for each in events["Decided"]["choices"]), 1.0)
    assert re.search(rf"recommended {favourite} \(0\.\d\d\), decided {decided}, overruled: {decided} \(", caplog.text)
    confidence = spans["agent.route_recommendation"].attributes["router.confidence"]
    assert isinstance(confidence, float) and 0 < confidence <= 1
    assert spans["agent.arbitrate"].attributes["milepost.decision.agreed"] is False
    candidates = spans["agent.arbitrate"].attributes["milepost.router.candidates"]
    assert isinstance(candidates, list) and candidates[0] == favourite
    assert spans["agent.arbitrate"].attributes["milepost.decision.reason"] == events["Decided"]["reason"]


@pytest.mark.requirement("ARB-2")
async def test_the_events_of_a_hop_have_the_fields_that_the_page_of_events_names(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    async with agent(tmp_path, workflow(**FLOW), *two) as harness:
        run = await harness.run()
        events = {event.type: event.data for event in await harness.events(run.run_id)}
    for kind, nested in (("Recommended", "services"), ("Decided", "choices")):
        [row] = [line for line in EVENT_SCHEMA.read_text().splitlines() if line.startswith(f"| `{kind}` |")]
        written = {*events[kind], *events[kind][nested][0]}
        assert written == set(re.findall(r"`(\w+)(?:\[\])?`", row.split("|")[3]))


@pytest.mark.requirement("ARB-1", "ARB-2")
async def test_model_can_finish_before_an_optional_step_and_the_hop_is_over(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    flow = workflow(
        steps=[*FLOW["steps"], {"name": "polish", "role": "writer", "capability": "coding", "optional": True}],
        arbitrator={"modelRef": {"name": "brain"}, "weight": 1.0},
    )
    two[1].scores = lambda candidate: 0.0 if candidate == "finish" else -20.0
    async with agent(tmp_path, flow, *two) as harness:
        record = await harness.run()
        hops = run_message(record, await harness.events(record.run_id)).hops
    assert (record.outcome, record.remaining_hops, record.result) == ("Completed", 2, "coder 1")
    assert [(hop.decision.action, hop.decision.agreed) for hop in hops] == [("invoke", True), ("finish", False)]
    assert hops[1].HasField("end_time") and not hops[1].service


async def test_model_that_is_gone_leaves_the_decision_to_the_prior(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    flow = workflow(**FLOW, arbitrator={"modelRef": {"name": "absent"}})
    async with agent(tmp_path, flow, *two) as harness:
        record = await harness.run()
        decided = next(event.data for event in await harness.events(record.run_id) if event.type == "Decided")
    assert record.outcome == "Completed"
    assert (
        decided["agreed"]
        and "; absent: Unavailable: the model is not ready: decided by the router's prior; " in decided["reason"]
    )


@pytest.mark.requirement("ARB-1")
async def test_model_whose_health_is_not_yet_seen_is_waited_for(
    tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    """As after a restart of the agent."""
    judge = ScriptedService("judge", ("judging",), scores=lambda candidate: -20.0 * (candidate == "invoke:alpha"))
    await judge.start()
    flow = workflow(**FLOW, arbitrator={"modelRef": {"name": "judge"}, "weight": 1.0})
    target = judge.entry().target
    async with agent(tmp_path, flow, *two, judge) as harness:
        harness.registry.set_health("judge", target, False)
        record, _ = await harness.runner.accept("Write a function", "")
        async with asyncio.timeout(30):
            while "Recommended" not in await harness.types(record.run_id):
                await asyncio.sleep(0.01)
        harness.registry.set_health("judge", target, True)
        ended = await harness.ended(record.run_id)
        decided = next(event.data for event in await harness.events(record.run_id) if event.type == "Decided")
    await judge.stop()
    assert ended.outcome == "Completed"
    assert (decided["service"], len(judge.prompts)) == ("brain", 1)


@pytest.mark.requirement("RTR-2")
@pytest.mark.parametrize(
    ("prompt", "steps"), [("What is 12 * 7?", ["compute", "answer"]), ("Tell me a joke", ["answer"])]
)
async def test_optional_step_is_skipped_when_the_request_does_not_need_its_capability(
    tmp_path: Path, prompt: str, steps: list[str]
) -> None:
    worker = ScriptedService("worker", ("tools", "general"))
    await worker.start()
    flow = workflow(
        steps=[
            {
                "name": "compute",
                "role": "assistant",
                "capability": "tools",
                "optional": True,
                "instructions": "Use a tool.",
            },
            {"name": "answer", "role": "writer", "capability": "general"},
        ]
    )
    async with agent(tmp_path, flow, worker) as harness:
        record = await harness.run(prompt)
        events = await harness.events(record.run_id)
    await worker.stop()
    assert record.outcome == "Completed"
    assert [event.step for event in events if event.type == "StepCompleted"] == steps
    assert [event.step for event in events if event.type == "StepSkipped"] == ["compute"][: 2 - len(steps)]


async def test_optional_step_without_a_ready_service_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost_agent.nodes.recommend.OPTIONAL_STEP_SECONDS", 0.1)
    worker = ScriptedService("worker", ("general",))
    await worker.start()
    flow = workflow(
        steps=[
            {"name": "compute", "role": "assistant", "capability": "tools", "optional": True},
            {"name": "answer", "role": "writer", "capability": "general"},
        ]
    )
    async with agent(tmp_path, flow, worker) as harness:
        record = await harness.run("What is 12 * 7?")
        types = await harness.types(record.run_id)
    await worker.stop()
    assert (record.outcome, types.count("StepSkipped"), record.remaining_hops) == ("Completed", 1, 2)


async def test_request_that_no_service_fits_fails_by_name_or_goes_to_the_default_service(tmp_path: Path) -> None:
    worker = ScriptedService("worker", ("coding",))
    await worker.start()
    steps = [{"name": "work", "role": "worker"}]
    alone = workflow(steps=steps)
    guided = workflow(steps=steps, router={"defaultService": {"name": "worker"}})
    prompt = "Order me a large pizza and cancel my gym membership"
    async with agent(tmp_path / "alone", alone, worker) as harness:
        failed = await harness.run(prompt)
    async with agent(tmp_path / "guided", guided, worker) as harness:
        completed = await harness.run(prompt)
    await worker.stop()
    assert failed.outcome == "Failed" and failed.reason.startswith("NoServiceFits: step work: no ready service fits")
    assert (completed.outcome, len(worker.requests)) == ("Completed", 1)


@pytest.mark.requirement("DUR-3", "DUR-7")
async def test_an_opinion_that_was_recorded_before_a_death_is_used_and_another_question_is_asked_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, two: tuple[ScriptedService, ScriptedService]
) -> None:
    _, brain = two
    alive = tmp_path / "alive"
    alive.mkdir()
    recorded = asyncio.Event()
    put = Store.ledger_put

    async def put_and_stay(store: Store, entry: LedgerEntry) -> LedgerEntry:
        await put(store, entry)
        recorded.set()
        await asyncio.Event().wait()
        return entry

    flow = workflow(**FLOW)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "ledger_put", put_and_stay)
        async with agent(alive, flow, *two) as harness:
            record, _ = await harness.runner.accept("go")
            await asyncio.wait_for(recorded.wait(), 20)
            for copy in ("same", "told"):
                shutil.copytree(alive, tmp_path / copy)
    async with agent(tmp_path / "same", flow, *two, recovering=True) as harness:
        assert (await harness.ended(record.run_id)).outcome == "Completed"
    assert len(brain.prompts) == 1, "the opinion on the same question is in the ledger"
    store = await Store.open(tmp_path / "told" / "milepost.db")
    await store.send_message(record.run_id, NewMessage("m", "user", "coder", "use tabs"))
    await store.close()
    async with agent(tmp_path / "told", flow, *two, recovering=True) as harness:
        assert (await harness.ended(record.run_id)).outcome == "Completed"
    assert ["use tabs" in prompt for prompt in brain.prompts] == [False, True]
