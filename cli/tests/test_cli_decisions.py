"""Recommendation and decision in words: the same on a page, in a line and in the live view."""

import io

import pytest
from rich.console import Console

from milepost.agent.v1 import agent_pb2
from milepost_cli.decisions import decision_text, path_text, recommendation_text
from milepost_cli.live import side_by_side
from milepost_cli.narration import narrate
from milepost_cli.pages import print_run
from milepost_cli.progress import Event, Progress

NEITHER = [("skip", "step skipped"), ("finish", "finished early"), ("ask", "asked the user")]


def page(*hops: agent_pb2.Hop, outcome: "agent_pb2.RunOutcome" = agent_pb2.RUN_OUTCOME_UNSPECIFIED) -> str:
    out = io.StringIO()
    print_run(Console(file=out, width=200), agent_pb2.Run(run_id="r", hops=hops, outcome=outcome), "")
    return out.getvalue()


def test_words_of_a_recommendation() -> None:
    services = [{"service": "docs", "confidence": 0.83, "capability": "rag"}, {"service": "toolbox", "confidence": 0.1}]
    assert recommendation_text(services, 0.07) == "docs 0.83 (rag), toolbox 0.10; none 0.07"
    assert recommendation_text([], 1.0) == "no service; none 1.00"
    assert (path_text("keywords", 0.25), path_text("", 12)) == ("[keywords, 0.2 ms]", "[12 ms]")


@pytest.mark.requirement("ARB-2")
@pytest.mark.parametrize(("action", "words"), NEITHER)
def test_skip_finish_and_ask_neither_agree_nor_overrule(action: str, words: str) -> None:
    shares = [{"probability": 0.88}, {"probability": 0.12}]
    assert decision_text(action, "", False, shares) == f"{words} 0.88"
    hop = agent_pb2.Hop(
        hop_index=1,
        step="research",
        recommendation=agent_pb2.Recommendation(path="embedding"),
        decision=agent_pb2.Decision(
            action=action, reason="because", choices=[agent_pb2.ScoredChoice(probability=0.88)], duration_ms=3
        ),
    )
    shown = page(hop)
    assert f"hop 1  research {words}" in shown
    assert f"arbitrator decides  {words} 0.88  [3.0 ms]" in shown
    event = Event(1, "Decided", "research", 1, 0.0, {"action": action, "choices": shares, "agreed": False})
    [line] = narrate(event, Progress("r", "flow"))
    assert line.text == f"hop 1  arbitrator decides {words} 0.88  [0.0 ms]"
    assert not any(word in text for word in ("agreed", "overruled") for text in (shown, line.text))


def test_a_service_is_agreed_on_or_overruled_also_where_no_choices_were_weighed() -> None:
    assert decision_text("invoke", "docs", True, [{"probability": 0.7}]) == "docs 0.70  agreed"
    assert decision_text("invoke", "docs", False) == "docs  overruled"


def test_the_live_view_tells_why_another_path_answered() -> None:
    data = {
        "services": [{"service": "docs", "confidence": 0.8, "capability": "rag"}],
        "none_probability": 0.2,
        "path": "keywords",
        "duration_ms": 0.5,
        "reasoning": "words",
        "fallback_reason": "embedding: the file is cut off",
    }
    recommended = Event(1, "Recommended", "research", 1, 0.0, data)
    decided = Event(2, "Decided", "research", 1, 0.0, {"action": "invoke", "service": "docs", "agreed": True})
    out = io.StringIO()
    Console(file=out, width=160).print(side_by_side(decided, recommended))
    shown = out.getvalue()
    assert "[keywords, 0.5 ms]" in shown and "fallback: embedding: the file is cut off" in shown
    assert "arbitrator decides docs agreed" in shown
    lines = [line.text for line in narrate(recommended, Progress("r", "flow"))]
    assert lines == [
        "hop 1  router recommends  docs 0.80 (rag); none 0.20  [keywords, 0.5 ms]",
        "    because words",
        "    fallback: embedding: the file is cut off",
    ]


def test_a_hop_of_an_ended_run_is_not_under_way() -> None:
    hop = agent_pb2.Hop(hop_index=1, step="research", recommendation=agent_pb2.Recommendation(path="embedding"))
    assert "hop 1  research  under way" in page(hop)
    ended = page(hop, outcome=agent_pb2.RUN_OUTCOME_FAILED)
    assert "hop 1  research  not done" in ended and "under way" not in ended
