"""The tables of names in docs/observability.md are written from conventions.py."""

import ast
import re

import pytest

from gen_observability import PAGE, SOURCE, names, table, written

pytestmark = pytest.mark.requirement("OBS-2")
SMALL = '''
class Spans:
    """Of no use here."""

    RUN = "agent.run"
    """One run,
    whole."""
    CHAT = "chat "
'''


def test_a_constant_has_the_text_below_it() -> None:
    """The text of a class or of another constant is not taken for it; a name that goes on is shown so."""
    assert list(names(SMALL, "Spans")) == [("agent.run", "One run, whole."), ("chat ", "")]
    assert "| `agent.run` | One run, whole. |\n| `chat ...` | as in the conventions |" in table(SMALL, "Spans")


def test_a_page_that_is_behind_or_lost_its_marks_is_noticed() -> None:
    """What is between the marks is replaced, and nothing else."""
    page, source = PAGE.read_text(), SOURCE.read_text()
    assert written(page, source) == page
    assert written(page.replace("`thread.id`", "`thread`"), source) == page
    with pytest.raises(SystemExit, match="Spans are there 0 times"):
        written(page.replace("<!-- Spans: ", ""), source)


def test_a_metric_is_shown_as_prometheus_shows_it() -> None:
    """Kind, owner and labels come from its text; a text without them is refused by name."""
    text = '''
class Metrics:
    CALLS = "milepost_calls"
    """Counter of services by method, code: calls that
    ended."""
    READY = "ready"
    """Gauge of all: 1 or 0."""
    TIMES = "seconds"
    """Histogram of agents: times."""
'''
    assert table(text, "Metrics").splitlines()[1:-1] == [
        "| metric | of | what it is |",
        "|---|---|---|",
        "| `milepost_calls_total{method, code}` | service | calls that ended |",
        "| `ready` | all | 1 or 0 |",
        "| `seconds` | agent | histogram: times |",
    ]
    with pytest.raises(SystemExit, match="ready: its text does not say kind"):
        table(text.replace("Gauge of all", "Gauge"), "Metrics")


def test_every_name_of_our_own_is_explained() -> None:
    """What no convention describes has a text."""
    unexplained = [
        name for name, text in names(SOURCE.read_text(), "Attributes") if name[:9] == "milepost." and not text
    ]
    assert unexplained == []
    assert [name for name, text in names(SOURCE.read_text(), "Spans") if not text] == []


@pytest.mark.parametrize("group", ["Spans", "Attributes", "Operations", "Kinds", "Metrics"])
def test_every_constant_is_used(group: str) -> None:
    """What nothing sends is not promised."""
    files = [path for path in SOURCE.parents[3].glob("*/milepost_*/**/*.py") if path != SOURCE]
    code = "\n".join(path.read_text() for path in files)
    classes = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.ClassDef)]
    [found] = [node for node in classes if node.name == group]
    targets = [node.targets[0] for node in found.body if isinstance(node, ast.Assign)]
    constants = [target.id for target in targets if isinstance(target, ast.Name)]
    assert len(constants) > 5
    assert [name for name in constants if not re.search(rf"\.{name}\b", code)] == []
