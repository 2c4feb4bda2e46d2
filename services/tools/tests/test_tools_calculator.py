"""The calculator is right, says why it cannot, and cannot be kept busy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost_tools.arithmetic import MAX_CHARACTERS, evaluate
from milepost_tools.calculator import Calculator
from milepost_tools.errors import ExpressionError
from milepost_tools.expressions import MAX_EXPRESSIONS, expressions_in


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("-2**2", "-4"),
        ("2**-1", "0.5"),
        ("2**3**2", "512"),
        ("0.1+0.2", "0.3"),
        ("7//2", "3"),
        ("-7%3", "2"),
        ("max(1, 2, round(2.5))", "3"),
        ("sqrt(16)", "4"),
        ("100*(1+0.05)**10", "162.889462677744140625"),
        ("2**200", str(2**200)),
        ("1.50+1.50", "3"),
        ("1e3/4", "250"),
    ],
)
def test_exact_values(expression: str, expected: str) -> None:
    value = evaluate(expression)
    assert (str(value), value.exact) == (expected, True)


async def test_a_value_with_digits_rounded_off_says_so() -> None:
    assert (await Calculator().call({"expression": "1/3"}, "")).result == "about 0.33333333333333333333"


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.sampled_from("+-*"))
def test_integers_are_computed_as_python_does(left: int, right: int, operator: str) -> None:
    expected = {"+": left + right, "-": left - right, "*": left * right}[operator]
    assert str(evaluate(f"({left}){operator}({right})")) == str(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1/0", "division by zero"),
        ("0/0", "division by zero"),
        ("7 % 0", "division by zero"),
        ("7 // 0", "division by zero"),
        ("9**9**9", "out of range"),
        ("9**9**9**9**9", "out of range"),
        ("exp(99999999)", "out of range"),
        ("sqrt(0-1)", "no real value"),
        ("foo(1)", "there is no function foo; allowed: abs,"),
        ("sqrt(1, 2)", "sqrt does not take 2 arguments"),
        ("__import__('os')", "is not an arithmetic expression"),
        ("(1).real", "is not an arithmetic expression"),
        ("1+", "is not an arithmetic expression"),
        ("1" * (MAX_CHARACTERS + 1), "has 501 characters; allowed: 500"),
    ],
)
def test_what_has_no_value_says_why(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as error:
        evaluate(expression)
    assert reason in str(error.value)


@given(st.text("0123456789.+-*/%^()e ", max_size=60))
def test_any_text_is_a_value_or_an_expression_error(text: str) -> None:
    try:
        assert str(evaluate(text))
    except ExpressionError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is (12+7)*3?", ["(12 + 7) * 3"]),
        ("Compute 12 times 7, then 3 plus 4.", ["12 * 7", "3 + 4"]),
        ("15% of 80 please", ["15 / 100 * 80"]),
        ("1,234 * 2", ["1234 * 2"]),
        ("max(1,234)", ["max(1, 234)"]),
        ("the square root of 16", ["sqrt(16)"]),
        ("a 5x3 grid", ["5 * 3"]),
        ("2 squared divided by 8", ["2 ** 2 / 8"]),
        ("the sum (3+4) * 2)", ["(3 + 4) * 2"]),
        ("I have 3 apples", []),
        ("On 2024-01-05 at 12:30", []),
        ("version 1.2.3 - beta 4", []),
        ("f(3)+4", []),
        ("a-4 b-5", []),
        ("", []),
    ],
)
def test_expressions_are_found_in_running_text(text: str, expected: list[str]) -> None:
    assert expressions_in(text) == expected


@given(st.text("12(),.+-*/%^ xof", max_size=200))
def test_whatever_is_found_is_bounded_and_can_be_tried(text: str) -> None:
    found = expressions_in(text)
    assert len(found) <= MAX_EXPRESSIONS
    for expression in found:
        try:
            evaluate(expression)
        except ExpressionError as error:
            assert "characters" not in str(error)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["(", "1", " ", "1 ", "1+", "1,234", "max(", "1%", "square root of ", "1.", "-"])
def test_a_long_text_of_one_thing_takes_no_long_time(piece: str) -> None:
    assert len(expressions_in(piece * (65_536 // len(piece)))) <= MAX_EXPRESSIONS
