"""The chart over a table of values: whatever is set, what comes out must hold."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from helm_chart import (
    COMPONENT,
    NAMESPACE,
    RELEASE,
    ROOT,
    Chart,
    HelmError,
    Object,
    environment_of,
    key_of,
    of_component,
    of_kind,
    one,
    pod_of,
    pods_of,
)

DIGEST = "sha256:" + "ab" * 32
EVERYTHING: dict[str, Any] = {
    "commonLabels": {"team": "a", "app.kubernetes.io/name": "other"},
    "images": {"registry": "registry.example.com/team", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
    "workloads": {
        "accessMode": "ReadWriteOnce",
        "otlpEndpoint": "http://collector.observability:4317",
        "huggingFaceEndpoint": "https://hub.example.com",
    },
    "operator": {
        "concurrency": 4,
        "resyncSeconds": 60,
        "log": {"level": "DEBUG", "format": "text"},
        "podAnnotations": {"note": "x"},
        "podLabels": {"extra": "y", "app.kubernetes.io/component": "other"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    },
    "gateway": {
        "replicas": 2,
        "read": "token",
        "token": {"existingSecret": "ours", "key": "milepost.token"},
        "prefix": "/milepost",
        "hosts": ["agents.example.com"],
        "service": {"type": "LoadBalancer", "port": 80, "annotations": {"lb": "internal"}},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "agents.example.com",
            "tlsSecret": "certificate",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
        },
        "podAnnotations": {"note": "y"},
        "podLabels": {"extra": "z", "app.kubernetes.io/component": "other"},
        "nodeSelector": {"disk": "slow"},
        "tolerations": [{"key": "web", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
    },
    "serviceAccount": {"name": "someone", "annotations": {"a": "b"}},
    "metrics": {
        "serviceMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True, "label": "grafana_dashboard", "labelValue": "1", "folder": "Team"},
    },
    "networkPolicy": {
        "workloadNamespaces": ["team-a", "team-b"],
        "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]},
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "gatewayFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "extraIngress": [{"ports": [{"port": 50051, "protocol": "TCP"}]}],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443, "protocol": "TCP"}]}],
        "remoteModelsEgress": [{"to": [{"podSelector": {"matchLabels": {"app": "vllm"}}}]}],
        "toolsEgress": [{"to": [{"podSelector": {"matchLabels": {"app": "mcp"}}}]}],
        "downloadsEgress": [{"to": [{"podSelector": {"matchLabels": {"app": "mirror"}}}]}],
    },
}
TABLE: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "one namespace": {"watch": {"namespaces": ["team-a"]}},
    "namespaces": {"watch": {"namespaces": ["team-a", NAMESPACE]}},
    "no CRDs": {"crds": {"enabled": False}},
    "CRDs that go": {"crds": {"keep": False}},
    "digests": {
        "images": {role: {"digest": DIGEST} for role in ("operator", "agent", "model", "rag", "tools", "gateway")}
    },
    "pull secrets": {"images": {"pullSecrets": [{"name": "pull"}], "pullPolicy": "Always"}},
    "no policies": {"networkPolicy": {"enabled": False}},
    "given account": {"serviceAccount": {"create": False, "name": "given"}},
    "rights from elsewhere": {"rbac": {"create": False, "userRoles": False}},
    "other name": {"fullnameOverride": "mp"},
    "no gateway": {"gateway": {"enabled": False}},
    "open gateway": {"gateway": {"write": "open"}},
    "as a subchart": {"global": {"storageClass": "fast"}},
}
STANDARD_LABELS = {
    "app.kubernetes.io/name": "milepost",
    "app.kubernetes.io/instance": RELEASE,
    "app.kubernetes.io/component": "operator",
    "app.kubernetes.io/part-of": "milepost",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/version": "0.1.0",
    "helm.sh/chart": "milepost-0.1.0",
}
SELECTOR = {key: STANDARD_LABELS[key] for key in list(STANDARD_LABELS)[:3]}
CLUSTER_KINDS = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}

pytestmark = pytest.mark.requirement("PKG-2")


@pytest.fixture(params=TABLE, scope="module")
def objects(request: pytest.FixtureRequest, chart: Chart) -> list[Object]:
    return chart.render(TABLE[request.param])


def test_every_object_is_one_of_its_name_and_carries_the_standard_labels(objects: list[Object]) -> None:
    keys = [key_of(found) for found in objects]
    assert len(keys) == len(set(keys))
    for kind, namespace, name in keys:
        assert bool(namespace) == (kind not in CLUSTER_KINDS), (kind, name)
    for found in objects:
        labels = found["metadata"]["labels"]
        assert labels[COMPONENT] in ("operator", "gateway")
        assert labels.items() >= {**STANDARD_LABELS, COMPONENT: labels[COMPONENT]}.items(), key_of(found)


def test_every_pod_passes_the_restricted_standard(objects: list[Object]) -> None:
    pods = list(pods_of(objects))
    assert pods
    for pod in pods:
        assert restricted_problems(pod["spec"]) == []


def test_every_container_has_probes_limits_and_an_image(objects: list[Object]) -> None:
    for pod in pods_of(objects):
        for container in pod["spec"]["containers"]:
            assert container["resources"]["limits"]["memory"]
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
                probe = f"{probe}Probe"
                assert container[probe]["httpGet"]["path"] == path
                assert (
                    ports[container[probe]["httpGet"]["port"]] == {"operator": 8080, "gateway": 8400}[container["name"]]
                )
                assert container[probe]["timeoutSeconds"] >= 5
            assert container["image"].count("@") + container["image"].rsplit("/", 1)[-1].count(":") >= 1


def test_no_role_has_a_wildcard_or_can_grant_more_than_it_holds(objects: list[Object]) -> None:
    for role in of_kind(objects, "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], key_of(role)
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), key_of(role)


def test_selectors_select_the_operator_and_hold_nothing_that_changes(objects: list[Object]) -> None:
    deployment = one(objects, "Deployment")
    assert deployment["spec"]["selector"] == {"matchLabels": SELECTOR}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= SELECTOR.items()
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)
    assert one(objects, "Service")["spec"]["selector"] == SELECTOR
    for monitor in of_kind(objects, "ServiceMonitor"):
        assert monitor["spec"]["selector"] == {"matchLabels": SELECTOR}


def test_another_version_and_other_values_leave_the_selectors_alone(chart: Chart, tmp_path: Path) -> None:
    later = chart.copied(tmp_path, version="9.9.9", appVersion="8.8.8").render(EVERYTHING)
    now = chart.render()
    for kind, path in (("Deployment", "selector"), ("Service", "selector")):
        assert one(later, kind)["spec"][path] == one(now, kind)["spec"][path]
        assert one(later, kind)["metadata"]["labels"]["helm.sh/chart"] == "milepost-9.9.9"
    assert one(later, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_new_chart_of_the_same_app_does_not_restart_the_operator(chart: Chart, tmp_path: Path) -> None:
    later = chart.copied(tmp_path, version="9.9.9").render()
    pod, before = pod_of(later), pod_of(chart.render())
    assert pod == before


def test_one_operator_at_a_time(objects: list[Object]) -> None:
    spec = one(objects, "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30


def test_images_follow_registry_tag_and_digest(chart: Chart) -> None:
    def images(values: dict[str, Any]) -> dict[str, str]:
        objects = chart.render(values)
        pod = pod_of(objects)
        named = {
            name.removeprefix("MILEPOST_IMAGE_"): value
            for name, value in environment_of(objects).items()
            if name.startswith("MILEPOST_IMAGE_") and name != "MILEPOST_IMAGE_PULL_POLICY"
        }
        return named | {"OPERATOR": pod["spec"]["containers"][0]["image"]}

    plain = images({})
    assert plain == {
        "OPERATOR": "milepost-operator:0.1.0",
        "AGENT": "milepost-agent:0.1.0",
        "MODEL": "milepost-model-smollm2:0.1.0",
        "RAG": "milepost-rag:0.1.0",
        "TOOLS": "milepost-tools:0.1.0",
    }
    prefixed = images(EVERYTHING)
    assert prefixed == {
        role: f"registry.example.com/team/{image.replace('0.1.0', '1.2.3')}" for role, image in plain.items()
    }
    by_digest = images(TABLE["digests"])
    assert by_digest == {role: image.replace(":0.1.0", f"@{DIGEST}") for role, image in plain.items()}
    mixed = images({"images": {"registry": "a.example.com", "rag": {"registry": "b.example.com:5000", "tag": "7"}}})
    assert mixed["RAG"] == "b.example.com:5000/milepost-rag:7"
    assert mixed["TOOLS"] == "a.example.com/milepost-tools:0.1.0"


def test_the_pod_is_placed_and_marked_as_asked(chart: Chart) -> None:
    pod = pod_of(chart.render(EVERYTHING))
    asked = EVERYTHING["operator"]
    for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod["spec"][field] == asked[field]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["metadata"]["annotations"] == {"note": "x"}
    assert pod["metadata"]["labels"].items() >= {"extra": "y", "team": "a", **SELECTOR}.items()
    assert pod["spec"]["serviceAccountName"] == "someone"


def test_the_given_account_is_used_and_not_made(chart: Chart) -> None:
    objects = chart.render(TABLE["given account"])
    assert of_kind(of_component(objects), "ServiceAccount") == []
    pod = pod_of(objects)
    assert pod["spec"]["serviceAccountName"] == "given"
    assert one(objects, "ClusterRoleBinding")["subjects"] == [
        {"kind": "ServiceAccount", "name": "given", "namespace": NAMESPACE}
    ]


def test_another_release_has_names_of_its_own(chart: Chart) -> None:
    named = {
        key_of(found)[2] for found in chart.render(release="team-x") if found["kind"] != "CustomResourceDefinition"
    }
    assert named
    assert all(name.startswith("team-x-milepost") for name in named)
    overridden = chart.render(TABLE["other name"])
    names = {key_of(found)[2] for found in overridden if found["kind"] == "Deployment"}
    assert names == {"mp-operator", "mp-gateway"}


def test_the_chart_has_the_versions_of_the_project(chart: Chart) -> None:
    about = chart.about
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert about["appVersion"] == project["version"]
    assert about["annotations"]["artifacthub.io/license"] == "Apache-2.0"


def test_an_older_kubernetes_is_refused(chart: Chart) -> None:
    with pytest.raises(HelmError, match=r"requires kubeVersion: >=1\.30"):
        chart.helm("template", RELEASE, str(chart.folder), kubernetes="1.29.9")


def test_lint_has_nothing_to_say(chart: Chart) -> None:
    for name, values in TABLE.items():
        told = chart.helm("lint", "--strict", str(chart.folder), values=json.dumps(values))
        assert "[WARNING]" not in told and "[ERROR]" not in told, name
        assert "1 chart(s) linted, 0 chart(s) failed" in told


def restricted_problems(spec: Object) -> list[str]:
    """What of the Pod Security Standard `restricted`, and of our own rules beyond it, a pod does not keep."""
    security = spec.get("securityContext", {})
    problems = [f"{flag} is set" for flag in ("hostNetwork", "hostPID", "hostIPC") if spec.get(flag)]
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") in {None, 0}:
        problems.append("may run as root")
    if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        problems.append("has no seccomp profile")
    kinds = {kind for volume in spec.get("volumes", []) for kind in set(volume) - {"name"}}
    problems += [f"{kind} volumes are forbidden" for kind in kinds - RESTRICTED_VOLUMES]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = container.get("securityContext", {})
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        problems += [f"{container['name']}: {key}" for key, value in wanted.items() if own.get(key) != value]
        problems += [f"{container['name']}: hostPort" for port in container.get("ports", []) if "hostPort" in port]
        if set(own) - set(wanted):
            problems.append(f"{container['name']}: overrides the pod's security")
    return problems
