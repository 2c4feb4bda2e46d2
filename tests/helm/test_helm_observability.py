"""Dashboards and alert rules: well formed, and about what the processes really expose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from exposed_metrics import SCRAPED, Exposed, of_agent, of_every_process, of_operator, of_services
from helm_chart import FOLDER, ROOT, Chart, Object, of_kind, one
from milepost_operator.manifests.pod_template import METRICS
from milepost_operator.manifests.pod_template import SCRAPED as SCRAPED_ANNOTATIONS
from milepost_operator.names import METRICS_PORT, object_labels
from promql import PromqlError, parse

pytestmark = pytest.mark.requirement("PKG-2")
SHOWN = {
    "metrics": {
        "podMonitor": {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    }
}
DASHBOARDS = sorted((FOLDER / "files" / "dashboards").glob("*.json"))


@pytest.fixture
async def exposed(tmp_path: Path) -> Exposed:
    """Label names by series, of all processes together."""
    return {**of_operator(), **await of_agent(tmp_path), **of_services(), **of_every_process(), "up": set()}


def check(expression: str, exposed: Exposed) -> set[str]:
    """Asserts that all it asks for is exposed; the labels that its result may have."""
    query = parse(expression)
    labels = set(SCRAPED)
    for series in query.series:
        assert series.metric in exposed, f"{series.metric} is exposed by no process: {expression}"
        known = exposed[series.metric] | SCRAPED
        assert set(series.labels) <= known, f"{series.metric} has no label {set(series.labels) - known}"
        labels |= known
    assert query.groups <= labels, expression
    return query.groups or labels


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_shows_what_is_exposed(path: Path, exposed: Exposed) -> None:
    """Every panel of a dashboard asks for series and labels that a process exposes, and names only labels it gets."""
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"] == f"milepost-{path.stem}"
    asked = [variable["definition"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert [re.fullmatch(r"label_values\((\w+), namespace\)", each)[1] in exposed for each in asked] == [  # type: ignore[index]
        True for _ in asked
    ]
    assert len(dashboard["panels"]) > 5
    for panel in dashboard["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            labels = check(target["expr"], exposed)
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, panel["title"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


async def test_every_rule_reads_what_is_exposed(chart: Chart, exposed: Exposed) -> None:
    """Expressions are well formed, ask for what is there, and what people are told names labels of the result."""
    operator, workloads = one(chart.render(SHOWN), "PrometheusRule")["spec"]["groups"]
    rules = [*operator["rules"], *workloads["rules"]]
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names) > 15
    for rule in rules:
        labels = check(rule["expr"], exposed)
        told = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", told)) <= labels, rule["alert"]
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert set(rule["annotations"]) == {"summary", "description"}


async def test_the_guide_lists_every_metric_of_agents_and_services(tmp_path: Path) -> None:
    """Names and labels of docs/observability.md are those that agents and services expose, `process_*` aside."""
    page = (ROOT / "docs" / "observability.md").read_text()
    listed = {
        name: set(re.findall(r"\w+", labels))
        for name, labels in re.findall(r"^\| `((?:milepost|llamacpp)[\w:]+)(?:\{([^}]*)\})?` \|", page, re.MULTILINE)
    }
    served = {**await of_agent(tmp_path), **of_services(), **of_every_process()}
    wanted = {
        re.sub(r"_(bucket|count|sum)$", "", name): labels - {"le"}
        for name, labels in served.items()
        if not name.startswith(("process_", "python_"))
    }
    assert listed == wanted


@pytest.mark.parametrize(
    "expression", ["sum(rate(x[5m])", "rate(x[5])", "x{a}", "sum by (x", "x > ", "x y", 'x{a="b"} ]', "x @ 1"]
)
def test_an_expression_that_is_not_well_formed_is_found(expression: str) -> None:
    """The reader of expressions refuses what Prometheus would refuse."""
    with pytest.raises(PromqlError):
        parse(expression)


def test_dashboards_are_config_maps_that_the_sidecar_finds(chart: Chart) -> None:
    """One for each file, under the label and folder that values say; none unless asked for."""
    values = {"metrics": {"dashboards": {"enabled": True, "label": "team/board", "labelValue": "yes", "folder": ""}}}
    found = of_kind(chart.render(values), "ConfigMap")
    assert [each["metadata"]["labels"]["team/board"] for each in found] == ["yes"] * len(DASHBOARDS)
    assert [json.loads(next(iter(each["data"].values())))["uid"] for each in found] == [
        f"milepost-{path.stem}" for path in DASHBOARDS
    ]
    assert not any("annotations" in each["metadata"] for each in found)
    shown: list[Object] = of_kind(chart.render(SHOWN), "ConfigMap")
    assert {each["metadata"]["annotations"]["grafana_folder"] for each in shown} == {"Milepost"}
    assert of_kind(chart.render(), "ConfigMap", "PodMonitor", "PrometheusRule") == []


@pytest.mark.parametrize("watched", [[], ["team-a"]])
def test_the_pod_monitor_finds_the_pods_of_agents_and_services(chart: Chart, watched: list[str]) -> None:
    """It selects what the operator makes, where it looks, by the port that the pods have."""
    monitor = one(chart.render({**SHOWN, "watch": {"namespaces": watched}}), "PodMonitor")
    spec: dict[str, Any] = monitor["spec"]
    for component in ("agent", "model", "rag", "tools"):
        assert spec["selector"]["matchLabels"].items() <= object_labels("x", component).items()
    assert spec["namespaceSelector"] == ({"matchNames": watched} if watched else {"any": True})
    assert [(each["port"], each["interval"]) for each in spec["podMetricsEndpoints"]] == [(METRICS, "10s")]
    assert set(spec["podTargetLabels"]) <= set(object_labels("x", "agent"))
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert SCRAPED_ANNOTATIONS["prometheus.io/port"] == str(METRICS_PORT)
