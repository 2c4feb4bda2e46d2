"""The command that `milepost up` tells people to use is one that works where they stand."""

import shutil
import sys
from pathlib import Path

import pytest

from milepost_cli.program import program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    command = tmp_path / "env" / "bin" / "milepost"
    command.parent.mkdir(parents=True)
    command.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(command)])
    monkeypatch.setenv("PATH", "/usr/bin")
    return command


def test_command_on_the_path_is_called_by_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    assert shutil.which("milepost") == str(installed)
    assert program() == "milepost"


def test_command_below_this_folder_is_called_by_its_relative_path(installed: Path) -> None:
    assert program() == "env/bin/milepost"


def test_command_elsewhere_is_called_by_its_path(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert program() == str(installed)


def test_another_starter_says_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py"])
    assert program() == "milepost"
