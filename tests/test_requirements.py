"""The two-way check of requirement ids, on the repository itself and on small made-up ones."""

from pathlib import Path

import pytest

from check_requirements import ROOT, Requirements, files_of_tests, namings, problems

LIST = '[requirements]\nAAA-1 = "one"\nAAA-2 = "two"\n'


def disagreements(folder: Path, not_yet: str, test: str) -> list[str]:
    (folder / "requirements.toml").write_text(f"not_yet = {not_yet}\n{LIST}")
    (folder / "e2e").mkdir()
    (folder / "e2e" / "test_inner.py").write_text(test)
    named = [naming for path in files_of_tests(folder) for naming in namings(path)]
    return problems(Requirements.read(folder / "requirements.toml"), named, folder)


def test_the_ids_of_this_repository_agree_with_its_tests() -> None:
    named = [naming for path in files_of_tests(ROOT) for naming in namings(path)]
    assert problems(Requirements.read(ROOT / "tests" / "requirements.toml"), named, ROOT) == []


def test_ids_that_are_named_or_listed_as_not_yet_agree(tmp_path: Path) -> None:
    test = '@pytest.mark.requirement("AAA-1")\ndef test_it(): ...\n'
    assert disagreements(tmp_path, '["AAA-2"]', test) == []


@pytest.mark.parametrize(
    ("not_yet", "test", "told"),
    [
        ("[]", "pytestmark = pytest.mark.requirement('AAA-1')", "AAA-2 has no test"),
        ('["AAA-2"]', "pytestmark = [pytest.mark.requirement('AAA-1', 'BBB-9')]", "unknown requirement id BBB-9"),
        ('["AAA-1", "AAA-2"]', "pytest.param(1, marks=pytest.mark.requirement('AAA-1'))", "take it out of not_yet"),
        ('["AAA-1", "AAA-2", "CCC-3"]', "", "not_yet names unknown id CCC-3"),
        ('["AAA-1", "AAA-2"]', "pytest.mark.requirement(ID)", "e2e/test_inner.py:1: requirement(...) takes ids"),
        ('["AAA-1", "AAA-2"]\npartly = {AAA-1 = "x"}', "", "partly names AAA-1, which is unknown or in not_yet"),
    ],
)
def test_each_disagreement_is_told_in_one_line(tmp_path: Path, not_yet: str, test: str, told: str) -> None:
    [line] = disagreements(tmp_path, not_yet, test)
    assert told in line


def test_a_test_of_the_ui_names_ids_at_the_beginning_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.spec.ts").write_text(
        'import x;\ntest("AAA-1, UI-2: both", () => {});\ntest.describe(\n  `AAA-2: one`, () => {});\n'
        'test("nothing: AAA-9", () => {});\n'
    )
    (tmp_path / "b.ts").write_text('test("AAA-1: no test file", () => {});')
    found = [(naming.line, naming.ids) for path in files_of_tests(tmp_path) for naming in namings(path)]
    assert found == [(2, ("AAA-1", "UI-2")), (4, ("AAA-2",))]
