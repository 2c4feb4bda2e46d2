"""What can go wrong while planning."""

from collections.abc import Sequence


class OperatorError(Exception):
    """Base of everything that this package raises on purpose."""


class PlanError(OperatorError):
    """Resources that do not fit together.

    `errors` holds one line per problem, `FILE: FIELD.PATH: what is wrong; allowed: ...`; `str()` is the first of them,
    with the number of the others.
    """

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = list(errors)
        more = len(self.errors) - 1
        super().__init__(self.errors[0] + (f" (and {more} more)" if more else ""))


class ConfigurationError(OperatorError):
    """A setting that the operator cannot start with; `str()` is one line that names the variable."""
