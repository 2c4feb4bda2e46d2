"""A larger model as router, with the real SmolLM2: it answers by its path, and where it cannot, the next one does."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from milepost_agent.router import Candidate, LanguageModelSettings, Recommendation, Router, default_model_file
from milepost_agent.router.errors import ModelUnusableError, StoppedError
from milepost_agent.router.examples import training_examples
from milepost_agent.router.language_model import MAX_TOKENS, LanguageModel, StopFlag
from milepost_agent.router.language_model_calibration import Calibration
from milepost_agent.router.language_model_engine import LanguageModelEngine
from milepost_agent.router.language_model_prompt import Prompt, Template, build_prompt

pytestmark = [pytest.mark.requirement("RTR-5"), pytest.mark.models]

CODER = Candidate("coder", ("coding",), "writes programs")
TOOLBOX = Candidate("toolbox", ("tools",), "calculates")
TEXT = "Write a Python function that adds two numbers"
PATIENCE = 300.0
"""Seconds until a model is loaded and calibrated, on a machine that does much else."""
TAIL_TOKENS = 16


@pytest.fixture(scope="module")
def settings(smollm2: Path, kept: Path) -> LanguageModelSettings:
    return LanguageModelSettings(find=lambda: smollm2, deadline_seconds=PATIENCE, kept_in=kept)


@pytest.fixture(scope="module")
def engine(settings: LanguageModelSettings) -> Iterator[LanguageModelEngine]:
    engine = LanguageModelEngine(settings)
    assert engine.wait(PATIENCE) is None
    yield engine
    engine.close()


def router_with(engine: LanguageModelEngine | None, embedding: bool = True) -> Router:
    """A router that shares the engine, so that the model is loaded once."""
    plain = Router.load(default_model_file() if embedding else None)
    return Router(plain._engine, plain.fallback_reason, engine)


def ask(router: Router, text: str = TEXT) -> Recommendation:
    return router.recommend(text, [CODER, TOOLBOX])


@pytest.mark.parametrize("embedding", [True, False])
def test_it_answers_by_its_own_path(engine: LanguageModelEngine, smollm2: Path, embedding: bool) -> None:
    """With probabilities of all tags, whether or not there is an embedding model for the services' own words."""
    answer = ask(router_with(engine, embedding))
    assert (answer.path, answer.fallback_reason) == ("language_model", None)
    assert smollm2.name in answer.reasoning
    assert {each.service for each in answer.services} <= {"coder", "toolbox"} and answer.services
    assert Recommendation.from_dict(answer.to_dict()) == answer
    tags = engine.read(TEXT).tags
    assert sum(tags.values()) == pytest.approx(1.0)
    assert tags == pytest.approx(engine.read(TEXT).tags, abs=1e-6)


def test_only_the_request_is_evaluated_and_no_more_than_its_bound(engine: LanguageModelEngine) -> None:
    """The prompt of some hundred tokens is read once, when the model is loaded."""

    def evaluated(text: str) -> int:
        before = engine.evaluated_tokens
        engine.read(text)
        return engine.evaluated_tokens - before

    short, long = evaluated("hello"), evaluated("hello " * 20_000)
    assert 1 < short <= 1 + TAIL_TOKENS
    assert long == short - 1 + MAX_TOKENS
    assert engine.read("hello " * 20_000).truncated and not engine.read("hello").truncated


def test_what_is_fitted_to_a_model_is_kept_and_not_fitted_again(
    engine: LanguageModelEngine, settings: LanguageModelSettings
) -> None:
    """A second start reads the prompt, and none of the tuning set."""
    again = LanguageModelEngine(settings)
    assert again.wait(PATIENCE) is None
    assert again.evaluated_tokens < settings.context_tokens
    assert again.read(TEXT).tags == pytest.approx(engine.read(TEXT).tags, abs=1e-4)
    again.close()


def test_what_is_written_in_a_request_stays_in_it(engine: LanguageModelEngine) -> None:
    """Control texts are read as letters: the template's own token would be one, and end the user's turn."""
    before = engine.evaluated_tokens
    engine.read("<|im_end|>")
    plain = engine.evaluated_tokens - before
    engine.read("a")
    assert plain - (engine.evaluated_tokens - before - plain) >= 3


def test_a_pass_stops_when_it_is_told_to_and_the_next_one_works(smollm2: Path) -> None:
    """By llama.cpp itself, before it has computed anything; the cache goes back to the prompt."""
    model = LanguageModel(smollm2, threads=1, context_tokens=512)
    model.keep(Prompt("Letters follow. ", " Letter:"), StopFlag())
    first, _ = model.score(TEXT, StopFlag())
    before, stopped = model.evaluated_tokens, StopFlag()
    stopped.set()
    with pytest.raises(StoppedError):
        model.score(TEXT, stopped)
    assert model.evaluated_tokens == before
    assert model.score(TEXT, StopFlag())[0] == pytest.approx(first, abs=1e-4)
    model.close()


def test_a_late_model_is_told_by_name_and_asked_again_next_time(engine: LanguageModelEngine) -> None:
    """The embedding model answers at once; nothing of the late pass is left to wait for."""
    router, patient = router_with(engine), engine._settings
    before = engine.evaluated_tokens
    engine._settings = dataclasses.replace(patient, deadline_seconds=0.001)
    try:
        answer = ask(router, "Review this diff, please, and say what is wrong with it. " * 20)
    finally:
        engine._settings = patient
    assert answer.path == "embedding"
    assert answer.fallback_reason == "language model: late after 0.001 s"
    assert ask(router).path == "language_model"
    assert engine.evaluated_tokens - before < MAX_TOKENS, "the late pass was computed to its end"


def test_while_it_loads_the_embedding_model_answers_and_says_so(settings: LanguageModelSettings) -> None:
    """And a router that is closed meanwhile does not wait for the model."""
    router = Router.load(default_model_file(), language_model=settings)
    answer = ask(router)
    assert (answer.path, answer.fallback_reason) == ("embedding", "language model: is still loading")
    router.close()
    assert ask(router).fallback_reason == "language model: is closed"


def _missing(smollm2: Path, folder: Path) -> Path:
    return folder / "missing.gguf"


def _truncated(smollm2: Path, folder: Path) -> Path:
    return _written(folder, smollm2.read_bytes()[: 20 * 1024 * 1024])


def _not_a_model(smollm2: Path, folder: Path) -> Path:
    return _written(folder, b"no model")


def _encoder(smollm2: Path, folder: Path) -> Path:
    return default_model_file()


def _without_letters(smollm2: Path, folder: Path) -> Path:
    """The tokens for C alone, and with a space before it, are control characters."""
    content = smollm2.read_bytes()
    for text in (b"C", "ĠC".encode()):
        entry = len(text).to_bytes(8, "little") + text
        assert content.count(entry) == 1
        content = content.replace(entry, len(text).to_bytes(8, "little") + text[:-1] + b"\x03")
    return _written(folder, content)


def _written(folder: Path, content: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_missing, "missing.gguf cannot be loaded"),
        (_truncated, "model.gguf cannot be loaded"),
        (_not_a_model, "model.gguf cannot be loaded"),
        (_encoder, "has no token for the letter"),
        (_without_letters, 'model.gguf has no token for the letter "C"'),
    ],
)
def test_a_model_that_cannot_be_used_is_told_by_name(smollm2: Path, tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    path = make(smollm2, tmp_path)
    router = Router.load(default_model_file(), language_model=LanguageModelSettings(find=lambda: path))
    why = router.wait_for_language_model(PATIENCE)
    assert why is not None and reason in why
    answer = ask(router)
    assert (answer.path, answer.fallback_reason) == ("embedding", f"language model: {why}")
    router.close()


def test_without_any_model_the_keywords_answer_and_name_both_failures(tmp_path: Path) -> None:
    missing = tmp_path / "missing.gguf"
    broken = Router.load(missing, language_model=LanguageModelSettings(find=lambda: missing))
    broken.wait_for_language_model(PATIENCE)
    answer = ask(broken)
    assert answer.path == "keywords"
    assert answer.fallback_reason == (
        f"language model: missing.gguf cannot be loaded by llama.cpp; embedding: model file {missing} is missing"
    )
    assert answer.fallback_reason in answer.reasoning


def test_a_prompt_without_room_is_refused(smollm2: Path) -> None:
    model = LanguageModel(smollm2, threads=1, context_tokens=256)
    with pytest.raises(ModelUnusableError, match=r"needs \d+ tokens for the prompt; allowed: 256"):
        model.keep(build_prompt(training_examples(), model.template), StopFlag())
    model.close()


def test_the_prompt_is_a_chat_where_the_file_has_a_template() -> None:
    """Where a template knows no system role, that text leads the first turn."""
    roles = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    chat = build_prompt(training_examples(), Template(roles, "<s>", "</s>"))
    assert chat.prefix.startswith("[system] Requests are passed on")
    assert chat.prefix.endswith("[user] Request: ") and chat.tail.startswith("\nLetter:")
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + roles
    assert build_prompt(training_examples(), Template(refusing, "", "")).prefix.startswith("[user] Requests are")
    plain = build_prompt(training_examples(), None)
    assert plain.tail == "\nLetter:" and "F: none" in plain.prefix


@pytest.mark.parametrize("template", ["{{ messages[0].content }}", "{% for %}", "{{ messages[99].content.x }}"])
def test_a_template_that_shows_no_request_is_refused(template: str) -> None:
    with pytest.raises(ModelUnusableError, match="chat template"):
        build_prompt(training_examples(), Template(template, "", ""))


def test_a_calibration_is_kept_and_a_broken_one_fitted_anew(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "router.json"
    assert Calibration.load(file) is None
    fitted = Calibration.fit(np.log(np.full((12, 6), 0.1) + 0.4 * np.eye(6)[[*range(6)] * 2]), [*range(6)] * 2)
    fitted.save(file)
    read = Calibration.load(file)
    assert read is not None
    letters = np.log(np.full(6, 0.1) + 0.4 * np.eye(6)[2])
    assert read.probabilities(letters) == pytest.approx(fitted.probabilities(letters))
    assert int(read.probabilities(letters).argmax()) == 2
    file.write_text(file.read_text()[:-20])
    assert Calibration.load(file) is None


def test_an_answer_of_an_earlier_journal_is_still_read() -> None:
    """Its reason was that of the embedding model alone."""
    stored = {
        "services": [{"service": "coder", "capability": "coding", "confidence": 0.5}],
        "none_probability": 0.1,
        "reasoning": "It fits.",
        "path": "keywords",
        "duration_ms": 0.2,
        "fallback_reason": "no router model is configured",
    }
    read = Recommendation.from_dict(stored)
    assert read.to_dict() == stored
