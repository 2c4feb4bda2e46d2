"""What the chart grants is what the operator names, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from helm_chart import NAMESPACE, Chart, Object, key_of, of_component, of_kind, one, pod_of
from milepost_crds import API_VERSION, ManifestError, parse_resource
from milepost_operator.manifests.role import RULES as AGENT_RULES
from milepost_operator.permissions import RULES, Scope

Grant = tuple[str, str, str]
"""API group, resource, verb."""
FINDING = ("list", "watch")
GATEWAY_ACCOUNT = {"kind": "ServiceAccount", "name": "milepost-gateway", "namespace": NAMESPACE}
MODEL_SERVICE = {
    "apiVersion": API_VERSION,
    "kind": "ModelService",
    "spec": {"capabilities": ["tools"], "tools": {"builtIn": ["clock"], "modelRef": {"name": "model"}}},
}

pytestmark = pytest.mark.requirement("PKG-2")


def named(*scopes: Scope) -> set[Grant]:
    """What the operator says that it does, in one of the scopes."""
    return {(rule.api_group, rule.resource, verb) for rule in RULES if rule.scope in scopes for verb in rule.verbs}


def granted(role: Object) -> set[Grant]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def in_namespaces(namespaces: Iterable[str]) -> dict[str, Any]:
    return {"watch": {"namespaces": list(namespaces)}}


def test_cluster_wide_the_operator_is_granted_exactly_what_it_names(chart: Chart) -> None:
    objects = chart.render()
    role = one(objects, "ClusterRole", "milepost:operator")
    assert granted(role) == named("watched", "cluster") | named("own")
    assert of_kind(objects, "Role", "RoleBinding") == []
    assert one(objects, "ClusterRoleBinding")["roleRef"]["name"] == "milepost:operator"


def test_in_namespaces_the_operator_is_granted_exactly_what_it_names_there(chart: Chart) -> None:
    objects = chart.render(in_namespaces(["team-a", "team-b"]))
    roles = {key_of(role)[1:]: granted(role) for role in of_kind(of_component(objects), "Role")}
    assert roles == {
        ("team-a", "milepost:operator"): named("watched"),
        ("team-b", "milepost:operator"): named("watched"),
        (NAMESPACE, "milepost:operator-own"): named("own"),
    }
    bindings = of_kind(of_component(objects), "RoleBinding")
    assert {key_of(binding)[1:] for binding in bindings} == set(roles)
    for binding in bindings:
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": binding["metadata"]["name"],
        }
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "milepost-operator", "namespace": NAMESPACE}]


def test_in_namespaces_nothing_is_bound_cluster_wide(chart: Chart) -> None:
    objects = chart.render(in_namespaces(["team-a"]))
    assert of_kind(objects, "ClusterRoleBinding") == []
    assert {role["metadata"]["name"] for role in of_kind(objects, "ClusterRole")} == {"milepost-view", "milepost-edit"}
    without = chart.render(in_namespaces(["team-a"]) | {"rbac": {"userRoles": False}, "crds": {"enabled": False}})
    assert {found["kind"] for found in without} & {"ClusterRole", "ClusterRoleBinding"} == set()
    assert all("namespace" in found["metadata"] for found in without)


def test_the_operator_holds_what_it_gives_to_agents(chart: Chart) -> None:
    given = granted({"rules": AGENT_RULES})
    assert given
    assert granted(one(chart.render(), "ClusterRole", "milepost:operator")) >= given
    assert granted(one(chart.render(in_namespaces(["team-a"])), "Role", "milepost:operator")) >= given


def test_no_workflow_can_have_the_name_of_the_operators_role(chart: Chart) -> None:
    for values in ({}, in_namespaces(["team-a"])):
        for role in of_kind(chart.render(values | {"rbac": {"userRoles": False}}), "Role", "ClusterRole"):
            with pytest.raises(ManifestError):
                parse_resource({**MODEL_SERVICE, "metadata": {"name": role["metadata"]["name"]}})
    assert parse_resource({**MODEL_SERVICE, "metadata": {"name": "milepost-operator"}})


def test_rights_from_elsewhere_leave_none_here(chart: Chart) -> None:
    objects = chart.render({"rbac": {"create": False, "userRoles": False}})
    assert of_kind(objects, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding") == []


def test_users_of_a_namespace_may_see_or_change_the_two_kinds_and_not_their_status(chart: Chart) -> None:
    objects = chart.render()
    kinds = [("milepost.dev", plural) for plural in ("agentworkflows", "modelservices")]
    view, edit = (granted(one(objects, "ClusterRole", f"milepost-{name}")) for name in ("view", "edit"))
    assert {(group, resource) for group, resource, _ in view | edit} - set(kinds) == {
        ("milepost.dev", f"{plural}/status") for _, plural in kinds
    } | {("milepost.dev", "modelservices/scale")}
    assert {verb for _, _, verb in view} == {"get", "list", "watch"}
    assert {verb for group, plural, verb in edit if (group, plural) in kinds} == {
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
    }
    assert not [resource for _, resource, _ in edit if resource.endswith("/status")]


def test_user_roles_join_those_of_the_cluster(chart: Chart) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    joined = {
        role["metadata"]["name"]: {
            label.removeprefix(prefix) for label in role["metadata"]["labels"] if prefix in label
        }
        for role in of_kind(of_component(chart.render()), "ClusterRole")
    }
    assert joined == {
        "milepost:operator": set(),
        "milepost-view": {"view", "edit", "admin"},
        "milepost-edit": {"edit", "admin"},
    }


def test_only_the_pods_of_operator_and_gateway_get_a_token(chart: Chart) -> None:
    objects = chart.render()
    for component in ("operator", "gateway"):
        account = one(objects, "ServiceAccount", component=component)
        assert account["automountServiceAccountToken"] is False
        assert pod_of(objects, component)["spec"]["automountServiceAccountToken"] is True
        assert pod_of(objects, component)["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_the_gateway_may_find_agents_and_nothing_else(chart: Chart) -> None:
    find = {(group, plural, verb) for group, plural in (("", "pods"), ("apps", "statefulsets")) for verb in FINDING}
    everywhere = chart.render()
    assert granted(one(everywhere, "ClusterRole", component="gateway")) == find
    assert one(everywhere, "ClusterRoleBinding", component="gateway")["subjects"] == [GATEWAY_ACCOUNT]
    somewhere = of_component(chart.render(in_namespaces(["team-a", "team-b"])), "gateway")
    assert {key_of(role)[1:]: granted(role) for role in of_kind(somewhere, "Role")} == {
        (namespace, "milepost:gateway"): find for namespace in ("team-a", "team-b")
    }
    assert all(each["subjects"] == [GATEWAY_ACCOUNT] for each in of_kind(somewhere, "RoleBinding"))
    assert of_kind(somewhere, "ClusterRole", "ClusterRoleBinding") == []
