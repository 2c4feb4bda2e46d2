"""Writes the tables of names in docs/observability.md from conventions.py; with --check, fails when they differ."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "services" / "common" / "milepost_service" / "telemetry" / "conventions.py"
PAGE = ROOT / "docs" / "observability.md"
TABLES = {
    "Spans": ("span", "what it is"),
    "Attributes": ("attribute", "what it is"),
    "Metrics": ("metric", "of", "what it is"),
}
METRIC = re.compile(r"(Counter|Gauge|Histogram) of (agents|services|models|all)(?: by ([\w, ]+))?: (.+)\.")


def names(source: str, group: str) -> Iterator[tuple[str, str]]:
    """Value and description of each constant of a class, in their order; the description may be empty."""
    [found] = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == group]
    for node, following in zip(found.body, [*found.body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            yield str(node.value.value), " ".join(_text(following).split())


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""


def table(source: str, group: str) -> str:
    """The rows of a group as Markdown, between its marks."""
    row = _metric if group == "Metrics" else _name
    rows = [row(name, text) for name, text in names(source, group)]
    columns = TABLES[group]
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    return "\n".join(
        [f"<!-- {group}: written by `make gen` from conventions.py -->", head, *rows, f"<!-- /{group} -->"]
    )


def _name(name: str, text: str) -> str:
    return f"| `{name.strip()}{' ...' if name.endswith(' ') else ''}` | {text or 'as in the conventions'} |"


def _metric(name: str, text: str) -> str:
    """As Prometheus shows it, with its labels."""
    found = METRIC.fullmatch(text)
    if found is None:
        raise SystemExit(f"{SOURCE.relative_to(ROOT)}: {name}: its text does not say kind, whose, labels: {text!r}")
    kind, of, labels, what = found.groups()
    shown = f"{name}{'_total' if kind == 'Counter' else ''}{f'{{{labels}}}' if labels else ''}"
    return f"| `{shown}` | {of.removesuffix('s')} | {'histogram: ' if kind == 'Histogram' else ''}{what} |"


def written(page: str, source: str) -> str:
    """The page with its tables as the source has them."""
    for group in TABLES:
        text = table(source, group)
        page, count = re.subn(rf"<!-- {group}: .*?<!-- /{group} -->", lambda _, text=text: text, page, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(
                f"{PAGE.relative_to(ROOT)}: the marks of the table {group} are there {count} times, not once"
            )
    return page


def main(arguments: Sequence[str]) -> int:
    """Writes or checks; the exit code is 1 when a table differs."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = written(page, SOURCE.read_text(encoding="utf-8"))
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        print(f"{PAGE.relative_to(ROOT)}: differs from conventions.py; run `make gen`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
