"""The router on its real model: what it recommends, how it says so, and that it never stands in the way."""

import json
import threading
from pathlib import Path

import pytest

from milepost_agent.router import Candidate, Recommendation, Router, default_model_file
from milepost_agent.router.embedding import Embedder

pytestmark = pytest.mark.models

CODER = Candidate("coder", ("coding",), "Writes program code")
REVIEWER = Candidate("reviewer", ("review",), "Reviews code and texts")
DOCUMENTS = Candidate("documents", ("rag",), "Answers from the company's documents")
TOOLBOX = Candidate("toolbox", ("tools",), "Calculator and clock")
CHAT = Candidate("chat", ("general",), "Talks about everything")
ALL = (CODER, REVIEWER, DOCUMENTS, TOOLBOX, CHAT)


@pytest.fixture(scope="module")
def router() -> Router:
    router = Router.load(default_model_file())
    assert router.fallback_reason is None
    router.learn(ALL)
    return router


@pytest.mark.requirement("RTR-1")
def test_an_answer_is_json_with_confidence_reasoning_none_and_time(router: Router) -> None:
    answer = router.recommend("Write a Go function that parses a date", ALL)
    written = json.loads(json.dumps(answer.to_dict()))
    assert Recommendation.from_dict(written) == answer
    assert written["services"][0] == {
        "service": "coder",
        "capability": "coding",
        "confidence": pytest.approx(1, abs=0.1),
    }
    assert 0 <= written["none_probability"] < 0.1
    assert written["duration_ms"] > 0
    assert written["path"] == "embedding"
    assert "nearest known example: " in written["reasoning"]
    assert "coder fits best" in written["reasoning"]


@pytest.mark.requirement("RTR-1")
@pytest.mark.parametrize("text", ["Book me a flight to Rome", "Turn the heating off", "Pay my phone bill"])
def test_what_nobody_does_is_answered_with_none(router: Router, text: str) -> None:
    answer = router.recommend(text, ALL)
    assert answer.none_probability > 0.5
    assert all(service.confidence < answer.none_probability for service in answer.services)
    assert "Probably nothing here fits" in answer.reasoning or "No ready service" in answer.reasoning


@pytest.mark.requirement("RTR-2")
def test_only_given_candidates_with_a_relevant_tag_are_named(router: Router) -> None:
    text = "Please review this pull request for bugs"
    assert [service.service for service in router.recommend(text, ALL).services] == ["reviewer"]
    without = router.recommend(text, [CODER, DOCUMENTS, TOOLBOX])
    assert without.none_probability > 0.5
    assert "reviewer" not in {service.service for service in without.services}


@pytest.mark.requirement("RTR-2")
def test_a_service_that_appears_or_goes_is_seen_by_the_next_call(router: Router) -> None:
    text = "What does the staff handbook say about overtime?"
    assert router.recommend(text, [CODER]).none_probability > 0.5
    assert router.recommend(text, [CODER, DOCUMENTS]).services[0].service == "documents"
    assert router.recommend(text, [CODER]).none_probability > 0.5


@pytest.mark.requirement("RTR-2")
def test_with_a_capability_only_its_carriers_are_considered(router: Router) -> None:
    answer = router.recommend("What time is it in Oslo?", ALL, "coding")
    assert [(service.service, service.capability) for service in answer.services] == [("coder", "coding")]
    nobody = router.recommend("Draw a cat", ALL, "painting")
    assert (nobody.services, nobody.none_probability) == ((), 1.0)
    assert nobody.reasoning == "No ready service carries painting."


def test_no_candidates_and_no_text_are_answered(router: Router) -> None:
    assert router.recommend("Write code", []).reasoning == "No service is ready."
    assert router.recommend(" \n", ALL).reasoning == "The text is empty."
    assert router.recommend("Write code", []).none_probability == 1.0


def test_at_most_three_best_first(router: Router) -> None:
    coders = [Candidate(f"coder-{number}", ("coding",), "Writes code") for number in range(5)]
    answer = router.recommend("Write a Python class for a queue", coders)
    confidences = [service.confidence for service in answer.services]
    assert len(confidences) == 3
    assert confidences == sorted(confidences, reverse=True)


def test_of_services_with_one_tag_the_better_described_leads(router: Router) -> None:
    rust = Candidate("rust", ("coding",), "Writes Rust programs")
    web = Candidate("web", ("coding",), "Builds web pages in HTML and CSS")
    router.learn([rust, web])
    assert router.recommend("Implement a Rust trait for shapes", [web, rust]).services[0].service == "rust"
    assert router.recommend("Make an HTML page with a CSS grid", [web, rust]).services[0].service == "web"


@pytest.mark.parametrize("examples", [0, 2, 8])
def test_a_tag_nobody_has_learned_is_reached_by_its_own_words(router: Router, examples: int) -> None:
    said = (
        "Diagnose a rash on my arm",
        "Which illness causes fever and a stiff neck?",
        "Is ibuprofen safe together with my heart pills?",
        "Explain my blood test values",
        "My knee is swollen after running, what could it be?",
        "What are the side effects of penicillin?",
        "How is asthma treated?",
        "Should I see a doctor about this headache?",
    )
    medic = Candidate("medic", ("medical-advice",), "Answers medical questions on illness and drugs", said[:examples])
    others = [CODER, REVIEWER, DOCUMENTS, TOOLBOX]
    router.learn([*others, medic])
    answer = router.recommend("Which drugs help against high fever and flu?", [*others, medic])
    assert (answer.services[0].service, answer.services[0].capability) == ("medic", "medical-advice")
    elsewhere = router.recommend("Write a Python function that sorts a list", [*others, medic])
    assert elsewhere.services[0].service == "coder"


def test_a_service_without_tags_or_words_does_no_harm(router: Router) -> None:
    bare = Candidate("bare", ())
    assert router.recommend("Write a Python function", [bare, CODER]).services[0].service == "coder"


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "word " * 20_000, "\0\x01\x02", "😀" * 50, "\ud800", "[SEP] [CLS] </s>", "写一个排序函数"],
    ids=["long word", "many words", "control", "emoji", "lone surrogate", "special tokens", "chinese"],
)
def test_odd_texts_are_answered_by_the_model(router: Router, text: str) -> None:
    answer = router.recommend(text, ALL)
    assert answer.path == "embedding"
    assert sum(service.confidence for service in answer.services) + answer.none_probability < 1.01


def test_a_long_text_is_read_at_both_ends_and_the_answer_says_so(router: Router) -> None:
    pasted = "lorem ipsum dolor sit amet " * 400
    answer = router.recommend(f"Review this function for bugs: {pasted} What is wrong with my code?", ALL)
    assert answer.services[0].service == "reviewer"
    assert answer.reasoning.endswith("Only what in it reads most like a request was read.")


def test_what_stands_at_the_end_of_a_long_text_counts() -> None:
    embedder, pasted = Embedder(default_model_file()), "lorem ipsum dolor sit amet " * 400
    asked = embedder.embed(f"{pasted} Calculate the area of a circle")
    other = embedder.embed(f"{pasted} Which chapter of the handbook is about leave?")
    assert asked.truncated
    assert float(asked.vector @ other.vector) < 0.95


def test_threads_share_one_router(router: Router) -> None:
    texts = ("Write a shell script", "What is 3 plus 4?", "Tell me a joke", "Review my patch")
    expected = {text: router.recommend(text, ALL).services for text in texts}
    wrong: list[str] = []

    def ask(text: str) -> None:
        answers = [router.recommend(text, ALL).services for _ in range(20)]
        wrong.extend(text for answer in answers if answer != expected[text])

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_the_model_says_nothing_on_the_process_streams(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    assert Router.load(tmp_path / "broken.gguf").fallback_reason
    assert Router.load(default_model_file()).fallback_reason is None
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.mark.requirement("RTR-1")
def test_reasoning_says_how_many_came_into_question_when_the_capability_is_fixed(router: Router) -> None:
    one, two = Candidate("a", ("rag",), "Looks things up", ()), Candidate("b", ("rag",), "Searches the handbook", ())
    alone = router.recommend("Write a function", [one], "rag").reasoning
    both = router.recommend("Write a function", [one, two], "rag").reasoning
    assert alone.startswith("a is the only ready service with rag. The text reads as coding")
    assert both.startswith("a fits best of 2 ready services with rag (rag, ")
