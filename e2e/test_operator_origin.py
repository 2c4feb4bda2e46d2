"""What was there before the operator: what is not its own stays as it is, what was its own is taken up again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from e2e_cluster import Object
from e2e_waiting import eventually
from operator_process import OperatorProcess
from operator_world import MARKS, World

HEALED_SECONDS = 60.0
DOWNLOAD = {"source": {"url": "https://models.example/m.gguf", "sha256": "0" * 64}}

pytestmark = MARKS

FOREIGN: tuple[tuple[str, str, Any], ...] = (
    ("Service", "{}", {"spec": {"selector": {"app": "mine"}, "ports": [{"name": "web", "port": 80}]}}),
    ("ServiceAccount", "{}", {}),
    ("ConfigMap", "{}-service", {"data": {"mine": "1"}}),
    ("ConfigMap", "{}-service", {"data": {"service.yaml": "mine"}}),
    (
        "PersistentVolumeClaim",
        "{}-cache",
        {
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Mi"}},
                "storageClassName": "",
            }
        },
    ),
)
"""Kind, name and content of what users may have made before."""


def foreign(here: World, name: str, number: int) -> Object:
    kind, pattern, content = FOREIGN[number]
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": pattern.format(name)}, **content}
    return here.cluster.create(manifest, here.namespace)


def kept(found: Object) -> Object:
    """All but its version; who writes to it counts."""
    metadata = {key: value for key, value in found["metadata"].items() if key != "resourceVersion"}
    return {**found, "metadata": metadata, "status": None}


@pytest.mark.requirement("OPR-1", "OPR-5")
@pytest.mark.parametrize("number", range(len(FOREIGN)), ids=[f"{kind}{n}" for n, (kind, *_) in enumerate(FOREIGN)])
def test_an_object_of_another_origin_is_not_taken_over(number: int, here: World, operator: OperatorProcess) -> None:
    name = f"taken-{number}"
    before = foreign(here, name, number)
    kind, theirs = before["kind"], before["metadata"]["name"]
    time.sleep(1.1)  # creation times count whole seconds
    here.service(name, llamaCpp=DOWNLOAD)
    said = here.condition("ModelService", name, "Degraded", "True", message="NameConflict")
    assert f'the {kind} "{theirs}" exists' in said["message"]
    assert "rename one of them" in said["message"]
    time.sleep(12)  # it is looked at again meanwhile
    assert kept(here.get(kind, theirs)) == kept(before)
    assert here.find("Deployment", name) is None
    here.cluster.delete("ModelService", name, here.namespace)
    here.wait_gone("ModelService", name)
    time.sleep(3)
    assert kept(here.get(kind, theirs)) == kept(before)


@pytest.mark.requirement("OPR-1", "OPR-5")
def test_objects_of_one_file_do_not_take_each_other_over(here: World, operator: OperatorProcess) -> None:
    """A user's ConfigMap is made in the second in which its namesake's resource is."""
    before = foreign(here, "at-once", 2)
    here.service("at-once")
    here.condition("ModelService", "at-once", "Degraded", "True", message="NameConflict")
    assert kept(here.get("ConfigMap", "at-once-service")) == kept(before)
    here.cluster.delete("ModelService", "at-once", here.namespace)


@pytest.mark.requirement("OPR-5")
def test_a_name_that_becomes_free_is_used(here: World, operator: OperatorProcess) -> None:
    foreign(here, "freed", 0)
    time.sleep(1.1)
    here.service("freed")
    here.condition("ModelService", "freed", "Degraded", "True", message="NameConflict")
    here.cluster.delete("Service", "freed", here.namespace)
    here.wait("Deployment", "freed", within=HEALED_SECONDS)
    here.condition("ModelService", "freed", "Degraded", "False")
    here.cluster.delete("ModelService", "freed", here.namespace)


@pytest.mark.requirement("OPR-1")
def test_children_that_were_left_behind_are_taken_up_again(here: World, operator: OperatorProcess) -> None:
    here.service("left")
    uid = here.wait("Deployment", "left")["metadata"]["uid"]
    operator.wait_quiet()
    here.cluster.delete("ModelService", "left", here.namespace, orphan=True)
    here.wait_gone("ModelService", "left")
    time.sleep(1.1)
    owner = here.service("left")["metadata"]["uid"]
    for kind, name in (("Deployment", "left"), ("Service", "left"), ("ConfigMap", "left-service")):
        eventually(
            f"{kind} {name} has its owner",
            lambda kind=kind, name=name: [
                each["uid"] for each in here.get(kind, name)["metadata"].get("ownerReferences", [])
            ],
            lambda seen: seen == [owner],
            within=30,
        )
    assert here.get("Deployment", "left")["metadata"]["uid"] == uid
    here.cluster.delete("ModelService", "left", here.namespace)
