"""Decimal arithmetic over a small grammar, parsed by lark: nothing is ever evaluated as code.

100 significant digits and exponents up to 9,999: a power that grows beyond them is refused at once, not computed.
"""

import decimal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, VisitError

from milepost_tools.errors import ExpressionError

MAX_CHARACTERS = 500
_DIGITS = 100
_SHOWN_DIGITS = 20
_GRAMMAR = """
?sum: product | sum "+" product -> add | sum "-" product -> subtract
?product: sign | product "*" sign -> multiply | product "/" sign -> divide | product "//" sign -> quotient
        | product "%" sign -> remainder
?sign: power | "-" sign -> negate | "+" sign
?power: atom | atom ("**" | "^") sign -> raise_to
?atom: NUMBER -> number | "(" sum ")" | NAME "(" [sum ("," sum)*] ")" -> apply
NUMBER: /(\\d+(\\.\\d*)?|\\.\\d+)([eE][+-]?\\d+)?/
NAME: /[a-z][a-z0-9]*/
%import common.WS
%ignore WS
"""


@dataclass(frozen=True)
class Value:
    """A result; `exact` is false when digits were rounded off."""

    number: Decimal
    exact: bool

    def __str__(self) -> str:
        digits = _DIGITS if self.exact else _SHOWN_DIGITS
        number = self.number.normalize(decimal.Context(prec=digits, Emax=99_999, Emin=-99_999))
        return f"{number:f}" if -7 < number.adjusted() < digits else str(number)


def evaluate(expression: str) -> Value:
    """The value of an expression of + - * / // % ** ^, parentheses and FUNCTIONS; ExpressionError says why not."""
    if len(expression) > MAX_CHARACTERS:
        raise ExpressionError(f"has {len(expression)} characters; allowed: {MAX_CHARACTERS}")
    with decimal.localcontext(_context()) as context:
        try:
            number = cast(Decimal, _parser(expression))
        except LarkError as error:
            raise _as_expression_error(error, expression) from None
        except decimal.DecimalException as error:
            raise ExpressionError(_reason(error)) from None
        return Value(number, not context.flags[decimal.Inexact])


def _context() -> decimal.Context:
    return decimal.Context(
        prec=_DIGITS,
        Emax=9_999,
        Emin=-9_999,
        rounding=decimal.ROUND_HALF_EVEN,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Underflow],
        flags=[],
    )


def _floor(value: Decimal) -> Decimal:
    return value.to_integral_value(decimal.ROUND_FLOOR)


def _ceil(value: Decimal) -> Decimal:
    return value.to_integral_value(decimal.ROUND_CEILING)


def _round(value: Decimal, places: Decimal = Decimal(0)) -> Decimal:
    with decimal.localcontext():  # digits that were asked to go leave no flag
        return value.quantize(Decimal(1).scaleb(-int(places)), decimal.ROUND_HALF_UP)


def _remainder(left: Decimal, right: Decimal) -> Decimal:
    """With the sign of the divisor, as in mathematics; Decimal's own has the sign of the dividend."""
    rest = left % right if right else left / right
    return rest + right if rest and (rest < 0) != (right < 0) else rest


FUNCTIONS: Mapping[str, Callable[..., Decimal]] = {
    "abs": lambda value: abs(value),
    "ceil": _ceil,
    "exp": lambda value: value.exp(),
    "floor": _floor,
    "ln": lambda value: value.ln(),
    "log10": lambda value: value.log10(),
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "round": _round,
    "sqrt": lambda value: value.sqrt(),
}


@v_args(inline=True)
class _Evaluator(Transformer[Token, Decimal]):
    def number(self, token: Token) -> Decimal:
        return +Decimal(token)

    def add(self, left: Decimal, right: Decimal) -> Decimal:
        return left + right

    def subtract(self, left: Decimal, right: Decimal) -> Decimal:
        return left - right

    def multiply(self, left: Decimal, right: Decimal) -> Decimal:
        return left * right

    def divide(self, left: Decimal, right: Decimal) -> Decimal:
        return left / right

    def quotient(self, left: Decimal, right: Decimal) -> Decimal:
        return (left - _remainder(left, right)) / right

    def remainder(self, left: Decimal, right: Decimal) -> Decimal:
        return _remainder(left, right)

    def negate(self, value: Decimal) -> Decimal:
        return -value

    def raise_to(self, base: Decimal, exponent: Decimal) -> Decimal:
        return base**exponent

    def apply(self, name: Token, *arguments: Decimal) -> Decimal:
        function = FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"there is no function {name}; allowed: {', '.join(FUNCTIONS)}")
        try:
            return function(*arguments)
        except (TypeError, ValueError):
            raise ExpressionError(f"{name} does not take {len(arguments)} arguments") from None


_parser = Lark(_GRAMMAR, start="sum", parser="lalr", transformer=_Evaluator(), maybe_placeholders=False).parse


def _reason(error: decimal.DecimalException) -> str:
    if isinstance(error, decimal.DivisionByZero | decimal.DivisionUndefined):
        return "division by zero"
    if isinstance(error, decimal.Overflow | decimal.Underflow):
        return "the result is out of range; allowed: exponents up to 9999"
    if decimal.DivisionUndefined in error.args or decimal.DivisionUndefined in (error.args[0] if error.args else ()):
        return "division by zero"
    return "has no real value, or none within 100 digits"


def _as_expression_error(error: LarkError, expression: str) -> ExpressionError:
    if isinstance(error, VisitError):
        cause = error.orig_exc
        if isinstance(cause, ExpressionError):
            return cause
        if isinstance(cause, decimal.DecimalException):
            return ExpressionError(_reason(cause))
    return ExpressionError(f"{expression!r} is not an arithmetic expression")
