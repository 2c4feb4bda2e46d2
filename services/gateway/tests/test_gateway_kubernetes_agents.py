"""Which agents a cluster has, from its StatefulSets and pods, also while pods are away."""

from typing import Any

import pytest

from milepost_gateway.addresses import AgentAddress
from milepost_gateway.kubernetes_agents import SELECTOR, Key, addresses_of
from milepost_gateway.main import agents_of
from milepost_gateway.settings import GatewaySettings
from milepost_service.errors import ConfigurationError

Objects = dict[Key, dict[str, Any]]


def stateful_set(name: str, namespace: str = "team", replicas: int | None = 1) -> Objects:
    labels = {"app.kubernetes.io/instance": name}
    spec = {"serviceName": f"{name}-pods"} | ({} if replicas is None else {"replicas": replicas})
    return {(namespace, name): {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}}


def pod(name: str, namespace: str = "team", **status: str) -> Objects:
    return {(namespace, name): {"metadata": {"name": name, "namespace": namespace}, "status": status}}


@pytest.mark.requirement("AGT-1")
def test_each_replica_is_an_agent_at_the_address_of_its_pod() -> None:
    sets = stateful_set("flow", replicas=2) | stateful_set("solo", "other", replicas=None)
    pods = pod("flow-0", podIP="10.0.0.1", phase="Running") | pod("flow-1", podIP="fd00::1", phase="Running")
    assert addresses_of(sets, pods) == [
        AgentAddress("other.solo-0", "solo", "solo-0.solo-pods.other.svc:50051", "other", "solo-0"),
        AgentAddress("team.flow-0", "flow", "10.0.0.1:50051", "team", "flow-0"),
        AgentAddress("team.flow-1", "flow", "[fd00::1]:50051", "team", "flow-1"),
    ]


@pytest.mark.requirement("AGT-1", "AGT-4")
@pytest.mark.parametrize(
    "away",
    [
        {},
        pod("flow-0", phase="Pending"),
        pod("flow-0", podIP="10.0.0.1", phase="Failed"),
        pod("flow-0", podIP="10.0.0.1", phase="Succeeded"),
    ],
    ids=["gone", "not scheduled", "evicted", "ended"],
)
def test_a_pod_that_is_away_stays_an_agent_under_a_name_that_nobody_else_can_get(away: Objects) -> None:
    [agent] = addresses_of(stateful_set("flow"), away)
    assert (agent.agent, agent.target) == ("team.flow-0", "flow-0.flow-pods.team.svc:50051")


@pytest.mark.requirement("AGT-1")
def test_what_is_scaled_down_is_no_agent_any_more_though_its_pod_is_still_there() -> None:
    pods = pod("flow-0", podIP="10.0.0.1") | pod("flow-1", podIP="10.0.0.2") | pod("other-0", podIP="10.0.0.3")
    assert [each.agent for each in addresses_of(stateful_set("flow"), pods)] == ["team.flow-0"]
    assert addresses_of(stateful_set("flow", replicas=0), pods) == []


@pytest.mark.requirement("AGT-1")
def test_agents_are_found_by_the_labels_that_the_operator_gives_them() -> None:
    names = pytest.importorskip("milepost_operator.names")
    wanted = dict(part.split("=") for part in SELECTOR.split(","))
    assert names.object_labels("flow", "agent").items() >= wanted.items()
    assert not names.object_labels("flow", "tools").items() >= wanted.items()


def test_outside_of_a_cluster_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match="MILEPOST_GATEWAY_DISCOVERY: kubernetes needs KUBERNETES_SERVICE_H"):
        agents_of(GatewaySettings(gateway_discovery="kubernetes"))
