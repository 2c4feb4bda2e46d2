"""House rules: each is broken once in a small folder."""

from pathlib import Path

import pytest

from check_house import inspect

BEFORE = "a = 1\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("operator/__init__.py", "", "operator/__init__.py: shadows"),
        ("cli/tests/__init__.py", "", "tests folders are not packages"),
        ("models/a.gguf", "", "does not belong"),
        ("a.py", "# TO" + "DO later", "a.py:2: mark of unfinished work"),
        ("a.toml", "url = 'https://pypi." + "org/simple'", "a.toml:2: host name"),
        ("a.lock", "--index" + "-url x", "a.lock:2: address of a package registry"),
        ("a.py", "P = '/ro" + "ot/x'", "a.py:2: path of one machine"),
        ("a.sh", "cat ../sha" + "red/x", "a.sh:2: path outside"),
        ("a.py", "x = y  # type: ign" + "ore", "type: ignore without a code"),
    ],
)
def test_a_broken_rule_is_told_with_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(BEFORE + text)
    [line] = inspect(tmp_path, [name]).errors
    assert told in line


def test_ordinary_files_and_relative_paths_pass(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("path = here / 'work' / 'root'\nx = y  # type: ignore[attr-defined]\n")
    assert inspect(tmp_path, ["a.py"]).errors == []


def test_the_ci_script_alone_may_look_beside_the_clone(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text("../sha" + "red/up\n")
    assert inspect(tmp_path, [".ci/run"]).errors == []


def test_long_files_are_only_a_warning_and_repeated_test_names_an_error(tmp_path: Path) -> None:
    for name in ("a/test_x.py", "b/test_x.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(BEFORE * 401)
    findings = inspect(tmp_path, ["a/test_x.py", "b/test_x.py"])
    assert len(findings.warnings) == 2
    assert findings.errors == ["b/test_x.py: same file name as a/test_x.py; pytest needs them unique"]
