"""Objects of others that have the name of a child: they keep what they have, and the resource says so."""

from typing import Any

import pytest
from operator_clock import run_virtual
from operator_server import FakeCluster

from milepost_crds import API_VERSION
from milepost_operator.adoption import Adoption
from milepost_operator.cache import Cache
from milepost_operator.cluster import CONFIG_MAP, ApiError
from milepost_operator.names import FIELD_MANAGER, object_labels
from milepost_operator.observation import ObjectKey

EARLY, LATE = "2026-11-23T11:00:00Z", "2026-11-23T12:00:00Z"
OWNER = {"metadata": {"name": "writer", "namespace": "team", "uid": "owner", "creationTimestamp": LATE}}
CHILD = ObjectKey("v1", "ConfigMap", "writer-service")
METADATA = {"name": CHILD.name, "namespace": "team"}
OF_OWNER = [{"apiVersion": API_VERSION, "kind": "ModelService", "name": "writer", "uid": "owner", "controller": True}]
LABELS = object_labels("writer", "model")
WANTED: Any = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {**METADATA, "labels": LABELS, "ownerReferences": OF_OWNER},
    "data": {"service.yaml": "wanted"},
}


class Place:
    """An API server with at most one object, and who writes to it."""

    def __init__(self, data: Any = None, **metadata: Any) -> None:
        self.cluster = FakeCluster(Cache())
        assert self.cluster.cache is not None
        self.adoption = Adoption(self.cluster, self.cluster.cache)
        if metadata:
            content = {"data": data} if data is not None else {}
            self.cluster.have(CONFIG_MAP, {"metadata": METADATA | {"uid": "found"} | metadata, **content})

    async def apply(self, *, before: bool = False) -> str:
        """What came of it."""
        try:
            await self.adoption.apply(OWNER, CHILD, WANTED, written_before=before)
        except ApiError as error:
            assert not error.retriable or error.reason == "Conflict"
            return error.reason
        return "ours"

    @property
    def found(self) -> Any:
        return self.cluster.objects[CONFIG_MAP, "team", CHILD.name]


@pytest.mark.requirement("OPR-1")
def test_a_child_that_is_not_there_is_made_by_one_request() -> None:
    async def story() -> None:
        place = Place()
        assert await place.apply() == "ours"
        assert (place.cluster.forced, place.cluster.reads) == ([False], [])
        assert await place.apply() == "ours"
        assert (place.cluster.forced, place.cluster.reads) == ([False, True], [])

    run_virtual(story())


@pytest.mark.requirement("OPR-1", "OPR-5")
@pytest.mark.parametrize(
    ("data", "metadata"),
    [
        (None, {"creationTimestamp": EARLY}),
        (None, {"creationTimestamp": LATE, "managedFields": [{"manager": "kubectl-create"}]}),
        ({"service.yaml": "mine"}, {"creationTimestamp": EARLY}),
        ({"service.yaml": "mine"}, {"creationTimestamp": "2026-11-23T13:00:00Z"}),
    ],
    ids=["bare", "same-second", "differs", "younger"],
)
def test_what_somebody_else_made_keeps_what_it_has_until_it_is_gone(data: Any, metadata: Any) -> None:
    async def story() -> None:
        place = Place(data, **metadata)
        before = {key: value for key, value in place.found["metadata"].items() if key != "resourceVersion"}
        assert await place.apply() == "NameTaken"
        assert place.found["metadata"] | {"resourceVersion": ""} == before | {"resourceVersion": ""}
        assert place.found.get("data") == data
        assert True not in place.cluster.forced
        written = len(place.cluster.writes)
        assert await place.apply() == "NameTaken"
        assert len(place.cluster.writes) == written
        del place.cluster.objects[CONFIG_MAP, "team", CHILD.name]
        assert await place.apply() == "ours"

    run_virtual(story())


@pytest.mark.requirement("OPR-1")
@pytest.mark.parametrize(
    ("metadata", "before"),
    [
        ({"creationTimestamp": LATE, "ownerReferences": OF_OWNER}, False),
        ({"creationTimestamp": LATE, "managedFields": [{"manager": FIELD_MANAGER}]}, False),
        ({"creationTimestamp": EARLY, "labels": LABELS}, False),
    ],
    ids=["owner", "manager", "label"],
)
def test_a_child_of_ours_that_is_not_known_and_was_changed_is_put_right(metadata: Any, before: bool) -> None:
    async def story() -> None:
        place = Place({"service.yaml": "edited"}, **metadata)
        assert await place.apply(before=before) == "ours"
        assert place.found["data"] == WANTED["data"]
        assert place.cluster.forced == [False, True]

    run_virtual(story())


@pytest.mark.requirement("OPR-1")
@pytest.mark.parametrize(("made", "before"), [(EARLY, True), (LATE, False)], ids=["written-before", "younger"])
def test_a_child_that_only_lost_its_label_gets_it_back(made: str, before: bool) -> None:
    async def story() -> None:
        place = Place({"service.yaml": "wanted"}, creationTimestamp=made)
        assert await place.apply(before=before) == "ours"
        assert place.found["metadata"]["labels"] == LABELS

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
def test_a_conflict_with_what_is_gone_by_now_is_tried_again() -> None:
    async def story() -> None:
        place = Place()
        place.cluster.refuse = lambda verb, *_: ApiError(409, "Conflict", "modified") if verb == "apply" else None
        assert await place.apply() == "Conflict"

    run_virtual(story())
