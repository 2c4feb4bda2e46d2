"""What is applied: golden files, pod security, names and selectors, and when an object counts as applied."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import WRITER_REF, around, carried_out, child, key_of, model, planned, served, stored, workflow
from operator_golden import FOLDER, cases, rendered

from milepost_operator.manifests import CHILD_KINDS, in_sync
from milepost_operator.observation import Object, Plan, Resource

CASES = cases()
LABEL = re.compile("[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
SELECTOR = {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}


@pytest.mark.requirement("OPR-2")
@pytest.mark.parametrize("name", CASES)
def test_the_children_are_those_of_the_golden_file(name: str) -> None:
    wanted = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert rendered(CASES[name]) == wanted, "run `python operator/tests/operator_golden.py` and look at the difference"


def test_there_is_no_golden_file_that_nothing_makes() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CASES)


def pod_templates(done: Plan) -> Iterator[Mapping[str, Any]]:
    yield from (each["spec"]["template"] for each in done.apply if each["kind"] in {"Deployment", "StatefulSet"})


def restricted(pod: Mapping[str, Any]) -> list[str]:
    """What the Pod Security Standard `restricted` forbids in a pod spec (its rules of Kubernetes 1.34, for Linux)."""
    found = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if pod.get(name)]
    volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {each['name']}" for each in pod.get("volumes", []) if not (set(each) - {"name"}) <= volumes]
    shared = pod.get("securityContext", {})
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        seccomp = (own.get("seccompProfile") or shared.get("seccompProfile") or {}).get("type")
        rules = {
            "privileged": not own.get("privileged", False),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": own.get("runAsNonRoot", shared.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", shared.get("runAsUser", 1)) != 0,
            "seccompProfile": seccomp in {"RuntimeDefault", "Localhost"},
            "drop": own.get("capabilities", {}).get("drop") == ["ALL"],
            "add": set(own.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"},
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
            "probe hosts": "host" not in str(container.get("livenessProbe", {})),
        }
        found += [name for name, kept in rules.items() if not kept]
    return found


@pytest.mark.requirement("OPR-2")
@pytest.mark.parametrize("name", CASES)
def test_every_pod_is_restricted_and_writes_only_to_volumes(name: str) -> None:
    (template,) = pod_templates(planned(CASES[name]))
    assert restricted(template["spec"]) == []
    (container,) = template["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    for kind in ("requests", "limits"):
        assert {"cpu", "memory"} <= set(container["resources"][kind])


@pytest.mark.requirement("OPR-2")
def test_probes_tell_living_from_ready_and_give_busy_cores_time() -> None:
    for resource, port in ((model(), 50052), (workflow(), 50051)):
        (template,) = pod_templates(planned(resource))
        (container,) = template["spec"]["containers"]
        startup, liveness, readiness = (container[f"{name}Probe"] for name in ("startup", "liveness", "readiness"))
        assert startup["grpc"] == liveness["grpc"] == {"port": port, "service": "liveness"}
        assert readiness["grpc"] == {"port": port}
        assert min(probe["timeoutSeconds"] for probe in (startup, liveness, readiness)) >= 5
        assert startup["failureThreshold"] * startup["periodSeconds"] >= 300


@pytest.mark.requirement("OPR-2")
def test_only_an_agent_may_speak_to_the_api_server_and_only_about_services() -> None:
    (template,) = pod_templates(planned(model()))
    assert template["spec"]["automountServiceAccountToken"] is False
    done = planned(workflow())
    (template,) = pod_templates(done)
    assert template["spec"]["automountServiceAccountToken"] is True
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}]
    assert child(done, "Role")["rules"] == rules
    assert child(done, "RoleBinding")["subjects"][0]["name"] == template["spec"]["serviceAccountName"] == "review"
    assert not [each for each in planned(model()).apply if each["kind"] in {"Role", "RoleBinding"}]


@pytest.mark.requirement("OPR-8")
@pytest.mark.parametrize(("policy", "deleted"), [({}, "Retain"), ({"reclaimPolicy": "Delete"}, "Delete")])
def test_volumes_stay_unless_they_are_to_go(policy: dict[str, str], deleted: str) -> None:
    found = child(planned(workflow(checkpoint=policy)), "StatefulSet")["spec"]
    assert found["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": deleted, "whenScaled": "Retain"}
    assert not any(each["kind"] == "PersistentVolumeClaim" for each in planned(workflow(checkpoint=policy)).apply)


names = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
engines = st.sampled_from(
    [
        {},
        {"openAI": {"baseURL": "https://a.example.org", "model": "m"}},
        {"rag": {"documents": {"configMap": {"name": "papers"}}} | WRITER_REF},
        {"tools": {"builtIn": ["clock"]} | WRITER_REF},
        {"llamaCpp": {"source": {"url": "https://a.example.org/b", "sha256": "0" * 64}}},
    ]
)
labels = st.dictionaries(st.from_regex("user/[a-z]{1,8}", fullmatch=True), st.just("x"), max_size=3)
resources = st.one_of(
    st.builds(
        lambda name, engine, chosen, replicas: model(name, nodeSelector=chosen, replicas=replicas, **engine),
        names, engines, labels, st.integers(0, 3),
    ),
    st.builds(
        lambda name, chosen, replicas: workflow(name, nodeSelector=chosen, replicas=replicas),
        names, labels, st.integers(1, 3),
    ),
)  # fmt: skip


@pytest.mark.requirement("OPR-1")
@settings(deadline=None, max_examples=60)
@given(resources)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(resource: Resource) -> None:
    first = planned(resource)
    assert planned(resource) == first
    after = carried_out(resource, around(resource), first)
    second = planned(resource, carried_out(resource, after, planned(resource, after)))
    assert [key_of(each) for each in second.apply] == [key_of(each) for each in first.apply]
    assert all(in_sync(each, after.children[key_of(each)]) for each in second.apply)
    assert not second.prune


@pytest.mark.requirement("OPR-2")
@settings(deadline=None, max_examples=60)
@given(resources, labels)
def test_names_are_labels_and_selectors_know_no_label_of_a_user(resource: Resource, chosen: dict[str, str]) -> None:
    marked = stored(resource.kind, resource.name, resource.spec.as_manifest(), metadata={"labels": chosen})
    kinds = [(kind.api_version, kind.kind) for kind in CHILD_KINDS]
    order = [kinds.index((each["apiVersion"], each["kind"])) for each in planned(marked).apply]
    assert order == sorted(order)
    for each in planned(marked).apply:
        name = each["metadata"]["name"]
        assert len(name) <= 63 and LABEL.fullmatch(name)
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())
        (owner,) = each["metadata"]["ownerReferences"]
        assert owner["controller"] is True and owner["uid"] == marked.metadata.uid
        selector = each.get("spec", {}).get("selector")
        if selector is not None:
            assert set(selector.get("matchLabels", selector)) == SELECTOR


def found_with(change: Callable[[Any], None]) -> Object:
    found: Any = copy.deepcopy(served(child(planned(model()), "Deployment"), readyReplicas=1))
    change(found)
    return found


def container_of(found: Any) -> Any:
    return found["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.requirement("OPR-1")
@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda found: None, True),
        (lambda found: container_of(found)["resources"]["limits"].update(cpu="2000m"), True),
        (lambda found: container_of(found)["resources"]["limits"].update(memory=str(512 * 1024**2)), True),
        (lambda found: container_of(found)["resources"]["limits"].update(cpu="3"), False),
        (lambda found: container_of(found)["resources"]["limits"].pop("cpu"), False),
        (lambda found: container_of(found)["env"].insert(0, {"name": "ADDED", "value": "1"}), True),
        (lambda found: container_of(found)["env"].pop(0), False),
        (lambda found: container_of(found)["env"][0].update(value="other"), False),
        (lambda found: container_of(found).update(command=["sh", "-c"]), False),
        (lambda found: container_of(found)["command"].append("--more"), False),
        (lambda found: container_of(found)["readinessProbe"]["grpc"].update(port="50052"), False),
        (lambda found: found["spec"]["template"]["spec"]["containers"].append({"name": "sidecar"}), True),
        (lambda found: found["spec"].update(replicas=2), False),
        (lambda found: found["spec"].update(paused=True), True),
        (lambda found: found["metadata"]["labels"].update(team="red"), True),
        (lambda found: found["metadata"]["labels"].pop("app.kubernetes.io/instance"), False),
        (lambda found: found["metadata"].update(annotations=None), False),
        (lambda found: found["metadata"]["annotations"].update({"milepost.dev/applied-hash": "0"}), False),
        (lambda found: found["metadata"].update(ownerReferences=[]), False),
        (lambda found: found["spec"].update(template=None), False),
        (lambda found: found["spec"].update(strategy="Recreate"), False),
    ],
)
def test_an_object_is_in_sync_while_it_has_what_we_want(change: Callable[[Any], None], same: bool) -> None:
    assert in_sync(child(planned(model()), "Deployment"), found_with(change)) is same


def test_what_the_server_leaves_out_because_it_is_empty_is_not_missing() -> None:
    wanted = {"a": "", "b": [], "c": {}, "d": None}
    assert in_sync(wanted, {})
    assert not in_sync(wanted | {"e": 0}, {})
    assert not in_sync({"limits": {"memory": "much"}}, {"limits": {"memory": "more"}})
