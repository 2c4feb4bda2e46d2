"""The UI in set-up: when it is built, where it is kept, and that Milepost does without it."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

import setup
import ui_setup
from console import ToolError
from node import suits
from pip_runner import Pip
from ui_build import UiBuild
from ui_licenses import is_allowed, problems
from ui_setup import UiInBackground

NODE = """#!/bin/sh
[ "$1" = --version ] && { echo v22.12.0; exit; }
while [ "$1" != --outDir ]; do shift; done
mkdir -p "$2" && cat index.html src/main.ts > "$2/index.html" && echo built >> "$OUT_OF_TREE"
"""
NPM = """#!/bin/sh
mkdir -p node_modules && echo packages >> "$OUT_OF_TREE"
"""
LOCK = {
    "packages": {"": {}, "node_modules/a": {"license": "MIT"}, "node_modules/b": {"license": "GPL-3.0", "dev": True}}
}


@pytest.fixture
def ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UiBuild:
    """A small UI, and stand-ins for Node and npm that write down what they were asked for."""
    monkeypatch.setenv("OUT_OF_TREE", str(tmp_path / "asked"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    for name, text in (("node", NODE), ("npm", NPM)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "ui" / "src").mkdir(parents=True)
    (tmp_path / "ui" / "index.html").write_text("<title>one</title>")
    (tmp_path / "ui" / "src" / "main.ts").write_text("first\n")
    (tmp_path / "ui" / "package-lock.json").write_text(json.dumps(LOCK))
    return clone(tmp_path, "static")


def clone(folder: Path, static: str) -> UiBuild:
    log = folder / "log"
    return UiBuild(folder / "cache", Pip(Path(sys.executable), log), log, folder / "ui", folder / static / "files")


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().split()


@pytest.mark.requirement("PKG-1")
def test_a_second_clone_takes_the_build_from_the_cache_and_changed_sources_are_built_anew(
    ui: UiBuild, tmp_path: Path
) -> None:
    assert not ui.is_current
    ui.make(lambda text: None)
    assert ui.is_current and "first" in (ui.static / "index.html").read_text()
    second = clone(tmp_path, "second")
    second.make(lambda text: None)
    assert second.is_current and asked(tmp_path) == ["packages", "built"]
    (tmp_path / "ui" / "src" / "main.test.ts").write_text("a test shapes no build\n")
    assert second.is_current
    (tmp_path / "ui" / "src" / "main.ts").write_text("second\n")
    assert not second.is_current
    second.make(lambda text: None)
    assert "second" in (second.static / "index.html").read_text() and "first" in (ui.static / "index.html").read_text()
    assert asked(tmp_path) == ["packages", "built", "built"]
    assert sorted(path.name for path in second.static.parent.iterdir()) == ["files"]


def test_a_build_that_fails_leaves_the_files_that_were_there(ui: UiBuild, tmp_path: Path) -> None:
    ui.make(lambda text: None)
    (tmp_path / "ui" / "src" / "main.ts").unlink()
    with pytest.raises(ToolError, match=r"^the build: .*main\.ts.*\(all of it: .*log\)$"):
        ui.make(lambda text: None)
    assert "first" in (ui.static / "index.html").read_text()


def test_a_registry_that_does_not_answer_is_one_line(ui: UiBuild, tmp_path: Path) -> None:
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\necho npm error code ECONNREFUSED\nexit 1\n")
    with pytest.raises(ToolError, match=r"^npm ci: the package registry does not answer"):
        ui.make(lambda text: None)
    assert not ui.static.exists()


@pytest.mark.requirement("PKG-1")
def test_set_up_goes_on_without_a_ui_tells_why_and_does_not_try_again_by_itself(
    ui: UiBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "REMEMBERED", tmp_path / "milepost-setup.json")
    monkeypatch.setattr(ui_setup, "COMMAND", (sys.executable, "-c", "import sys; sys.exit('ui: no Node here')"))
    first = setup.SetUp()
    with UiInBackground(ui) as background:
        background.begin()
        first.step("ui", lambda: background.key, background.finish)
    told = capsys.readouterr().out
    assert re.fullmatch(r"ui: not built: no Node here; Milepost works without it; `make ui` tries again \(.*\)\n", told)
    assert first.remembered["ui"] == UiInBackground(ui).key
    ui.make(lambda text: None)
    assert first.remembered["ui"] != UiInBackground(ui).key == ui.key


def test_what_was_begun_is_ended_when_set_up_is_interrupted(ui: UiBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_setup, "COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
    with pytest.raises(KeyboardInterrupt), UiInBackground(ui) as background:
        background.begin()
        child = background._child
        raise KeyboardInterrupt
    assert child is not None and child.poll() is not None


@pytest.mark.parametrize(
    ("version", "good"),
    [("v20.19.0", True), ("v20.18.9", False), ("v21.7.0", False), ("v22.11.0", False), ("v22.12.0", True), ("", False)],
)
def test_only_a_node_that_the_build_tools_run_on_is_taken(version: str, good: bool) -> None:
    assert suits(version) is good


@pytest.mark.parametrize(
    ("license_", "good"),
    [
        ("MIT", True),
        ("(MIT OR GPL-3.0)", True),
        ("MIT AND GPL-3.0", False),
        ("(MIT AND ISC)", True),
        ("LGPL-2.1", False),
        ("", False),
    ],
)
def test_a_license_is_allowed_when_allowed_ones_alone_can_meet_it(license_: str, good: bool) -> None:
    assert is_allowed(license_) is good


def test_only_what_is_bundled_is_asked_for_its_license(tmp_path: Path) -> None:
    (tmp_path / "package-lock.json").write_text(json.dumps(LOCK))
    assert problems(tmp_path) == []
    bound = {"packages": {**LOCK["packages"], "node_modules/c": {"license": "AGPL-3.0"}}}
    (tmp_path / "package-lock.json").write_text(json.dumps(bound))
    [line] = problems(tmp_path)
    assert "node_modules/c has license AGPL-3.0" in line
