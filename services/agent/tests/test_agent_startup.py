"""What the agent's process imports on its way to the first resumed run, and what it leaves for later or out."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from milepost_agent import absent
from milepost_agent.recovery import _portions

RECORD: Any = None
LATER = ("httpx", "numpy", "llama_cpp", "opentelemetry.exporter", "milepost_agent.router.router")
PROBE = """
import json, sys
from milepost_agent.absent import leave_out
leave_out()
import milepost_agent.main
print(json.dumps({name: getattr(module, "__file__", None) for name, module in sys.modules.items()}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, str | None]:
    """Modules of a process that has imported the agent, with their files."""
    found = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    modules: dict[str, str | None] = json.loads(found.stdout)
    return modules


@pytest.mark.requirement("SPD-3")
def test_nothing_is_imported_that_a_resumed_run_does_not_wait_for(imported: dict[str, str | None]) -> None:
    early = [name for name in imported if name in LATER or name.startswith(tuple(f"{each}." for each in LATER))]
    assert early == []


@pytest.mark.requirement("SPD-3")
def test_packages_that_are_left_out_are_named_but_not_there(imported: dict[str, str | None]) -> None:
    absentees = {name: file for name, file in imported.items() if name.partition(".")[0] in absent.ABSENT}
    assert {name.partition(".")[0] for name in absentees} == set(absent.ABSENT), "LangGraph no longer imports it"
    assert set(absentees.values()) == {None}


def test_a_name_of_a_package_that_is_left_out_can_be_mentioned_and_not_used() -> None:
    script = """
from milepost_agent.absent import leave_out
leave_out()
from langsmith.run_helpers import get_tracing_context
import langsmith.client
def mentions(tracer: langsmith.client.Client | None) -> None: ...
mentions(None)
try:
    get_tracing_context()
except TypeError as error:
    print(error)
try:
    langsmith.client.Client.flush
except AttributeError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [
        "langsmith.run_helpers.get_tracing_context is left out of the agent",
        "langsmith.client.Client is left out of the agent: it has no flush",
    ]


@pytest.mark.requirement("SPD-3")
def test_a_few_runs_go_first_however_many_there_are() -> None:
    assert [len(some) for some in _portions([RECORD] * 600)] == [4, 256, 256, 84]
    assert [len(some) for some in _portions([RECORD])] == [1]
    assert list(_portions([])) == []


def test_both_ways_to_start_the_agent_leave_them_out() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["milepost-agent"] == "milepost_agent.__main__:main"
