"""Arithmetic expressions in running text."""

import re
from collections.abc import Iterator, Sequence

from milepost_tools.arithmetic import FUNCTIONS, MAX_CHARACTERS

MAX_EXPRESSIONS = 8
_MAX_TOKENS = 200
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_WORDS: Sequence[tuple[str, str]] = (
    (r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}:\d{2}(?::\d{2})?\b", " ; "),  # dates and times are no arithmetic
    (r"(?<=\d),(?=\d{3}\b(?!\s*\)))", ""),
    (rf"(?<![\d.])({_NUMBER})\s*(?:%|percent)\s+of\b", r"\1 / 100 *"),
    (rf"\bsquare root of\s+({_NUMBER})", r"sqrt(\1)"),
    (r"\b(?:multiplied by|times)\b|[×·]|(?<=\d)\s*x\s*(?=\d)", "*"),
    (r"\b(?:divided by|over)\b|÷", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|[\u2212\u2013]", "-"),
    (r"\b(?:to the power of|raised to)\b", "**"),
    (r"\bsquared\b", "**2"),
    (r"\bcubed\b", "**3"),
    (r"\b(?:modulo|mod)\b", "%"),
)
_TOKEN = re.compile(rf"\s*(?P<token>{_NUMBER}|\*\*|//|[-+*/%^(),]|(?:{'|'.join(FUNCTIONS)})(?=\s*\())", re.IGNORECASE)
_CANNOT_BEGIN = {"*", "**", "/", "//", "%", "^", ")", ","}
_CANNOT_END = {"*", "**", "/", "//", "%", "^", "+", "-", "(", ","}


def expressions_in(text: str) -> list[str]:
    """Expressions of at least one operation, in order, at most 8; words such as "plus" count as operators."""
    text = re.sub(r"\s+", " ", text)
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    found = [
        " ".join(tokens) for run in _runs(text) if len(run) <= _MAX_TOKENS and _is_operation(tokens := _trimmed(run))
    ]
    tidy = [_tidy(expression) for expression in found if len(expression) <= MAX_CHARACTERS]
    return list(dict.fromkeys(item for item in tidy if len(item) <= MAX_CHARACTERS))[:MAX_EXPRESSIONS]


def _runs(text: str) -> Iterator[list[str]]:
    """Maximal runs of arithmetic tokens; none begins inside of a word."""
    position, run = 0, list[str]()
    while position < len(text):
        match = _TOKEN.match(text, position)
        begins_in_word = not run and match and position > 0 and _in_word(text[position - 1 : match.start("token")])
        if match and not begins_in_word:
            run.append(match["token"].lower())
            position = match.end()
            continue
        if run:
            yield run
            run = []
        position += 1
    if run:
        yield run


def _in_word(before: str) -> bool:
    return bool(before) and (before[-1].isalnum() or before[-1] in "_.")


def _trimmed(run: list[str]) -> list[str]:
    """Without what cannot begin or end an expression; nothing when brackets inside of it have no partner."""
    tokens = list(run)
    while tokens and (tokens[0] in _CANNOT_BEGIN or _unpaired(tokens) == 0):
        tokens.pop(0)
    while tokens and (tokens[-1] in _CANNOT_END or _unpaired(tokens) == len(tokens) - 1):
        tokens.pop()
    return [] if tokens and _unpaired(tokens) is not None else tokens


def _unpaired(tokens: list[str]) -> int | None:
    """Place of the first bracket without partner."""
    opened: list[int] = []
    for place, sign in enumerate(tokens):
        if sign == "(":
            opened.append(place)
        elif sign == ")":
            if not opened:
                return place
            opened.pop()
    return opened[0] if opened else None


def _is_operation(tokens: list[str]) -> bool:
    numbers = sum(token[0].isdigit() or token[0] == "." for token in tokens)
    return any(token in FUNCTIONS for token in tokens) or (
        numbers >= 2 and any(token in _CANNOT_END - {"(", ","} for token in tokens)
    )


def _tidy(expression: str) -> str:
    return re.sub(rf"(?<=\() | (?=[),])|\b({'|'.join(FUNCTIONS)}) (?=\()", r"\1", expression)
