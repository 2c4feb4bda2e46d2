"""What one agent process is made of: store, router, registry, runner and servicers, wired together."""

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc.aio

from milepost.agent.v1 import agent_pb2_grpc, backup_pb2_grpc
from milepost.registry.v1 import registry_pb2_grpc
from milepost_agent.backup_servicer import BackupServicer
from milepost_agent.backups import Backups
from milepost_agent.clients import HealthMonitor, ServiceClients
from milepost_agent.collector import relax
from milepost_agent.counts import Counts
from milepost_agent.effects import Effects
from milepost_agent.failpoints import failpoint
from milepost_agent.learning import Learner
from milepost_agent.lifecycle import LifeCycle
from milepost_agent.nodes import NodeDependencies
from milepost_agent.observability import Clock, Observability
from milepost_agent.recovery import CRASH, Recovery, why_started
from milepost_agent.registry import Registry
from milepost_agent.registry_keeper import RegistryKeeper
from milepost_agent.registry_servicer import RegistryServicer
from milepost_agent.router import BackgroundRouter
from milepost_agent.router_model import language_model
from milepost_agent.runner import Runner
from milepost_agent.servicer import AgentServicer
from milepost_agent.settings import AgentSettings, retention_policy, schedule_of
from milepost_agent.steering import Steering
from milepost_agent.store import NewEvent, Store
from milepost_crds import AgentWorkflow
from milepost_service.kubernetes.access import ApiAccess
from milepost_service.telemetry.counters import REFUSED, exports
from milepost_service.telemetry.destination import UnusableDestination, destination

if TYPE_CHECKING:
    from milepost_agent.registry_kubernetes import KubernetesRegistry
    from milepost_agent.tracing.exporter import JournalExporter

log = logging.getLogger(__name__)


FIRST_LOOK_SECONDS = 0.3
"""How long resumed runs wait for the health of their services, so that a model that is there is heard again."""


class Agent:
    """Everything that one agent process holds while it serves."""

    def __init__(self, settings: AgentSettings, workflow: AgentWorkflow, store: Store, counts: Counts) -> None:
        self._settings = settings
        self._store = store
        self._registry = Registry()
        self._clients = ServiceClients()
        self._health = HealthMonitor(self._registry, self._clients)
        self._keeper = RegistryKeeper(self._registry, store)
        self._observability = Observability(
            store, settings.configured_mode(workflow), Clock(crash_seconds=settings.crash_debug_seconds)
        )
        larger = language_model(
            workflow.spec.router.model,
            cache_dir=settings.cache_dir,
            volume_dir=settings.model_volume_dir,
            cgroup_dir=settings.cgroup_dir,
            kept_in=settings.data_dir / "router",
        )
        self._router = BackgroundRouter(settings.router_model, larger)
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
        self.life = LifeCycle(store, self._runner, self._resume, counts.store_failed)
        self._backups = Backups(
            store,
            settings.backup_folder(workflow),
            workflow.metadata.name,
            schedule_of(workflow),
            carry_out=self.life.restore,
            succeeded=counts.backup_succeeded,
            failed=counts.backup_failed,
        )
        self._spans = span_exporter(store, workflow.metadata.name)
        if self._spans is not None:
            counts.lag = self._spans.lag
        self._access = settings.cluster()
        self._cluster: KubernetesRegistry | None = None
        self._loading: asyncio.Task[object] | None = None

    def add_servicers(self, server: grpc.aio.Server) -> None:
        agent = AgentServicer(
            self._runner, self._steering, self._store, self._observability, self._backups, self._spans
        )
        registry = RegistryServicer(self._registry, self._health)
        agent_pb2_grpc.add_AgentServiceServicer_to_server(agent, server)
        backup_pb2_grpc.add_BackupServiceServicer_to_server(BackupServicer(self._backups), server)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async def start(self) -> None:
        self._registry.restore(await self._store.load_services(), keep_adopted=self._access is not None)
        self._keeper.start()
        self._learner.start()
        self._health.start()
        relax()
        await self._health.first_look(FIRST_LOOK_SECONDS)
        await self.life.start()
        # What no resumed run waits for comes last: it would hold them up.
        self._backups.start()
        if self._spans is not None:
            await self._spans.start()
        self._loading = asyncio.create_task(asyncio.to_thread(self._router.load), name="router-loading")
        if self._access:
            self._cluster = cluster_registry(self._access, self._registry, self._health)
            self._cluster.start()

    async def _resume(self, cause: str) -> None:
        if cause:
            await self._store.save_services(self._registry.rows())
        why = await why_started(self._store, cause)
        started = NewEvent("AgentStarted", data={"epoch": self._store.epoch, "cause": why})
        await self._observability.start(crashed=why == CRASH, events=[started])
        await self._runner.start()
        failpoint("recovery.begun")
        resumed = await self._recovery.start(cause)
        failpoint("recovery.done")
        log.info("Epoch %d, %d runs resumed", self._store.epoch, resumed)
        await self._retention.stop()
        self._retention.start()

    async def drain(self) -> None:
        await self.life.stop()
        await self._runner.drain(self._settings.drain_seconds)
        if self._spans is not None:
            await asyncio.to_thread(self._spans.stop)
        await self._retention.stop()
        await self._backups.stop()
        self._store.end_watches()
        self._registry.end_watches()
        await self._learner.stop()
        await self._keeper.stop()
        await asyncio.to_thread(self._router.close)
        if self._cluster:
            await self._cluster.stop()
        await self._health.stop()
        await self._observability.stop()
        await self._clients.close()
        failpoint("drain.done")
        await self._recovery.stop()
        failpoint("drain.noted")


def span_exporter(store: Store, name: str) -> "JournalExporter | None":
    """What exports the spans of runs; None where the environment names no receiver, or none that can be used."""
    try:
        place = destination("traces")
    except UnusableDestination as error:
        log.warning("spans are not exported: %s", error)
        exports.gave_up("spans", 0, REFUSED, str(error))
        return None
    if place is None:
        return None
    from milepost_agent.tracing.exporter import JournalExporter  # noqa: PLC0415

    return JournalExporter(store, name, place)


def cluster_registry(access: ApiAccess, registry: Registry, health: HealthMonitor) -> "KubernetesRegistry":
    """Imports the HTTP client of the Kubernetes API, which no other agent needs."""
    from milepost_agent.registry_kubernetes import KubernetesRegistry  # noqa: PLC0415

    return KubernetesRegistry(access, registry, health)
