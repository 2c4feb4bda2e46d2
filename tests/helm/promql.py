"""A reader of the part of PromQL that dashboards and rules here use: is it well formed, and what does it ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s*(?:
    (?P<duration>\d+(?:ms|[smhdwy])) | (?P<number>\d+(?:\.\d+)?) | (?P<name>[A-Za-z_:$][\w:$]*)
    | (?P<string>"(?:[^"\\]|\\.)*") | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/(){}\[\],=<>])
    )""",
    re.VERBOSE,
)
FUNCTIONS = {"rate", "increase", "histogram_quantile", "time", "absent", "min_over_time"}
AGGREGATIONS = {"sum", "min", "max", "count", "avg"}
OPERATORS = {"+", "-", "*", "/", "==", "!=", "<", ">", "<=", ">="}


class PromqlError(Exception):
    """The expression is not well formed."""


@dataclass
class Series:
    """One selector: metric, and labels that it is asked by."""

    metric: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class Query:
    """What an expression asks for, and the labels that its result is grouped by."""

    series: list[Series] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)


def parse(expression: str) -> Query:
    """Raises PromqlError."""
    reader = _Reader(_tokens(expression))
    reader.expression()
    if reader.tokens:
        raise PromqlError(f"{expression}: unexpected {reader.tokens[0][1]!r}")
    return reader.query


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise PromqlError(f"{text}: cannot be read from {text[at : at + 20]!r} on")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.query = Query()

    def expression(self) -> None:
        self._term()
        while self._next() in OPERATORS:
            self._take()
            self._term()

    def _term(self) -> None:
        kind, text = self._take()
        if kind == "number":
            return
        if text == "(":
            self.expression()
            self._expect(")")
        elif text in AGGREGATIONS:
            if self._next() == "by":
                self._take()
                self.query.groups |= set(self._names())
            self._arguments()
        elif text in FUNCTIONS:
            self._arguments()
        elif kind == "name":
            self._selector(text)
        else:
            raise PromqlError(f"unexpected {text!r}")

    def _arguments(self) -> None:
        self._expect("(")
        while self._next() != ")":
            self.expression()
            if self._next() == ",":
                self._take()
        self._expect(")")

    def _names(self) -> list[str]:
        self._expect("(")
        names = [self._take("name")[1]]
        while self._next() == ",":
            self._take()
            names.append(self._take("name")[1])
        self._expect(")")
        return names

    def _selector(self, metric: str) -> None:
        series = Series(metric)
        if self._next() == "{":
            self._take()
            while self._next() != "}":
                name = self._take("name")[1]
                if self._take("sign")[1] not in ("=", "!=", "=~", "!~"):
                    raise PromqlError(f"{metric}: label {name} is not compared")
                series.labels[name] = self._take("string")[1].strip('"')
                if self._next() == ",":
                    self._take()
            self._expect("}")
        if self._next() == "[":
            self._take()
            kind, text = self._take()
            if kind != "duration" and text != "$__rate_interval":
                raise PromqlError(f"{metric}: {text!r} is no range")
            self._expect("]")
        self.query.series.append(series)

    def _next(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def _take(self, kind: str = "") -> tuple[str, str]:
        if not self.tokens:
            raise PromqlError("ends too early")
        found = self.tokens.pop(0)
        if kind and found[0] != kind:
            raise PromqlError(f"{found[1]!r} where a {kind} is expected")
        return found

    def _expect(self, text: str) -> None:
        if (found := self._take()[1]) != text:
            raise PromqlError(f"{found!r} where {text!r} is expected")
