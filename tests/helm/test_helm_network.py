"""Who may talk to whom, and what Prometheus is told."""

from __future__ import annotations

from typing import Any

import pytest

from helm_chart import NAMESPACE, Chart, Object, of_kind, one
from milepost_operator.leadership import OPERATOR_SELECTOR
from milepost_operator.names import (
    FIELD_MANAGER,
    HTTP_PORT,
    LABEL_DOWNLOADS,
    LABEL_REMOTE_MODEL,
    METRICS_PORT,
    object_labels,
)

pytestmark = pytest.mark.requirement("PKG-2")
PROMETHEUS = {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
COMPONENTS = ("agent", "model", "rag", "tools")


def policies(chart: Chart, values: dict[str, Any] | None = None) -> dict[tuple[str, str], Object]:
    """Specs of the policies by namespace and name."""
    found = of_kind(chart.render(values), "NetworkPolicy")
    return {(each["metadata"]["namespace"], each["metadata"]["name"]): each["spec"] for each in found}


def selects(selector: Object, labels: dict[str, str]) -> bool:
    return set(selector) == {"matchLabels"} and selector["matchLabels"].items() <= labels.items()


def ports_of(rules: list[Object]) -> set[tuple[str, Any]]:
    return {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}


def test_policies_lie_where_the_workloads_are(chart: Chart) -> None:
    everywhere = {
        "milepost-workloads",
        "milepost-agents",
        "milepost-models",
        "milepost-tools",
        "milepost-downloads",
        "milepost-remote-models",
    }
    here = {"milepost-operator", "milepost-gateway"}
    assert set(policies(chart)) == {(NAMESPACE, name) for name in here | everywhere}
    watched = policies(chart, {"watch": {"namespaces": ["team-a"]}})
    assert set(watched) == {(NAMESPACE, name) for name in here} | {("team-a", name) for name in everywhere}
    named = policies(chart, {"networkPolicy": {"workloadNamespaces": ["b", "c"]}})
    assert {namespace for namespace, name in named if name not in here} == {"b", "c"}
    assert policies(chart, {"networkPolicy": {"enabled": False}}) == {}


def test_the_policies_select_the_pods_that_the_operator_makes(chart: Chart) -> None:
    found = policies(chart)
    operator = one(chart.render(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert operator["app.kubernetes.io/managed-by"] != FIELD_MANAGER
    for component in COMPONENTS:
        labels = object_labels("x", component)
        assert selects(found[NAMESPACE, "milepost-workloads"]["podSelector"], labels)
        assert selects(found[NAMESPACE, "milepost-agents"]["podSelector"], labels) == (component == "agent")
        assert selects(found[NAMESPACE, "milepost-tools"]["podSelector"], labels) == (component == "tools")
        assert not selects(found[NAMESPACE, "milepost-operator"]["podSelector"], labels)
        for name, label in (("milepost-downloads", LABEL_DOWNLOADS), ("milepost-remote-models", LABEL_REMOTE_MODEL)):
            assert not selects(found[NAMESPACE, name]["podSelector"], labels)
            assert selects(found[NAMESPACE, name]["podSelector"], labels | {label: "true"})
    assert selects(found[NAMESPACE, "milepost-operator"]["podSelector"], operator)
    assert not selects(found[NAMESPACE, "milepost-workloads"]["podSelector"], operator)


def test_the_gateway_is_reached_from_where_it_is_allowed_and_reaches_agents_alone(chart: Chart) -> None:
    peer = {"namespaceSelector": {"matchLabels": {"name": "ingress"}}}
    spec = policies(chart, {"networkPolicy": {"gatewayFrom": [peer]}})[NAMESPACE, "milepost-gateway"]
    labels = one(chart.render(), "Deployment", component="gateway")["spec"]["template"]["metadata"]["labels"]
    assert selects(spec["podSelector"], labels)
    assert not selects(spec["podSelector"], object_labels("x", "agent"))
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": "http"}], "from": [peer]}]
    dns, api_server, agents = spec["egress"]
    assert ports_of([dns, api_server]) == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443)}
    assert ports_of([agents]) == {("TCP", 50051)}
    [to] = agents["to"]
    assert [selects(to["podSelector"], object_labels("x", each)) for each in COMPONENTS] == [True, False, False, False]
    workloads = policies(chart)[NAMESPACE, "milepost-workloads"]["ingress"]
    [rule] = [each for each in workloads if selects(each.get("from", [{}])[0].get("podSelector", {}), labels)]
    assert ports_of([rule]) == {("TCP", 50051)}
    without = policies(chart, {"gateway": {"enabled": False}})
    assert (NAMESPACE, "milepost-gateway") not in without
    assert len(without[NAMESPACE, "milepost-workloads"]["ingress"]) == len(workloads) - 1


def test_operators_find_one_another_by_the_labels_of_their_pods(chart: Chart) -> None:
    selector = dict(part.split("=") for part in OPERATOR_SELECTOR.split(","))
    given = {"operator": {"podLabels": dict.fromkeys(selector, "other")}, "commonLabels": dict.fromkeys(selector, "x")}
    for values in ({}, given):
        labels = one(chart.render(values), "Deployment")["spec"]["template"]["metadata"]["labels"]
        assert labels.items() >= selector.items()


def test_the_operator_reaches_dns_the_api_server_and_milepost_pods_alone(chart: Chart) -> None:
    spec = policies(chart)[NAMESPACE, "milepost-operator"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert ports_of(spec["ingress"]) == {("TCP", "metrics")}
    dns, api_server, pods = spec["egress"]
    assert ports_of([dns]) == {("UDP", 53), ("TCP", 53)}
    assert ports_of([api_server]) == {("TCP", 443), ("TCP", 6443)}
    assert ports_of([pods]) == {("TCP", 50051), ("TCP", 50052)}
    [peer] = pods["to"]
    assert selects(peer["podSelector"], object_labels("x", "agent"))
    assert peer["namespaceSelector"] == {}


def test_milepost_pods_reach_each_other_and_dns_and_only_agents_the_api_server(chart: Chart) -> None:
    found = policies(chart, {"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}}})
    spec, agents = found[NAMESPACE, "milepost-workloads"], found[NAMESPACE, "milepost-agents"]
    dns, pods = spec["egress"]
    assert ports_of([dns]) == {("UDP", 53), ("TCP", 53)}
    assert ports_of([pods]) == {("TCP", 50051), ("TCP", 50052)}
    [peer] = pods["to"]
    assert set(peer) == {"podSelector"}
    rule, _, scraped = spec["ingress"]  # the second is the gateway's
    assert ports_of([rule]) == ports_of([pods])
    assert ports_of([scraped]) == {("TCP", METRICS_PORT)} and "from" not in scraped
    own, operator = rule["from"]
    assert set(own) == {"podSelector"}
    assert operator["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    assert agents["policyTypes"] == ["Egress"]
    expected = {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 6443}]}
    assert agents["egress"] == [expected]


@pytest.mark.requirement("MOD-2")
def test_models_answer_http_to_their_own_namespace_unless_told_otherwise(chart: Chart) -> None:
    spec = policies(chart)[NAMESPACE, "milepost-models"]
    assert spec["policyTypes"] == ["Ingress"]
    assert [selects(spec["podSelector"], object_labels("x", each)) for each in COMPONENTS] == [
        False,
        True,
        False,
        False,
    ]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": HTTP_PORT}], "from": [{"podSelector": {}}]}]
    peer = {"namespaceSelector": {}}
    told = policies(chart, {"networkPolicy": {"modelsFrom": [peer]}})[NAMESPACE, "milepost-models"]
    assert told["ingress"][0]["from"] == [peer]
    assert (NAMESPACE, "milepost-models") not in policies(chart, {"networkPolicy": {"modelsFrom": []}})


@pytest.mark.parametrize(
    ("what", "value"),
    [("tools", "toolsEgress"), ("downloads", "downloadsEgress"), ("remote-models", "remoteModelsEgress")],
)
@pytest.mark.requirement("SEC-2", "TLS-1", "CRD-2", "MOD-4")
def test_who_calls_out_reaches_the_public_web_unless_told_otherwise(chart: Chart, what: str, value: str) -> None:
    spec = policies(chart)[NAMESPACE, f"milepost-{what}"]
    assert spec["policyTypes"] == ["Egress"]
    assert ports_of(spec["egress"]) == {("TCP", 80), ("TCP", 443)}
    [rule] = spec["egress"]
    private = {network for peer in rule["to"] for network in peer["ipBlock"]["except"]}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"} <= private
    servers = {"to": [{"podSelector": {"matchLabels": {"app": "mcp"}}}], "ports": [{"protocol": "TCP", "port": 8000}]}
    told = policies(chart, {"networkPolicy": {value: [servers]}})
    assert told[NAMESPACE, f"milepost-{what}"]["egress"] == [servers]
    assert (NAMESPACE, f"milepost-{what}") not in policies(chart, {"networkPolicy": {value: []}})


def test_further_rules_and_the_collector_are_let_through(chart: Chart) -> None:
    more = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    callers = {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 50051}]}
    values = {"networkPolicy": {"extraEgress": [more], "extraIngress": [callers]}}
    spec = policies(chart, values)[NAMESPACE, "milepost-workloads"]
    assert more in spec["egress"] and callers in spec["ingress"]
    for endpoint, port in (
        ("http://collector.observability:4317", 4317),
        ("https://collector", 443),
        ("http://[fd00::1]:9/", 9),
        ("http://collector/", 80),
    ):
        workloads = policies(chart, {"workloads": {"otlpEndpoint": endpoint}})[NAMESPACE, "milepost-workloads"]
        gateway = policies(chart, {"workloads": {"otlpEndpoint": endpoint}})[NAMESPACE, "milepost-gateway"]
        for spec in (workloads, gateway):
            assert {"ports": [{"protocol": "TCP", "port": port}]} in spec["egress"], endpoint


def test_who_may_scrape_can_be_said(chart: Chart) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    found = policies(chart, {"networkPolicy": {"metricsFrom": peers}})
    for name in ("milepost-operator", "milepost-workloads"):
        assert [rule["from"] for rule in found[NAMESPACE, name]["ingress"]][-1] == peers


def test_the_monitor_scrapes_the_metrics_port_of_the_service(chart: Chart) -> None:
    objects = chart.render(PROMETHEUS)
    service, monitor = one(objects, "Service"), one(objects, "ServiceMonitor")
    [endpoint] = monitor["spec"]["endpoints"]
    [port] = service["spec"]["ports"]
    assert (endpoint["port"], port["name"], port["port"]) == ("metrics", "metrics", 8081)
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert one(chart.render(), "Service")  # there without Prometheus' own kinds too
    assert of_kind(chart.render(), "ServiceMonitor", "PrometheusRule") == []
