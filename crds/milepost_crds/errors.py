"""What can be wrong with a manifest."""

from collections.abc import Sequence

_LONGEST_LINE = 500


class CrdError(Exception):
    """Base of everything that this package raises on purpose."""


class ManifestError(CrdError):
    """Manifests that cannot be used.

    `errors` holds one line per problem, `FILE: FIELD.PATH: what is wrong; allowed: ...`; `str()` is the first of them,
    with the number of the others.
    """

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = [_one_line(error) for error in errors]
        more = len(self.errors) - 1
        super().__init__(self.errors[0] + (f" (and {more} more)" if more else ""))


def _one_line(text: str) -> str:
    # Keys and values of a stranger's file end up in here.
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."
