"""The agent process: wires store, router, registry, runner and servicers together."""

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import grpc.aio
from pydantic import Field, StringConstraints, model_validator

from milepost.agent.v1 import agent_pb2_grpc
from milepost.registry.v1 import registry_pb2_grpc
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.cluster_access import SERVICE_ACCOUNT, ApiAccess
from milepost_agent.effects import Effects
from milepost_agent.errors import StoreError, StoreLocked
from milepost_agent.failpoints import arm_failpoints
from milepost_agent.learning import Learner
from milepost_agent.nodes import NodeDependencies
from milepost_agent.observability import Observability
from milepost_agent.recovery import Recovery
from milepost_agent.registry import Registry
from milepost_agent.registry_servicer import RegistryServicer
from milepost_agent.router import BackgroundRouter
from milepost_agent.runner import Runner
from milepost_agent.servicer import AgentServicer
from milepost_agent.steering import Steering
from milepost_agent.store import RetentionPolicy, Store
from milepost_crds import AgentWorkflow, ManifestError, Retention, load_manifests
from milepost_crds.units import parse_duration
from milepost_service.errors import ConfigurationError
from milepost_service.server import run, serve, standby
from milepost_service.settings import ProcessSettings

if TYPE_CHECKING:
    from milepost_agent.registry_kubernetes import KubernetesRegistry

log = logging.getLogger(__name__)

DATABASE = "milepost.db"
LOCK_POLL_SECONDS = 0.2
CLUSTER_LOCK_WAIT_SECONDS = 120.0
"""A pod that was deleted by force lives on for as long as its grace period while its successor starts."""
# LangGraph would send prompts to a hosted service when the user's shell happens to set these for another program.
FOREIGN_TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")


class AgentSettings(ProcessSettings):
    """What the agent reads beside what every process reads."""

    listen: str = "127.0.0.1:50051"
    workflow_file: Path
    data_dir: Path
    router_model: Path | None = None
    drain_seconds: float = 5.0
    """How long current steps may go on after SIGTERM before they are stopped and left to the next start."""
    failpoints: str = ""
    registry: Literal["grpc", "kubernetes"] = "grpc"
    """Where services come from besides those that register themselves: the labelled Services of a namespace."""
    namespace: Annotated[str, StringConstraints(pattern="^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")] = ""
    kubernetes_url: str = ""
    """Empty: the API server that every pod is told of."""
    kubernetes_token_file: Path = SERVICE_ACCOUNT / "token"
    kubernetes_ca_file: Path = SERVICE_ACCOUNT / "ca.crt"

    lock_wait_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    """How long another process may keep the file of the runs; unset: 120 s in a cluster, else not at all."""

    @property
    def longest_lock_wait(self) -> float:
        if self.lock_wait_seconds is not None:
            return self.lock_wait_seconds
        return CLUSTER_LOCK_WAIT_SECONDS if self.registry == "kubernetes" else 0.0

    @model_validator(mode="after")
    def _namespace_is_known(self) -> Self:
        if self.registry == "kubernetes" and not self.namespace:
            raise ConfigurationError("MILEPOST_NAMESPACE: is not set; needed with MILEPOST_REGISTRY=kubernetes")
        return self

    def cluster(self) -> ApiAccess | None:
        """How the Kubernetes API is reached; None when it is not to be asked."""
        if self.registry == "grpc":
            return None
        if not self.kubernetes_url:
            return ApiAccess.in_cluster(self.namespace)
        return ApiAccess(self.kubernetes_url, self.namespace, self.kubernetes_token_file, self.kubernetes_ca_file)


def load_workflow(path: Path) -> AgentWorkflow:
    """The one AgentWorkflow of a file.

    Raises:
        ConfigurationError: the file is missing, broken, or holds something else.
    """
    try:
        workflows = [each.resource for each in load_manifests([path]) if isinstance(each.resource, AgentWorkflow)]
    except ManifestError as error:
        raise ConfigurationError(str(error)) from None
    if len(workflows) != 1:
        raise ConfigurationError(f"{path}: holds {len(workflows)} AgentWorkflows; allowed: exactly 1")
    return workflows[0]


def retention_policy(retention: Retention) -> RetentionPolicy:
    """What the workflow says of runs that ended, in the store's terms."""
    return RetentionPolicy(retention.ended_runs, parse_duration(retention.max_age))


class Agent:
    """Everything that one agent process holds while it serves."""

    def __init__(self, settings: AgentSettings, workflow: AgentWorkflow, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._registry = Registry()
        self._clients = ServiceClients()
        self._health = HealthMonitor(self._registry, self._clients)
        self._observability = Observability(store, workflow.spec.observability.mode, settings.log_level)
        self._router = BackgroundRouter(settings.router_model)
        self._learner = Learner(self._registry, self._router)
        dependencies = NodeDependencies(
            spec=workflow.spec,
            store=store,
            registry=self._registry,
            router=self._router,
            clients=self._clients,
            effects=Effects(store),
        )
        self._runner = Runner(workflow, dependencies)
        self._retention = store.retention(
            retention_policy(workflow.spec.checkpoint.retention),
            keep_workflow=self._runner.digest,
            busy=self._runner.is_driving,
        )
        self._steering = Steering(self._runner, store)
        self._recovery = Recovery(store, self._runner)
        self._access = settings.cluster()
        self._cluster: KubernetesRegistry | None = None
        self._loading: asyncio.Task[object] | None = None

    def add_servicers(self, server: grpc.aio.Server) -> None:
        agent = AgentServicer(self._runner, self._steering, self._store, self._observability)
        registry = RegistryServicer(self._registry, self._health, self._store)
        agent_pb2_grpc.add_AgentServiceServicer_to_server(agent, server)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async def start(self) -> None:
        self._registry.restore(await self._store.load_services(), keep_adopted=self._access is not None)
        self._learner.start()
        self._health.start()
        await self._observability.start()
        await self._runner.start()
        resumed = await self._recovery.start()
        log.info("Epoch %d, %d runs resumed", self._store.epoch, resumed)
        self._retention.start()
        # What no resumed run waits for comes last: it would hold them up.
        self._loading = asyncio.create_task(asyncio.to_thread(self._router.load), name="router-loading")
        if self._access:
            self._cluster = cluster_registry(self._access, self._registry, self._health, self._store)
            self._cluster.start()

    async def drain(self) -> None:
        await self._runner.drain(self._settings.drain_seconds)
        await self._retention.stop()
        self._store.end_watches()
        self._registry.end_watches()
        await self._learner.stop()
        if self._cluster:
            await self._cluster.stop()
        await self._health.stop()
        self._observability.stop()
        await self._clients.close()
        await self._recovery.stop()


def cluster_registry(
    access: ApiAccess, registry: Registry, health: HealthMonitor, store: Store
) -> "KubernetesRegistry":
    """Imports the HTTP client of the Kubernetes API, which no other agent needs."""
    from milepost_agent.registry_kubernetes import KubernetesRegistry  # noqa: PLC0415

    return KubernetesRegistry(access, registry, health, store)


async def serve_agent(settings: AgentSettings) -> None:
    """Serves until a signal comes.

    Raises:
        ConfigurationError: the workflow or the store cannot be used.
    """
    arm_failpoints(settings.failpoints)
    workflow = load_workflow(settings.workflow_file)
    store = await open_store(settings, workflow)
    if store is None:
        return
    try:
        agent = await asyncio.to_thread(Agent, settings, workflow, store)
        await serve(
            settings,
            name=workflow.metadata.name,
            add_servicers=agent.add_servicers,
            start=agent.start,
            drain=agent.drain,
            unfit=store.until_failure,
        )
    finally:
        await store.close()


async def open_store(settings: AgentSettings, workflow: AgentWorkflow) -> Store | None:
    """The store, as soon as the process that has it lets it go; None when a signal came first.

    Raises:
        ConfigurationError: it cannot be used, or was not let go in time.
    """
    found: list[Store] = []
    longest = settings.longest_lock_wait

    async def attempt() -> None:
        durability = workflow.spec.checkpoint.durability
        found.append(await Store.open(settings.data_dir / DATABASE, durability=durability, history=False))

    async def wait(locked: StoreLocked) -> None:
        log.warning("%s; waiting up to %g s for it to end (MILEPOST_LOCK_WAIT_SECONDS)", locked, longest)
        deadline = time.monotonic() + longest
        while not found:
            await asyncio.sleep(LOCK_POLL_SECONDS)
            try:
                await attempt()
            except StoreLocked:
                if time.monotonic() >= deadline:
                    raise
        log.info("the file is free now")

    try:
        try:
            await attempt()
        except StoreLocked as locked:
            if not longest:
                raise
            await standby(settings, name=workflow.metadata.name, until=wait(locked))
    except StoreError as error:
        raise ConfigurationError(str(error)) from None
    return found[0] if found else None


def main() -> None:
    """Entry point `milepost-agent`."""
    for name in FOREIGN_TRACING:
        os.environ.pop(name, None)
    run(_main(), name="milepost-agent")


async def _main() -> None:
    await serve_agent(AgentSettings.load())
