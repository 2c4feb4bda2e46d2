"""Evidence of failing tests, with a real pytest run inside a folder of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"
FAILING = """
import logging

def test_that_fails(tmp_path, keep_on_failure):
    state = keep_on_failure(tmp_path.parent / "state")
    (state / "agents").mkdir(parents=True)
    (state / "agents" / "milepost.db").write_text("journal")
    (state / "model.gguf").write_bytes(bytes(21 * 2**20))
    (tmp_path / "agent.log").write_text("line of a log")
    logging.getLogger("agent").warning("said before the end")
    assert state is None

def test_that_passes(tmp_path):
    (tmp_path / "agent.log").write_text("not kept")
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of one run with a failing and a passing test."""
    tmp_path = tmp_path_factory.mktemp("repository")
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_inner.py").write_text(FAILING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    return tmp_path / "artifacts" / "tests"


@pytest.mark.requirement("PKG-4")
def test_a_failing_test_leaves_state_logs_and_traceback(artifacts: Path) -> None:
    [folder] = artifacts.iterdir()
    assert folder.name == "test_inner.py_test_that_fails"
    assert (folder / "state" / "agents" / "milepost.db").read_text() == "journal"
    assert [log.read_text() for log in folder.glob("*/agent.log")] == ["line of a log"]
    told = (folder / "call.txt").read_text()
    assert "assert state is None" in told
    assert "said before the end" in told


@pytest.mark.requirement("PKG-4")
def test_large_files_are_no_evidence(artifacts: Path) -> None:
    assert not list(artifacts.rglob("*.gguf"))
