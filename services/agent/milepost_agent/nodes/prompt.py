"""Fills in the arbitrator's prompt, whose words are in `arbitration_prompt.txt` so that they are reviewed as a whole.

What people, services and manifests wrote goes in as a JSON string on one line: it cannot close its quotation marks,
begin a line of the template or add a choice. Control tokens in it are made powerless where the vocabulary is known, in
the model service. The services to choose from are not named in what a run is asked and told: a small model repeats what
it has just read, so that a request would choose its service by naming it.
"""

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template

from milepost.model.v1 import model_pb2
from milepost_agent.nodes.case import Case
from milepost_agent.nodes.choices import FINISH, INVOKE, Score
from milepost_agent.registry import Entry
from milepost_agent.router import Recommendation
from milepost_agent.state import VERDICTS, Output, hop_index

SYSTEM, USER = Path(__file__).with_name("arbitration_prompt.txt").read_text("utf-8").strip().split("\n---\n")
EXCERPT = 400
DESCRIPTION_EXCERPT = 160
MOST_MESSAGES = 8
CONTENT_FREE = "N/A"
PRESSURE = "\nFew hops are left: prefer to finish."


@dataclass(frozen=True)
class Question:
    """What the model is asked: which of these choices, in this situation."""

    case: Case
    services: Sequence[Entry]
    choices: Sequence[str]

    def request(self) -> model_pb2.ScoreRequest:
        """Each choice after the prompt, and after the prompt without request and messages.

        Those come last: what is before them is computed once.
        """
        return model_pb2.ScoreRequest(
            chat=self._filled(self._said(self.case.state["prompt"]), self._messages()),
            baseline=self._filled(quoted(CONTENT_FREE), "none"),
            candidates=self.choices,
        )

    def scores(self, answer: model_pb2.ScoreResponse) -> dict[str, Score]:
        """By choice; empty unless every choice was scored, with its baseline."""
        found = {
            each.candidate: Score(each.log_probability, max(each.tokens, 1), each.baseline_log_probability)
            for each in answer.candidates
            if each.HasField("baseline_log_probability")
            and math.isfinite(each.log_probability)
            and math.isfinite(each.baseline_log_probability)
        }
        return found if found.keys() == set(self.choices) else {}

    def _messages(self) -> str:
        answer, inbox = self.case.state.get("clarification"), self.case.state.get("inbox", [])
        said = [f'"user": {self._said(answer)}'] if answer else []
        said += [
            f"{self._said(message['sender_role'])} to {message['recipient_role']}: {self._said(message['payload'])}"
            for message in inbox
        ]
        older = f"{len(said) - MOST_MESSAGES} older ones; " if len(said) > MOST_MESSAGES else ""
        return older + ("; ".join(said[-MOST_MESSAGES:]) or "none")

    def _said(self, text: str) -> str:
        return quoted(text, without=self._names)

    @cached_property
    def _names(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, self.case.confidences)) or r"(?!)"
        return re.compile(rf"(?<![\w-])({INVOKE})?({names})(?![\w-])", re.IGNORECASE)

    def _filled(self, request: str, messages: str) -> model_pb2.ChatInput:
        state, step = self.case.state, self.case.step
        text = Template(USER).substitute(
            step=step.name,
            role=step.role,
            instructions=quoted(step.instructions),
            hop=hop_index(state),
            max_hops=state["max_hops"],
            remaining=state["remaining_hops"],
            cycle=f" Review cycle {state['current_cycle']} of {state['max_cycles']}." if self.case.spec.cycle else "",
            done="; ".join(map(_done, state["outputs"])) or "nothing",
            services="\n".join(map(_service, self.services)),
            recommendation=_recommended(self.case.recommendation),
            choices="\n".join(f"- {choice}" for choice in self.choices),
            pressure=PRESSURE if FINISH in self.choices and self.case.hops_missing else "",
            messages=messages,
            request=request,
        )
        parts = (("system", SYSTEM), ("user", text))
        return model_pb2.ChatInput(
            messages=[model_pb2.ChatMessage(role=role, content=content) for role, content in parts]
        )


def quoted(text: str, limit: int = EXCERPT, without: re.Pattern[str] | None = None) -> str:
    """A JSON string on one line, of the first `limit` characters, without those that nobody sees.

    An ellipsis stands for what was cut off, and for each match of `without`.
    """
    seen = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text[: limit * 4])
    flat = " ".join(seen.split())
    if without is not None:
        flat = without.sub("…", flat)
    return json.dumps(flat if len(flat) <= limit else f"{flat[:limit]}…", ensure_ascii=False)


def _done(output: Output) -> str:
    return f"{output['step']} ({output['verdict']})" if output["verdict"] in VERDICTS else output["step"]


def _service(entry: Entry) -> str:
    return f"- {entry.name} ({', '.join(entry.capabilities)}): {quoted(entry.description, DESCRIPTION_EXCERPT)}"


def _recommended(recommendation: Recommendation) -> str:
    ranked = ", ".join(f"{each.service} {each.confidence:.2f}" for each in recommendation.services)
    return f"{ranked or 'nothing'}; none fits {recommendation.none_probability:.2f}"
