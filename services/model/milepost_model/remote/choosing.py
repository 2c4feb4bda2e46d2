"""Which of some options a server's model finds likeliest, and how likely each.

Options are asked for by single letters, whose first token is the whole answer. Where the server tells the
log-probabilities of what else could have come, those of the letters are the scores. Where it does not, it is asked
twice for its choice, held to the letters by a schema where it can be, with the options in opposite orders: what a
model says in both it does not say because of the order, and where the two differ it has said nothing. The share of the
votes, smoothed, is the probability.

A baseline takes away what an option owes to its letter and its words. Votes have none to take away: without content
they would be spread evenly.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase, digits

from milepost_model.remote.answers import Chat, TokenPlace
from milepost_model.remote.asking import Asking, Taken
from milepost_model.remote.failures import ServerError
from milepost_model.requests import Turn

LETTERS = ascii_uppercase + digits
_LEAST_MASS = 0.01
"""A model that gives all letters together less than this was about to answer something else."""
_SMOOTHING = 0.05
"""Votes that each option has before one is cast; two that agree then say 41 to 1 between two options."""
_VOTE_TOKENS = 512
"""Room for a model that thinks before it answers."""
_SPACE = " \t\n▁Ġ"
"""What stands before a word in a token: blanks, and the marks that vocabularies have for them."""


@dataclass
class Weights:
    """Natural logarithms of the probabilities of the options, which sum to 1, by option; and what it took."""

    by_option: dict[str, float]
    method: str
    baseline: dict[str, float] = field(default_factory=dict)
    """The same without the content of the question; empty where there was no baseline."""

    @property
    def likeliest(self) -> str:
        return max(self.by_option, key=lambda option: self.by_option[option])


class Chooser:
    """Puts choices to one server."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._dialect = asking.dialect

    async def weigh(
        self,
        turns: Sequence[Turn],
        options: Sequence[str],
        taken: Taken,
        deadline: float,
        baseline: Sequence[Turn] | None = None,
    ) -> Weights:
        """The options as answers to the chat, and to the baseline where there is one."""
        if len(options) == 1:
            certain = {options[0]: 0.0}
            return Weights(certain, "only one option", certain if baseline is not None else {})
        found = await self._by_letters(turns, options, taken, deadline)
        if found is None:
            shares = await self._by_votes(turns, options, taken, deadline)
            return Weights(shares, "constrained choice", _even(options) if baseline is not None else {})
        if baseline is None:
            return Weights(found, "log-probabilities")
        against = await self._by_letters(baseline, options, taken, deadline)
        return Weights(found, "log-probabilities", against or _even(options))

    async def _by_letters(
        self, turns: Sequence[Turn], options: Sequence[str], taken: Taken, deadline: float
    ) -> dict[str, float] | None:
        """None where the server tells no log-probabilities, or none of these letters."""
        asked = _asked(turns, options)
        while self._dialect.alternatives:
            alternatives = self._dialect.alternatives
            extra = {"logprobs": True, "top_logprobs": alternatives}
            try:
                answer = await self._asking.chat(asked, taken, deadline, max_tokens=1, **extra)
            except ServerError as error:
                if not self._dialect.without_alternatives(error):
                    raise
                if self._dialect.alternatives == alternatives:
                    return None
                continue
            places = answer.choices[0].logprobs
            if places is None or not places.content or not places.content[0].top_logprobs:
                self._dialect.alternatives = 0
                return None
            return _of_letters(places.content[0], options)
        return None

    async def _by_votes(
        self, turns: Sequence[Turn], options: Sequence[str], taken: Taken, deadline: float
    ) -> dict[str, float]:
        votes = Counter([await self._vote(turns, order, taken, deadline) for order in (options, options[::-1])])
        whole = sum(votes[option] + _SMOOTHING for option in options)
        return {option: math.log((votes[option] + _SMOOTHING) / whole) for option in options}

    async def _vote(self, turns: Sequence[Turn], order: Sequence[str], taken: Taken, deadline: float) -> str:
        """The option that was chosen; empty when the answer names none, or several."""
        asked = _asked(turns, order)
        answer: Chat | None = None
        if self._dialect.holds_to_schemas:
            held = _held_to(LETTERS[: len(order)])
            try:
                answer = await self._asking.chat(
                    asked, taken, deadline, max_tokens=_VOTE_TOKENS, temperature=0, response_format=held
                )
            except ServerError as error:
                if not self._dialect.without_schema(error):
                    raise
        if answer is None:
            answer = await self._asking.chat(asked, taken, deadline, max_tokens=_VOTE_TOKENS, temperature=0)
        return _named(answer.choices[0].message.content or "", order)


def _asked(turns: Sequence[Turn], options: Sequence[str]) -> list[Turn]:
    """The chat, whose last turn ends with the options by letter."""
    listed = "\n".join(f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=False))
    question = f"Possible answers:\n{listed}\nAnswer with the letter of one of them, nothing else."
    *before, last = turns
    if last.role == "user":
        return [*before, Turn("user", f"{last.content}\n\n{question}")]
    return [*turns, Turn("user", question)]


def _held_to(letters: str) -> dict[str, object]:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(letters)}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "choice", "strict": True, "schema": schema}}


def _of_letters(place: TokenPlace, options: Sequence[str]) -> dict[str, float] | None:
    """Normalised over the options. A letter that is not among the likeliest counts like the last of those."""
    mass = dict.fromkeys(options, 0.0)
    for likely in place.top_logprobs:
        letter = likely.token.strip(_SPACE)
        index = LETTERS.find(letter) if len(letter) == 1 else -1
        if 0 <= index < len(options):
            mass[options[index]] += math.exp(min(likely.logprob, 0.0))
    if sum(mass.values()) < _LEAST_MASS:
        return None
    floor = math.exp(max(min(likely.logprob for likely in place.top_logprobs), -100.0))
    mass = {option: max(share, floor) for option, share in mass.items()}
    return {option: math.log(share / sum(mass.values())) for option, share in mass.items()}


def _even(options: Sequence[str]) -> dict[str, float]:
    return dict.fromkeys(options, -math.log(len(options)))


def _named(text: str, order: Sequence[str]) -> str:
    """The option that an answer names: by JSON, by its letter, or by its own words."""
    letters = LETTERS[: len(order)]
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict) and data.get("answer") in list(letters):
        return order[letters.index(data["answer"])]
    found = set(re.findall(rf"(?<![\w'])[{letters}](?![\w'])", text))
    if len(found) == 1:
        return order[letters.index(found.pop())]
    spelt = [option for option in order if re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text, re.IGNORECASE)]
    return spelt[0] if len(spelt) == 1 else ""
