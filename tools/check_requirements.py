"""Holds tests/requirements.toml and the markers of the tests together, both ways, without importing a test."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_SEARCHED = {"node_modules", "artifacts", "__pycache__", "dist"}
PYTHON_TESTS = re.compile(r"test_.*\.py")
UI_TESTS = re.compile(r".*\.(spec|test)\.tsx?")
# test("UI-1, UI-2: what it shows", ...), also test.describe(...) and it(...)
UI_NAMING = re.compile(r"""\b(?:test|it|describe)(?:\.\w+)*\(\s*["'`]([A-Z0-9]+-\d+(?:, [A-Z0-9]+-\d+)*): """)


@dataclass(frozen=True)
class Naming:
    """A test file and line that names requirement ids; an argument that is no literal string is named None."""

    path: Path
    line: int
    ids: tuple[str | None, ...]


@dataclass(frozen=True)
class Requirements:
    """The ids with their one-line texts, those that no test proves yet, and what is missing where a part is proven."""

    texts: dict[str, str]
    not_yet: tuple[str, ...]
    partly: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Requirements:
        table = tomllib.loads(path.read_text())
        return cls(table["requirements"], tuple(table["not_yet"]), table.get("partly", {}))


def files_of_tests(root: Path) -> Iterator[Path]:
    """Every test file in Python and TypeScript below `root`, hidden and installed folders left out."""
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if name not in NOT_SEARCHED and not name.startswith("."))
        wanted = (name for name in sorted(files) if PYTHON_TESTS.fullmatch(name) or UI_TESTS.fullmatch(name))
        yield from (Path(folder, name) for name in wanted)


def namings(path: Path) -> Iterator[Naming]:
    """What a file names: in Python by `pytest.mark.requirement(...)`, in TypeScript by how a test's name begins."""
    if path.suffix != ".py":
        text = path.read_text()
        for found in UI_NAMING.finditer(text):
            yield Naming(path, text.count("\n", 0, found.start(1)) + 1, tuple(found[1].split(", ")))
        return
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
            yield Naming(path, node.lineno, tuple(map(_text, node.args)))


def problems(requirements: Requirements, named: list[Naming], root: Path) -> list[str]:
    """One line for each disagreement between the list and the tests."""
    found = []
    proved: dict[str, str] = {}
    for naming in named:
        where = f"{naming.path.relative_to(root)}:{naming.line}"
        if not naming.ids or None in naming.ids:
            found.append(f"{where}: requirement(...) takes ids as literal strings")
        for id_ in filter(None, naming.ids):
            if id_ not in requirements.texts:
                found.append(f"{where}: unknown requirement id {id_}; ids are in tests/requirements.toml")
            proved.setdefault(id_, where)
    for id_ in requirements.not_yet:
        if id_ not in requirements.texts:
            found.append(f"tests/requirements.toml: not_yet names unknown id {id_}")
        elif id_ in proved:
            found.append(f"tests/requirements.toml: {id_} has a test ({proved[id_]}): take it out of not_yet")
    found += [
        f"tests/requirements.toml: partly names {id_}, which is unknown or in not_yet"
        for id_ in requirements.partly
        if id_ not in requirements.texts or id_ in requirements.not_yet
    ]
    unproved = [id_ for id_ in requirements.texts if id_ not in proved and id_ not in requirements.not_yet]
    return found + [f"tests/requirements.toml: {id_} has no test; mark one or add it to not_yet" for id_ in unproved]


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def main() -> int:
    requirements = Requirements.read(ROOT / "tests" / "requirements.toml")
    found = problems(requirements, [naming for path in files_of_tests(ROOT) for naming in namings(path)], ROOT)
    for line in found:
        print(line, file=sys.stderr)
    total, missing, partly = len(requirements.texts), len(requirements.not_yet), len(requirements.partly)
    print(f"requirements: {total - missing - partly} of {total} proven, {partly} partly, {missing} not yet")
    for id_, lacking in requirements.partly.items():
        print(f"  partly   {id_:6} {requirements.texts.get(id_, '?')} [missing: {lacking}]")
    for id_ in requirements.not_yet:
        print(f"  not yet  {id_:6} {requirements.texts.get(id_, '?')}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
