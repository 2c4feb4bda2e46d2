"""What was last seen: newer wins, whose it is, and what is small enough to keep."""

from typing import Any

import pytest

from milepost_operator.cache import Cache, ResourceKey, Seen
from milepost_operator.cluster import CLAIM, CONFIG_MAP, DEPLOYMENT, MODEL_SERVICE, POD
from milepost_operator.names import object_labels, selector_labels
from milepost_operator.observation import ObjectKey

KEY = ResourceKey("ModelService", "ns", "echo")


def service(version: int = 5, *, uid: str = "owner", **more: Any) -> dict[str, Any]:
    metadata = {"name": "echo", "namespace": "ns", "uid": uid, "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata, "spec": {"capabilities": ["echo"]}, **more}


def child(kind: str, version: int, *, uid: str = "child", owner: str | None = "owner", **more: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": "echo",
        "namespace": "ns",
        "uid": uid,
        "resourceVersion": str(version),
        "labels": object_labels("echo", "model"),
        "managedFields": [{"manager": "x" * 1000}],
    }
    if owner is not None:
        reference = {"apiVersion": "milepost.dev/v1alpha1", "kind": "ModelService", "name": "echo", "uid": owner}
        metadata["ownerReferences"] = [reference | {"controller": True}]
    return {"kind": kind, "metadata": metadata, **more}


def test_what_is_not_newer_changes_nothing() -> None:
    cache = Cache()
    assert cache.observe(CONFIG_MAP, child("ConfigMap", 7)).affects == {KEY}
    assert cache.observe(CONFIG_MAP, child("ConfigMap", 7)).seen is Seen.NOTHING
    assert cache.observe(CONFIG_MAP, child("ConfigMap", 6, data={"a": "b"})).seen is Seen.NOTHING
    assert "data" not in cache.children("owner")[ObjectKey("v1", "ConfigMap", "echo")]


def test_news_of_a_status_are_told_from_changes() -> None:
    cache = Cache()
    deployment = child("Deployment", 7, status={"replicas": 0})
    deployment["metadata"]["generation"] = 1
    cache.observe(DEPLOYMENT, deployment)
    ready = child("Deployment", 8, status={"replicas": 1})
    ready["metadata"] |= {"generation": 1, "annotations": {"deployment.kubernetes.io/revision": "1"}}
    assert cache.observe(DEPLOYMENT, ready).seen is Seen.STATUS
    scaled = child("Deployment", 9)
    scaled["metadata"]["generation"] = 2
    assert cache.observe(DEPLOYMENT, scaled).seen is Seen.CHANGE


@pytest.mark.parametrize("field", ["data", "labels", "ownerReferences"])
def test_an_edited_child_is_a_change_for_its_owner(field: str) -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7, data={"key": "value"}))
    edited = child("ConfigMap", 8, data={"key": "value"})
    if field == "data":
        edited["data"] = {"key": "other"}
    else:
        del edited["metadata"][field]
    observation = cache.observe(CONFIG_MAP, edited)
    assert (observation.seen, observation.affects) == (Seen.CHANGE, {KEY})


def test_a_child_that_lost_its_owner_is_no_child() -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7))
    cache.observe(CONFIG_MAP, child("ConfigMap", 8, owner=None))
    assert cache.children("owner") == {}


def test_children_of_an_owner_that_was_made_again_are_not_taken_for_its_own() -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7, owner="former"))
    assert cache.children("owner") == {}
    assert list(cache.children("former")) == [ObjectKey("v1", "ConfigMap", "echo")]


def test_a_deleted_object_does_not_come_back_by_a_late_answer() -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7))
    assert cache.remove(CONFIG_MAP, child("ConfigMap", 9)).affects == {KEY}
    assert cache.observe(CONFIG_MAP, child("ConfigMap", 8)).seen is Seen.NOTHING
    assert cache.children("owner") == {}
    assert cache.observe(CONFIG_MAP, child("ConfigMap", 10, uid="again")).affects == {KEY}
    assert cache.remove(CONFIG_MAP, child("ConfigMap", 9)).seen is Seen.NOTHING


@pytest.mark.requirement("OPR-1")
def test_a_child_whose_label_was_taken_is_known_again_once_it_has_it_back() -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7))
    cache.remove(CONFIG_MAP, child("ConfigMap", 8))
    assert cache.observe(CONFIG_MAP, child("ConfigMap", 9)).affects == {KEY}
    assert cache.remove(CONFIG_MAP, child("ConfigMap", 10)).affects == {KEY}


def test_a_whole_listing_forgets_what_it_lacks_unless_that_is_newer() -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7))
    assert cache.retain(CONFIG_MAP, "elsewhere", [], "20") == frozenset()
    assert cache.retain(CONFIG_MAP, None, [], "6") == frozenset()
    assert cache.retain(CONFIG_MAP, "ns", [("ns", "echo")], "20") == frozenset()
    assert cache.retain(CONFIG_MAP, "ns", [], "20") == {KEY}
    assert cache.children("owner") == {}


def test_pods_and_claims_belong_by_their_labels() -> None:
    cache = Cache()
    for name, component in (("echo-1", "model"), ("echo-0", "agent")):
        metadata = {
            "name": name,
            "namespace": "ns",
            "uid": name,
            "resourceVersion": "3",
            "labels": selector_labels("echo", component),
        }
        cache.observe(POD, {"metadata": metadata, "spec": {"containers": [{"env": ["x" * 500]}]}, "status": {}})
        cache.observe(CLAIM, {"metadata": metadata | {"uid": f"claim-{name}"}, "spec": {}})
    workflow = ResourceKey("AgentWorkflow", "ns", "echo")
    assert [pod["metadata"]["name"] for pod in cache.pods(KEY)] == ["echo-1"]
    assert [pod["metadata"]["name"] for pod in cache.pods(workflow)] == ["echo-0"]
    assert [claim["metadata"]["name"] for claim in cache.claims(workflow)] == ["echo-0"]
    assert "containers" not in cache.pods(KEY)[0]["spec"]


def test_who_wrote_what_is_not_kept() -> None:
    cache = Cache()
    cache.observe(CONFIG_MAP, child("ConfigMap", 7))
    cache.observe(MODEL_SERVICE, service())
    (found,) = cache.children("owner").values()
    assert "managedFields" not in found["metadata"]
    assert cache.resource(KEY) is not None
    assert list(cache.services("ns")) == ["echo"]
    cache.remove(MODEL_SERVICE, service())
    assert cache.resource(KEY) is None
    assert cache.services("ns") == {}
