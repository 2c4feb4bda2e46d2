"""The path of the larger model: a thread that loads it and answers one text after another, each by its deadline."""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from milepost_agent.router.errors import ModelUnusableError, StoppedError
from milepost_agent.router.examples import DATA_DIR, read_examples, training_examples
from milepost_agent.router.language_model import LanguageModel, StopFlag
from milepost_agent.router.language_model_calibration import Calibration, calibration_file, chosen_for_tuning
from milepost_agent.router.language_model_prompt import build_prompt
from milepost_agent.router.language_model_settings import LanguageModelSettings
from milepost_agent.router.tags import LABELS

END_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """Probabilities of the known tags and of "none", and whether the middle of the text was left out."""

    tags: dict[str, float]
    truncated: bool


@dataclass(frozen=True)
class _Question:
    text: str
    stop: StopFlag
    answer: Future[Reading]


class LanguageModelEngine:
    """Thread-safe. Loads in the background; until then, and when that fails, `read` says so."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        self._settings = settings
        self._model: LanguageModel | None = None
        self._failure: str | None = None
        self._loaded = threading.Event()
        self._closing = StopFlag()
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        # A daemon: a model that is being read from a slow disk must not hold up the end of the process.
        self._thread = threading.Thread(target=self._serve, name="router-language-model", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The name of the model's file; "" until it is loaded."""
        return self._model.name if self._model is not None else ""

    @property
    def evaluated_tokens(self) -> int:
        """Tokens that were computed since the start."""
        return self._model.evaluated_tokens if self._model is not None else 0

    def wait(self, seconds: float) -> str | None:
        """Blocks until the model is loaded and calibrated or cannot be; returns why it does not answer, or None."""
        self._loaded.wait(seconds)
        return self._hindrance()

    def read(self, text: str) -> Reading:
        """What the model says of a text; raises ModelUnusableError where it is not there, fails, or is late."""
        if (hindrance := self._hindrance()) is not None:
            raise ModelUnusableError(hindrance)
        question = _Question(text, StopFlag(), Future())
        self._questions.put(question)
        try:
            return question.answer.result(self._settings.deadline_seconds)
        except (TimeoutError, StoppedError):
            question.stop.set()
            raise ModelUnusableError(f"late after {float(self._settings.deadline_seconds)} s") from None

    def close(self) -> None:
        """Ends what is being loaded or read, and frees the model."""
        self._failure = "is closed"
        self._closing.set()
        self._questions.put(None)
        self._thread.join(END_SECONDS)

    def _hindrance(self) -> str | None:
        if self._failure is not None:
            return self._failure
        return None if self._loaded.is_set() else "is still loading"

    def _serve(self) -> None:
        try:
            self._model, calibration = self._load()
        except StoppedError:
            return
        except Exception as error:  # whatever it is, the other paths answer, and say it
            self._failure = self._failure or str(error)
            _log.warning("The router goes on without its language model: %s", error)
            return
        finally:
            self._loaded.set()
        while (question := self._questions.get()) is not None:
            _answer(self._model, calibration, question)
        self._model.close()

    def _load(self) -> tuple[LanguageModel, Calibration]:
        path = self._settings.find()
        _log.info("The router's language model %s is being loaded, which takes up to some minutes", path.name)
        model = LanguageModel(path, threads=self._settings.threads, context_tokens=self._settings.context_tokens)
        try:
            calibration = self._prepare(model, path)
        except BaseException:
            model.close()
            raise
        _log.info("The router's language model %s answers from now on", path.name)
        return model, calibration

    def _prepare(self, model: LanguageModel, path: Path) -> Calibration:
        """Have the prompt read, and say how letters become tags: as it is kept, or fitted now."""
        prompt = build_prompt(training_examples(), model.template)
        model.keep(prompt, self._closing)
        examples = chosen_for_tuning(read_examples(DATA_DIR / "tuning.jsonl"))
        kept = self._settings.kept_in
        file = calibration_file(kept, path, prompt, examples) if kept is not None else None
        if file is not None and (known := Calibration.load(file)) is not None:
            return known
        scores = np.stack([model.score(example.query, self._closing)[0] for example in examples])
        calibration = Calibration.fit(scores, [LABELS.index(example.label) for example in examples])
        if file is not None:
            try:
                calibration.save(file)
            except OSError as error:
                _log.warning("The calibration of the router's language model is not kept: %s", error)
        return calibration


def _answer(model: LanguageModel, calibration: Calibration, question: _Question) -> None:
    if question.stop.is_set:
        return
    try:
        letters, cut = model.score(question.text, question.stop)
    except Exception as error:  # whoever asked is told
        question.answer.set_exception(error)
        return
    tags = dict(zip(LABELS, map(float, calibration.probabilities(letters)), strict=True))
    question.answer.set_result(Reading(tags, cut))
