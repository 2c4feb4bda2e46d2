"""More training examples from the committed ones: with something pasted before or after, and with typing errors."""

from __future__ import annotations

import random
from collections.abc import Iterator

from milepost_agent.router.examples import DATA_DIR, Example

SEED = 20240
PASTED_SHARE = 0.35
MISTYPED_SHARE = 0.2
PASTED_CHARACTERS = 120  # with most requests no more than is read whole
LONGEST = 360  # characters; longer examples have something pasted in them already


def augment(examples: list[Example]) -> list[Example]:
    """Changed copies of a part of `examples`, drawn by the texts alone: equal examples are changed alike."""
    pastes = read_pastes()
    return [changed for example in examples for changed in _copies(example, pastes)]


def read_pastes() -> list[str]:
    """What people paste: logs, code, tables, mails, prose."""
    return (DATA_DIR / "pastes.txt").read_text(encoding="utf-8").strip().split("\n\n")


def _copies(example: Example, pastes: list[str]) -> Iterator[Example]:
    draws = random.Random(f"{SEED} {example.query}")  # noqa: S311 no secret
    if draws.random() < PASTED_SHARE and len(example.query) < LONGEST:
        pasted = _piece(draws.choice(pastes), draws)
        order = [example.query, pasted] if draws.random() < 0.5 else [pasted, example.query]
        yield Example(" ".join(order), example.label)
    if draws.random() < MISTYPED_SHARE:
        yield Example(mistype(example.query, draws), example.label)


def _piece(paste: str, draws: random.Random) -> str:
    """Some words of `paste`, PASTED_CHARACTERS at most."""
    start = draws.randrange(max(1, len(paste) - PASTED_CHARACTERS))
    return paste[start : start + PASTED_CHARACTERS]


def mistype(text: str, draws: random.Random) -> str:
    """`text` with about one error in four words: a letter left out, doubled, or swapped with the next."""
    return " ".join(_mistype_word(word, draws) if draws.random() < 0.25 else word for word in text.split(" "))


def _mistype_word(word: str, draws: random.Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    place = draws.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    return draws.choice([before + after, before + letter + letter + after, before + after[0] + letter + after[1:]])
