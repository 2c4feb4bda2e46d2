"""What is read of a long text: its start and its end, for what is asked stands before or after what is pasted."""

from __future__ import annotations

from collections.abc import Iterable

WHOLE_CHARACTERS = 240
END_CHARACTERS = 120
ENOUGH_CHARACTERS = 16


def excerpt(text: str) -> str:
    """`text` itself up to WHOLE_CHARACTERS; of a longer one the first and the last lines, END_CHARACTERS each.

    Of both ends as few lines are read as have ENOUGH_CHARACTERS: a request has a line of its own more often than not.
    """
    if len(text) <= WHOLE_CHARACTERS:
        return text
    stripped = text.strip()
    start = _few(_whole_words(stripped[: END_CHARACTERS + 1]).splitlines())
    end = _few(reversed(_whole_words(stripped[: -END_CHARACTERS - 2 : -1])[::-1].splitlines()))
    return " ".join([*start, *reversed(end)])


def _whole_words(text: str) -> str:
    """Without the last word, which may be cut; all of it when it is a single word."""
    return text.rsplit(maxsplit=1)[0] if len(text.split(maxsplit=1)) > 1 else text


def _few(lines: Iterable[str]) -> list[str]:
    taken: list[str] = []
    for line in lines:
        if sum(map(len, taken)) >= ENOUGH_CHARACTERS:
            break
        taken.append(line.strip())
    return taken
