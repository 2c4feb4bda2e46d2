"""What a plan writes and what it leaves alone: rollouts, holds, volumes, prunes, pauses and names that are taken."""

from dataclasses import replace
from typing import Any

import pytest
from operator_cases import (
    DEFAULTS,
    NOW,
    SMOLLM2,
    WRITER_REF,
    around,
    child,
    claim,
    condition,
    key_of,
    model,
    planned,
    service_body,
    settled,
    with_metadata,
    with_spec,
    workflow,
)

from milepost_operator.manifests import in_sync
from milepost_operator.observation import Description, ObjectKey, Observed, Plan, Refusal, Resource
from milepost_operator.planning import invalid_status, references_of

BY_URL = {"source": {"url": "https://models.example.org/a.gguf", "sha256": "0" * 64}}
BIG = {"source": {"huggingFace": {"repo": "example/Mistral-7B-GGUF", "file": "mistral-7b.Q4_K_M.gguf"}}}


def config_hash(done: Plan) -> str:
    (workload,) = [each for each in done.apply if each["kind"] in {"Deployment", "StatefulSet"}]
    return str(workload["spec"]["template"]["metadata"]["annotations"]["milepost.dev/config-hash"])


def template(done: Plan) -> Any:
    (workload,) = [each for each in done.apply if each["kind"] in {"Deployment", "StatefulSet"}]
    return workload["spec"]["template"]


@pytest.mark.requirement("OPR-2")
@pytest.mark.parametrize(
    ("resource", "change"),
    [
        (model(), {"systemPrompt": "Be brief."}),
        (model(), {"generation": {"maxTokens": 8}}),
        (model(), {"llamaCpp": SMOLLM2 | {"contextTokens": 1024}}),
        (model(), {"llamaCpp": SMOLLM2 | {"quantization": "Q8_0"}}),
        (model(), {"resources": {"limits": {"cpu": 1}}}),
        (model(), {"nodeSelector": {"disk": "fast"}}),
        (workflow(), {"runTimeout": "1m"}),
        (workflow(), {"maxHops": 1}),
        (workflow(), {"steps": [{"name": "code", "role": "coder", "instructions": "Write less."}]}),
        (workflow(), {"checkpoint": {"durability": "normal"}}),
    ],
)
def test_what_a_process_reads_at_its_start_replaces_the_pods(resource: Resource, change: dict[str, Any]) -> None:
    assert template(planned(with_spec(resource, **change))) != template(planned(resource))


@pytest.mark.requirement("OPR-2", "OPR-7")
@pytest.mark.parametrize(
    ("resource", "change"),
    [
        (model(), {"replicas": 3}),
        (model(), {"description": "Writes."}),
        (model(), {"examples": ["Write a poem."]}),
        (model(), {"capabilities": ["poetry"]}),
        (model(llamaCpp=BY_URL), {"llamaCpp": BY_URL | {"cache": {"size": "20Gi"}}}),
        (workflow(), {"replicas": 2}),
        (workflow(), {"checkpoint": {"storage": {"size": "2Gi"}}}),
        (workflow(), {"checkpoint": {"reclaimPolicy": "Delete"}}),
        (workflow(), {"maxHops": 3}),
        (workflow(), {"observability": {"mode": "debug"}}),
    ],
)
def test_what_no_process_reads_leaves_the_pods_running(resource: Resource, change: dict[str, Any]) -> None:
    assert template(planned(with_spec(resource, **change))) == template(planned(resource))


@pytest.mark.requirement("OBS-1")
def test_the_mode_has_a_key_of_its_own_and_is_in_nothing_else_that_a_pod_or_a_run_goes_by() -> None:
    before = planned(workflow())
    after = planned(with_spec(workflow(), observability={"mode": "debug"}))
    was, now = (child(done, "ConfigMap")["data"] for done in (before, after))
    assert (was["observability"], now["observability"]) == ("shipping\n", "debug\n")
    assert was["workflow.yaml"] == now["workflow.yaml"]
    assert child(before, "StatefulSet") == child(after, "StatefulSet")
    (container,) = template(after)["spec"]["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "configuration"]
    assert "subPath" not in mount  # or the kubelet would not bring a change of the key
    file = next(each["value"] for each in container["env"] if each["name"] == "MILEPOST_OBSERVABILITY_FILE")
    assert file == f"{mount['mountPath']}/observability"


@pytest.mark.requirement("OPR-2")
def test_a_rollout_takes_no_pod_away_before_there_is_another() -> None:
    spec = child(planned(model(replicas=2)), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = child(planned(workflow()), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1 and budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert child(planned(workflow()), "StatefulSet")["spec"]["podManagementPolicy"] == "Parallel"


@pytest.mark.requirement("OPR-3")
def test_a_service_is_in_the_registry_only_while_it_is_ready() -> None:
    resource, observed = settled(model(description="Writes.", examples=["Write it."]))
    ready = child(planned(resource, observed), "Service")["metadata"]
    tags = {f"capability.milepost.dev/{tag}": "true" for tag in ("coding", "general")}
    assert (tags | {"milepost.dev/registry": "true"}).items() <= ready["labels"].items()
    assert ready["annotations"]["milepost.dev/capabilities"] == '["coding", "general"]'
    assert ready["annotations"]["milepost.dev/examples"] == '["Write it."]'
    for unready in (planned(model()), planned(*settled(model(), ready=0)), planned(*settled(model(replicas=0)))):
        labels = child(unready, "Service")["metadata"]["labels"]
        assert not [label for label in labels if "milepost.dev" in label]
        assert "capabilities" not in unready.status
    assert planned(resource, observed).status["capabilities"] == ["coding", "general"]


@pytest.mark.requirement("OPR-4")
def test_a_model_that_does_not_fit_is_neither_scheduled_nor_rolled() -> None:
    small = {"limits": {"memory": "2Gi"}}
    first = planned(model(llamaCpp=BIG, resources=small))
    assert first.apply == [] and first.prune == []
    message = condition(first.status, "Degraded")["message"]
    assert condition(first.status, "Degraded")["reason"] == "MemoryTooSmall"
    assert message.startswith("spec.resources.limits.memory: 2Gi is too little") and "allowed: " in message
    running, observed = settled(model())
    grown = with_spec(running, llamaCpp=BIG, resources=small)
    held = planned(grown, observed)
    assert [each["kind"] for each in held.apply] == ["Service"] and held.prune == []
    assert condition(held.status, "Ready")["status"] == "True"
    assert condition(held.status, "Degraded")["reason"] == "MemoryTooSmall"
    enough = message.split("allowed: ")[1].split(" or more")[0]
    assert child(planned(with_spec(grown, resources={"limits": {"memory": enough}}), observed), "Deployment")


@pytest.mark.requirement("RTR-5", "OPR-4")
def test_a_router_model_counts_among_the_memory_of_its_agent() -> None:
    """By default there is room; a limit without is refused with one that does."""
    router = {"model": {"source": SMOLLM2["source"]}}
    small = workflow(router=router, resources={"limits": {"memory": "600Mi"}})
    held = planned(small)
    assert held.apply == []
    degraded = condition(held.status, "Degraded")
    assert degraded["reason"] == "MemoryTooSmall"
    assert degraded["message"].startswith(
        "spec.resources.limits.memory: 600Mi is too little for spec.router.model (80Mi weights, 22Mi KV cache for 1024 "
    )
    enough = degraded["message"].split("allowed: ")[1].split(" or more")[0]
    for roomy in (with_spec(small, resources={"limits": {"memory": enough}}), workflow(router=router)):
        assert child(planned(roomy), "StatefulSet")


@pytest.mark.requirement("OPR-4")
def test_a_measured_model_is_judged_by_its_measure_until_another_is_asked_for() -> None:
    told = Description("sha256:1", 2048, 1, 2, weights_bytes=3 * 1024**3, kv_bytes_per_token=1000)
    resource, observed = settled(model(llamaCpp=BY_URL, resources={"limits": {"memory": "4Gi"}}), description=told)
    assert resource.status.model.digest == "sha256:1"
    smaller = {"resources": {"limits": {"memory": "2Gi"}}}
    assert condition(planned(with_spec(resource, **smaller), observed).status, "Degraded")["reason"] == "MemoryTooSmall"
    another = {"source": {"url": "https://models.example.org/b.gguf", "sha256": "1" * 64}}
    rolled = planned(with_spec(resource, llamaCpp=another, **smaller), replace(observed, description=None))
    assert child(rolled, "Deployment")
    assert "weightsBytes" not in rolled.status["model"]


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        (workflow(checkpoint={"backend": "postgres"}), "spec.checkpoint.backend"),
        (model(autoscaling={"maxReplicas": 2}), "spec.autoscaling"),
    ],
)
@pytest.mark.requirement("OPR-5")
def test_what_nobody_does_yet_is_refused_before_anything_runs(resource: Resource, field: str) -> None:
    done = planned(resource)
    assert done.apply == []
    degraded = condition(done.status, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "NotSupported")
    assert degraded["message"].startswith(f"{field}: ") and "allowed: " in degraded["message"]
    assert condition(done.status, "Progressing")["status"] == "False"


LIBRARY = model("library", rag={"documents": {"configMap": {"name": "papers"}}} | WRITER_REF)


@pytest.mark.requirement("OPR-5")
def test_pods_that_cannot_start_are_not_made_and_running_ones_are_left_alone() -> None:
    missing = around(LIBRARY, config_maps=frozenset())
    first = planned(LIBRARY, missing)
    assert first.apply == [] and first.requeue_after == 15
    assert condition(first.status, "DependenciesResolved")["reason"] == "ConfigMapNotFound"
    running, observed = settled(LIBRARY)
    lost = planned(with_spec(running, systemPrompt="Be brief."), replace(observed, config_maps=frozenset()))
    assert [each["kind"] for each in lost.apply] == ["Service"] and lost.prune == []
    assert condition(lost.status, "Ready")["status"] == "True"
    assert condition(lost.status, "DependenciesResolved")["status"] == "False"
    stopped = planned(with_spec(running, replicas=0), replace(observed, config_maps=frozenset()))
    assert child(stopped, "Deployment")["spec"]["replicas"] == 0


@pytest.mark.requirement("OPR-5")
def test_an_agent_starts_without_its_services_and_says_so() -> None:
    alone = planned(workflow(), Observed())
    assert child(alone, "StatefulSet")
    assert condition(alone.status, "DependenciesResolved")["reason"] == "ServiceNotFound"


def test_a_paused_resource_is_watched_and_left_alone() -> None:
    running, observed = settled(model())
    paused = with_metadata(with_spec(running, replicas=2), annotations={"milepost.dev/paused": "true"})
    done = planned(paused, observed)
    assert (done.apply, done.prune, done.requeue_after) == ([], [], None)
    assert condition(done.status, "Progressing")["reason"] == "Paused"
    assert condition(done.status, "Ready")["status"] == "True"
    assert planned(with_metadata(paused, annotations={"milepost.dev/paused": "false"}), observed).apply


def test_a_resource_that_goes_is_left_to_garbage_collection() -> None:
    running, observed = settled(workflow())
    going = with_metadata(running, deletionTimestamp="2026-11-23T12:00:00Z")
    done = planned(going, observed)
    assert not done.apply and not done.prune and not done.events and done.requeue_after is None
    assert done.status == running.status.as_manifest()


@pytest.mark.requirement("OPR-1")
def test_children_that_are_no_longer_wanted_are_pruned() -> None:
    running, observed = settled(model(llamaCpp=BY_URL))
    assert planned(running, observed).prune == []
    done = planned(with_spec(running, llamaCpp=SMOLLM2), observed)
    assert done.prune == [ObjectKey("v1", "PersistentVolumeClaim", "writer-cache")]
    stray = {ObjectKey("apps/v1", "StatefulSet", "old"): {}, ObjectKey("v1", "Service", "old"): {}}
    both = planned(running, replace(observed, children={**observed.children, **stray})).prune
    assert [key.kind for key in both] == ["StatefulSet", "Service"]


@pytest.mark.requirement("OPR-2")
def test_a_larger_volume_is_asked_of_the_claims_and_the_template_stays() -> None:
    running, observed = settled(workflow(replicas=2))
    larger = with_spec(running, checkpoint={"storage": {"size": "2Gi"}})
    done = planned(larger, observed)
    grown = [each for each in done.apply if each["kind"] == "PersistentVolumeClaim"]
    assert [each["metadata"]["name"] for each in grown] == ["data-review-0", "data-review-1"]
    assert {each["spec"]["resources"]["requests"]["storage"] for each in grown} == {"2Gi"}
    assert "ownerReferences" not in grown[0]["metadata"]
    kept = child(done, "StatefulSet")
    assert in_sync(kept, observed.children[key_of(kept)])
    assert condition(done.status, "Degraded")["status"] == "False"
    asked = replace(observed, claims=[claim(f"data-review-{n}", size="2048Mi") for n in range(2)])
    assert not [each for each in planned(larger, asked).apply if each["kind"] == "PersistentVolumeClaim"]


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(
    ("storage", "field"),
    [
        ({"size": "512Mi"}, "spec.checkpoint.storage.size: 512Mi is asked for, but data-review-0 has 1Gi"),
        ({"className": "fast"}, 'spec.checkpoint.storage.className: "fast" is asked for, but data-review-0 has'),
    ],
)
def test_what_cannot_be_changed_of_a_volume_is_said_and_the_rest_is_done(storage: dict[str, str], field: str) -> None:
    running, observed = settled(workflow())
    done = planned(with_spec(running, runTimeout="1m", checkpoint={"storage": storage}), observed)
    degraded = condition(done.status, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ImmutableField")
    assert degraded["message"].startswith(field) and "allowed: " in degraded["message"]
    before = observed.children[ObjectKey("apps/v1", "StatefulSet", "review")]["spec"]
    after = child(done, "StatefulSet")["spec"]
    assert after["volumeClaimTemplates"] == before["volumeClaimTemplates"]
    assert after["template"] != before["template"]


def test_a_changed_default_access_mode_leaves_existing_workflows_alone() -> None:
    running, observed = settled(workflow())
    done = planned(running, observed, defaults=replace(DEFAULTS, access_mode="ReadWriteOnce"))
    kept = child(done, "StatefulSet")
    assert in_sync(kept, observed.children[key_of(kept)])


def test_a_cache_grows_and_never_shrinks() -> None:
    running, observed = settled(model(llamaCpp=BY_URL))
    grown = planned(with_spec(running, llamaCpp=BY_URL | {"cache": {"size": "20Gi"}}), observed)
    assert child(grown, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"] == "20Gi"
    less = planned(with_spec(running, llamaCpp=BY_URL | {"cache": {"size": "5Gi"}}), observed)
    assert child(less, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"] == "10Gi"
    assert condition(less.status, "Degraded")["reason"] == "ImmutableField"


def test_an_engine_of_another_kind_needs_a_new_resource() -> None:
    running, observed = settled(model())
    changed = with_spec(running, llamaCpp=None, tools={"builtIn": ["clock"], "modelRef": {"name": "other"}})
    done = planned(changed, replace(observed, services={"other": service_body("other")}))
    assert [each["kind"] for each in done.apply] == ["Service"]
    assert condition(done.status, "Degraded")["reason"] == "ImmutableField"


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(
    ("resource", "namesake", "taken"),
    [
        (workflow("writer"), "2026-11-23T10:00:00Z", True),
        (workflow("writer"), "2026-11-23T11:00:00Z", True),
        (workflow("writer"), "2026-11-23T11:30:00Z", False),
        (model("writer"), "2026-11-23T10:00:00Z", True),
        (model("writer"), "2026-11-23T11:00:00Z", False),
        (model("writer"), "2026-11-23T11:30:00Z", False),
    ],
)
def test_the_older_of_two_resources_keeps_the_name(resource: Resource, namesake: str, taken: bool) -> None:
    other = {"metadata": {"name": "writer", "creationTimestamp": namesake}}
    done = planned(resource, around(resource, namesake=other))
    assert (condition(done.status, "Degraded")["reason"] == "NameConflict") is taken
    assert bool(done.apply) is not taken
    assert done.requeue_after == (15 if taken else None)


def test_refused_writes_change_what_is_said() -> None:
    running, observed = settled(model())
    refusal = Refusal("apply", ObjectKey("apps/v1", "Deployment", "writer"), 403, "Forbidden", "no patch for you")
    done = planned(running, replace(observed, refusals=[refusal]))
    assert condition(done.status, "Degraded")["reason"] == "Forbidden"
    assert condition(done.status, "Ready")["status"] == "True"


@pytest.mark.requirement("OPR-5")
def test_a_stored_object_that_cannot_be_read_gets_a_condition_and_keeps_the_rest_of_its_status() -> None:
    stored = {"readyReplicas": 1, "conditions": [{"type": "Ready", "status": "broken"}]}
    body = {"metadata": {"name": "old", "generation": 4}, "status": stored}
    status = invalid_status(body, "spec.steps: is too long; allowed: 1 to 5", NOW)
    assert status["observedGeneration"] == 4 and status["readyReplicas"] == 1
    degraded = condition(status, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "InvalidSpec")
    assert degraded["message"].startswith("spec.steps: is too long")
    assert invalid_status(body | {"status": status}, "spec.steps: is too long; allowed: 1 to 5", NOW) == status


def test_references_are_all_that_a_resource_names() -> None:
    named = workflow(
        steps=[
            {"name": "a", "role": "a", "capability": "coding"},
            {"name": "b", "role": "b", "serviceRef": {"name": "reviewer"}},
        ],
        router={"defaultService": {"name": "general"}},
        checkpoint={"storage": {"className": "fast"}},
    )
    found = references_of(named)
    assert found.services == {"writer", "reviewer", "general"}
    assert (found.capabilities, found.storage_class, found.any_service) == ({"coding"}, "fast", False)
    assert references_of(workflow(steps=[{"name": "a", "role": "a"}])).any_service
    remote = model(openAI={"baseURL": "https://a", "model": "b", "secretRef": {"name": "llm"}})
    assert references_of(remote).secrets == {("llm", "apiKey")}
    assert references_of(LIBRARY).config_maps == {"papers"} and references_of(LIBRARY).services == {"writer"}
    volume = {"persistentVolumeClaim": {"claimName": "models", "path": "a.gguf"}}
    assert references_of(model(llamaCpp={"source": volume})).claims == {"models"}


@pytest.mark.requirement("OPR-1", "OPR-6")
@pytest.mark.parametrize("resource", [model(replicas=2), workflow(replicas=2), LIBRARY])
def test_a_settled_resource_has_nothing_to_do_and_nothing_to_say(resource: Resource) -> None:
    running, observed = settled(resource)
    again = planned(running, observed, now=NOW.replace(hour=13))
    assert all(in_sync(each, observed.children[key_of(each)]) for each in again.apply)
    assert again.status == planned(running, observed).status
    assert (again.prune, again.events, again.requeue_after) == ([], [], None)
    conditions = {each["type"]: each["status"] for each in again.status["conditions"]}
    assert conditions.pop("Degraded") == conditions.pop("Progressing") == "False"
    assert set(conditions.values()) == {"True"}
