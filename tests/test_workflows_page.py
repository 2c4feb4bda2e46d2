"""docs/workflows.md: its manifests are taken, its lists are whole, and its numbers are what an evaluation finds now."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from gen_router_docs import CARD, DIAGRAM, PAGE, evaluated, numbers, numbers_in, table
from milepost_agent import flow
from milepost_agent.evaluation.report import TITLES
from milepost_agent.evaluation.services_file import ListedService
from milepost_agent.nodes import arbitrate, choices
from milepost_crds import AgentWorkflow, Arbitrator, Router, parse_resource

pytestmark = pytest.mark.requirement("DOC-1")

TOLERANCE = 0.03
"""Sentence vectors differ a little from one CPU to another."""
MOVED = 4
"""Queries that may lie in another bin, or on the other side of a bound."""

Bins = dict[str, int]


@pytest.mark.models
@pytest.mark.requirement("RTR-4")
@pytest.mark.timeout(240)
def test_table_and_diagram_are_those_of_a_fresh_evaluation(tmp_path: Path) -> None:
    fresh = evaluated(tmp_path / "fresh.svg")
    found = numbers(fresh)
    for page in (PAGE, CARD):
        told = numbers_in(page.read_text())
        assert list(told) == list(found)
        for row, values in found.items():
            for column, here, there in zip(TITLES, told[row], values, strict=True):
                allowed = MOVED if column == "wrong_above_0_8" else TOLERANCE
                assert here == pytest.approx(there, abs=allowed), f"{page.name} {row} {column}: run `make router-docs`"
    shown, drawn = bins(DIAGRAM), bins(tmp_path / "fresh.svg")
    moved = sum(abs(shown.get(low, 0) - drawn.get(low, 0)) for low in shown | drawn)
    assert moved <= 2 * MOVED, "run `make router-docs`"
    assert sum(shown.values()) == fresh["queries"]


def bins(path: Path) -> Bins:
    """Queries in each bin of a diagram that is not empty."""
    groups = ElementTree.fromstring(path.read_text()).iter("{http://www.w3.org/2000/svg}g")
    return {group.attrib["data-low"]: int(group.attrib["data-count"]) for group in groups}


def test_a_table_reads_back_as_it_was_written() -> None:
    row = dict(zip(TITLES, (0.5, 0.75, 0.25, 0.125, 0.5, 1.0, 0.25, 3), strict=True))
    report = {"queries": 4, **row, "baselines": {"majority": {**row, "top1": 0.125}}}
    assert numbers_in(f"text | of | a page\n\n{table(report)}\n\n| more |") == numbers(report)


def test_the_page_shows_the_diagram() -> None:
    [shown] = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE.read_text())
    assert (PAGE.parent / shown).samefile(DIAGRAM)


def test_manifests_and_lists_of_services_are_taken_as_they_stand() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    resources = [parse_resource(block) for block in blocks if "kind" in block]
    patterns = [each.spec.pattern for each in resources if isinstance(each, AgentWorkflow)]
    assert patterns == ["linear", "cyclic"]
    [part] = [block["spec"] for block in blocks if "spec" in block and "kind" not in block]
    assert Router.model_validate(part["router"]).model is not None
    [rows] = [block for block in blocks if isinstance(block, list)]
    assert [ListedService.model_validate(row).ready for row in rows] == [True, False]


def test_every_outcome_is_told() -> None:
    part = PAGE.read_text().split("## How a run ends")[1].split("##")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
    assert told == {value for name, value in vars(flow).items() if name.isupper() and isinstance(value, str)} - {
        "revise"
    }


def test_numbers_of_the_arbitrator_are_those_of_the_code() -> None:
    page, most = PAGE.read_text(), choices.LARGEST_EVIDENCE
    weight, threshold = Arbitrator.model_fields["weight"].default, Router.model_fields["confidence_threshold"].default
    least, under_pressure = choices.FINISH_PRIOR, choices.FINISH_PRIOR + choices.FINISH_PRIOR_UNDER_PRESSURE
    for told in (
        f"`finish` has {least:.2f}, and more with each hop that is missing to the end, up to {under_pressure:.2f}",
        f"differs by {most:.0f} at most",
        f"0 to 1, by default {weight}",
        f"by a factor of {math.exp(weight * most):.1f} with a weight of {weight}, and of {math.exp(most):.0f} with",
        f"longer than {arbitrate.SCORE_SECONDS:.0f} s or a quarter of the time",
        f"`spec.router.confidenceThreshold` ({threshold} by default)",
    ):
        assert told in page
    assert arbitrate.SCORE_SHARE == 0.25
