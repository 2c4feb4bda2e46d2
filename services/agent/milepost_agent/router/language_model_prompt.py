"""What a language model reads: who does what behind which letter, some examples, and the request at the end.

Everything before the request is the same for every request, so that it is evaluated once.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from milepost_agent.router.errors import ModelUnusableError
from milepost_agent.router.examples import Example
from milepost_agent.router.tags import LABELS, NONE, TAG_DESCRIPTIONS

LETTERS = "ABCDEF"
EXAMPLES_A_LABEL = 3
MARK = "\x01"
"""Stands for the request until the prompt is parted there; no template and no example has it."""

_DESCRIPTIONS = TAG_DESCRIPTIONS | {
    NONE: "none of these: orders, bookings, accounts, devices and what else nobody does"
}
_TASK = "Requests are passed on to whoever can do them. Name the one that fits by its letter, and nothing else."


@dataclass(frozen=True)
class Prompt:
    """The texts before and after a request."""

    prefix: str
    tail: str


@dataclass(frozen=True)
class Template:
    """A chat template in Jinja, as GGUF files have them, and the texts that begin and end a sequence."""

    source: str
    begin: str
    end: str


def build_prompt(examples: Sequence[Example], template: Template | None) -> Prompt:
    """The prompt as a chat where there is a template, else as plain lines.

    Raises ModelUnusableError for a template that is broken or leaves the request out.
    """
    shown = _shown(examples)
    text = _plain(shown) if template is None else _chat(shown, template)
    prefix, mark, tail = text.partition(MARK)
    if not mark or MARK in tail:
        raise ModelUnusableError("its chat template does not show each message once")
    return Prompt(prefix, tail)


def _system() -> str:
    lines = [f"{letter}: {label}, {_DESCRIPTIONS[label]}" for letter, label in zip(LETTERS, LABELS, strict=True)]
    return "\n".join([_TASK, *lines])


def _shown(examples: Sequence[Example]) -> list[tuple[str, str]]:
    """Short requests with their letters, each round in another order, so that no letter follows from the one before."""
    shown = []
    for turn in range(EXAMPLES_A_LABEL):
        for place in range(len(LABELS)):
            label = LABELS[(5 * place + turn) % len(LABELS)]
            queries = sorted(
                (each.query for each in examples if each.label == label), key=lambda text: (len(text), text)
            )
            shown.append((queries[len(queries) * (turn + 1) // (2 * EXAMPLES_A_LABEL)], LETTERS[LABELS.index(label)]))
    return shown


def _request(text: str) -> str:
    return f"Request: {text}\nLetter:"


def _plain(shown: Sequence[tuple[str, str]]) -> str:
    turns = [f"{_request(query)} {letter}" for query, letter in shown]
    return "\n\n".join([_system(), *turns, _request(MARK)])


def _chat(shown: Sequence[tuple[str, str]], template: Template) -> str:
    turns = []
    for query, letter in shown:
        turns += [{"role": "user", "content": _request(query)}, {"role": "assistant", "content": letter}]
    turns.append({"role": "user", "content": _request(MARK)})
    # jinja2 comes with llama-cpp-python; neither is imported where no language model is set.
    formats, jinja2 = importlib.import_module("llama_cpp.llama_chat_format"), importlib.import_module("jinja2")
    try:
        render = formats.Jinja2ChatFormatter(template.source, eos_token=template.end, bos_token=template.begin)
        try:
            return str(render(messages=[{"role": "system", "content": _system()}, *turns]).prompt)
        except (jinja2.TemplateError, ValueError):  # many templates know no system role
            turns[0]["content"] = f"{_system()}\n\n{turns[0]['content']}"
            return str(render(messages=turns).prompt)
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        raise ModelUnusableError(f"its chat template is broken: {error}") from error
