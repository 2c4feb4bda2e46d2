"""The process: wiring, waiting for the API server, and an orderly end."""

import asyncio
import logging
import random
import signal
import sys
from collections.abc import Sequence

from milepost_crds import GROUP, VERSION
from milepost_operator.api_cluster import ApiCluster, load_configuration
from milepost_operator.cache import Cache, ResourceKey
from milepost_operator.cluster import ApiError
from milepost_operator.controller import Controller, log_fields, prime, run_workers
from milepost_operator.dependents import Dependents
from milepost_operator.describe import Describer
from milepost_operator.errors import ConfigurationError
from milepost_operator.gather import Gatherer
from milepost_operator.handlers import WATCHED
from milepost_operator.health import HealthServer
from milepost_operator.leadership import Leadership
from milepost_operator.listing import Listings
from milepost_operator.logs import begin_logging, configure_logging, last_word
from milepost_operator.metrics import ConditionRow, Metrics, QueueMetrics
from milepost_operator.pod_asker import PodAsker
from milepost_operator.reconcile import Reconciler
from milepost_operator.settings import OperatorSettings
from milepost_operator.starting import ask_starting, service_target
from milepost_operator.stores import agent_target, ask_agent
from milepost_operator.watching import watch
from milepost_operator.workqueue import WorkQueue

DRAIN_SECONDS = 20.0
STUCK_SECONDS = 600.0
LONGEST_WAIT_SECONDS = 10.0

log = logging.getLogger(__name__)


class Operator:
    """One operator: built from settings, run until it is told to stop."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._cluster = ApiCluster(
            load_configuration(), parallel=settings.concurrency + 2, count=self._metrics.count_request
        )
        self._cache = Cache()
        self._queue: WorkQueue[ResourceKey] = WorkQueue(QueueMetrics(self._metrics))
        dependents = Dependents()
        self._leadership = Leadership(
            self._cluster,
            pod=settings.pod_name,
            namespace=settings.pod_namespace,
            namespaces=settings.namespaces,
            changed=lambda leads: self._metrics.leading.labels("milepost-operator").set(leads),
        )
        reconciler = Reconciler(
            self._cluster,
            self._cache,
            gatherer=Gatherer(self._cluster, self._cache),
            dependents=dependents,
            # Names of Services mean nothing outside the cluster.
            describer=Describer(self._queue.add) if settings.pod_name else None,
            stores=PodAsker(self._queue.add, ask_agent, agent_target) if settings.pod_name else None,
            starts=PodAsker(self._queue.add, ask_starting, service_target) if settings.pod_name else None,
            defaults=settings.defaults(),
            repaired=lambda kind: self._metrics.repairs.labels(kind).inc(),
            instance=settings.pod_name,
        )
        self._controller = Controller(self._queue, self._cache, reconciler, dependents, self._leadership, self._metrics)
        self._listings = Listings(self._cluster, self._cache, self._controller, types=WATCHED, scopes=settings.scopes)
        self._health = HealthServer(alive=self._ailments, ready=self._missing, metrics=self._metrics.render)
        self._listed = False
        self._stopping = asyncio.Event()
        self._metrics.watch_queue(self._queue)
        self._metrics.show_conditions(self._condition_rows)
        prime(self._metrics, settings.concurrency)

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT, then lets what is under way end."""
        await self._health.start(self._settings.health_port, self._settings.metrics_port)
        self._catch_signals()
        log.info("Started for %s", ", ".join(self._settings.namespaces) or "all namespaces")
        work = asyncio.create_task(self._work(), name="work")
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            await self._drain()
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
            await self._health.stop()
            self._cluster.close()
        log.info("Stopped")

    async def _work(self) -> None:
        tasks = [asyncio.create_task(self._leadership.run(), name="leadership")]
        try:
            await self._prepare()
            tasks.append(asyncio.create_task(run_workers(self._controller, self._settings.concurrency)))
            tasks.append(asyncio.create_task(self._listings.follow(self._settings.resync_seconds)))
            failures = 0
            while True:
                problem = await watch(WATCHED, self._settings.namespaces, self._listings.hear)
                failures += 1
                pause = _pause(failures)
                log.warning("Stopped watching: %s; again in %.1f s", problem, pause)
                await asyncio.sleep(pause)
                await self._prepare()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self) -> None:
        """Waits until the API server answers, has our resources and lets us list everything; then it is listed."""
        failures = 0
        while True:
            try:
                if (missing := await self._missing_definitions()) is None:
                    await self._listings.all()
                    self._listed = True
                    log.info("Listed %d objects from %s", len(self._cache), self._cluster.host)
                    return
                problem = missing
            except ApiError as error:
                problem = error.message
            failures += 1
            pause = _pause(failures)
            log.warning("Waiting: %s; again in %.1f s", problem, pause)
            await asyncio.sleep(pause)

    async def _missing_definitions(self) -> str | None:
        versions = await self._cluster.served_versions(GROUP)
        if VERSION in versions:
            return None
        if not versions:
            return f"the cluster has no {GROUP} resources; install the CustomResourceDefinitions of {GROUP}/{VERSION}"
        return f"the cluster serves {GROUP}/{', '.join(versions)}, and this operator needs {GROUP}/{VERSION}"

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    async def _drain(self) -> None:
        if not self._leadership.leading.is_set():
            return
        log.info("Stopping with %d resources in the queue", self._queue.depth())
        if not await self._queue.drain(DRAIN_SECONDS):
            log.warning("Left %d resources in the queue", self._queue.depth())

    def _ailments(self) -> Sequence[str]:
        longest = max(self._queue.running_seconds(), default=0.0)
        found = [f"one resource has been worked on for {longest:.0f} s"] if longest > STUCK_SECONDS else []
        return [*found, *(f"the watch of {type_.plural} stands still" for type_ in self._listings.behind)]

    def _missing(self) -> Sequence[str]:
        return [] if self._listed else ["not everything has been listed yet"]

    def _condition_rows(self) -> list[ConditionRow]:
        return [
            (*key, condition["type"], condition["status"])
            for key, body in self._cache.resources()
            for condition in (body.get("status") or {}).get("conditions", ())
        ]


def _pause(failures: int) -> float:
    return min(LONGEST_WAIT_SECONDS, 0.5 * (1 << min(failures, 10))) * random.uniform(0.7, 1.0)  # noqa: S311 no secret


async def serve(settings: OperatorSettings) -> None:
    """Builds and runs an operator. Raises ConfigurationError or OSError where it cannot start."""
    await Operator(settings).run()


def main() -> int:
    """Entry point; 0 after an orderly stop, 2 for what the one who starts it can mend."""
    begin_logging()
    try:
        settings = OperatorSettings.load()
        configure_logging(settings.log_level, settings.log_format, log_fields.get)
        asyncio.run(serve(settings))
    except ConfigurationError as error:
        last_word(str(error))
        return 2
    except OSError as error:
        last_word(error.strerror or str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
