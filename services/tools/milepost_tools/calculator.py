"""The tool that computes."""

from collections.abc import Sequence

from milepost_tools.arithmetic import evaluate
from milepost_tools.expressions import expressions_in
from milepost_tools.tool import Arguments, Outcome


class Calculator:
    """Evaluates the arithmetic expressions of a text."""

    name = "calculator"
    description = "computes an arithmetic expression"
    kind = "function"

    def calls_for(self, text: str) -> Sequence[Arguments]:
        return [{"expression": expression} for expression in expressions_in(text)]

    async def call(self, arguments: Arguments, key: str) -> Outcome:
        value = evaluate(arguments["expression"])
        result = str(value) if value.exact else f"about {value}"
        return Outcome(result, f"{arguments['expression']} = {result}")
