"""Workers that take keys from the queue and reconcile them, and the routes by which news become keys."""

import asyncio
import logging
import random
import time
import uuid
from contextvars import ContextVar

from milepost_operator.cache import Cache, Observation, ResourceKey, Seen
from milepost_operator.cluster import MODEL_SERVICE, ApiError, ResourceType
from milepost_operator.dependents import Dependents
from milepost_operator.leadership import Leadership
from milepost_operator.metrics import CONTROLLERS, Metrics
from milepost_operator.observation import Object
from milepost_operator.reconcile import Outcome, Reconciler
from milepost_operator.workqueue import Priority, WorkQueue

SETTLE_SECONDS = 0.25
"""News of a child's status, or of a service, often come several at once; they are looked at together."""
REFUSED_SECONDS = 10.0
"""First pause after what only a user can mend; it doubles."""

log = logging.getLogger(__name__)
log_fields: ContextVar[dict[str, str]] = ContextVar("log_fields", default={})  # noqa: B039 never changed in place
"""What every line of a pass carries: controller, kind, namespace, name and reconcileID."""


class Controller:
    """Owns the queue: everything that happens goes through it, and nothing else reconciles."""

    def __init__(
        self,
        queue: WorkQueue[ResourceKey],
        cache: Cache,
        reconciler: Reconciler,
        dependents: Dependents,
        leadership: Leadership,
        metrics: Metrics,
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._reconciler = reconciler
        self._dependents = dependents
        self._leadership = leadership
        self._metrics = metrics
        self._failures: dict[ResourceKey, int] = {}

    def saw(self, type_: ResourceType, found: Object) -> None:
        """An object as it is now."""
        self._route(type_, found, self._cache.observe(type_, found))

    def lost(self, type_: ResourceType, found: Object) -> None:
        """An object that was deleted."""
        self._route(type_, found, self._cache.remove(type_, found))

    def look_again(self, spread: float = 0.0) -> None:
        """Every resource is due, spread over so many seconds, after all that has changed."""
        for key, _ in self._cache.resources():
            self._queue.add_after(key, random.uniform(0, spread), Priority.RESYNC)  # noqa: S311 no secret

    def changed(self, key: ResourceKey) -> None:
        """A resource is due now."""
        self._queue.add(key)
        if key.kind == MODEL_SERVICE.kind:
            self._tell_dependents(key)

    async def work(self) -> None:
        """One worker: until the queue is drained."""
        while True:
            await self._leadership.leading.wait()
            key = await self._queue.get()
            if key is None:
                return
            try:
                if self._leadership.leading.is_set():
                    await self._handle(key)
                else:
                    self._queue.add(key)
            finally:
                self._queue.done(key)

    def _route(self, type_: ResourceType, found: Object, observation: Observation) -> None:
        if observation.seen is Seen.NOTHING:
            return
        for key in observation.affects:
            if observation.seen is Seen.CHANGE:
                self._queue.add(key)
            else:
                self._queue.add_after(key, SETTLE_SECONDS, Priority.NEWS)
        if type_ is MODEL_SERVICE:
            metadata = found["metadata"]
            self._tell_dependents(ResourceKey(type_.kind, metadata["namespace"], metadata["name"]))

    def _tell_dependents(self, key: ResourceKey) -> None:
        for dependent in self._dependents.affected(key, self._cache.resource(key)):
            self._queue.add_after(dependent, SETTLE_SECONDS, Priority.NEWS)

    async def _handle(self, key: ResourceKey) -> None:
        controller = key.kind.lower()
        token = log_fields.set(
            {
                "controller": controller,
                "kind": key.kind,
                "namespace": key.namespace,
                "name": key.name,
                "reconcileID": uuid.uuid4().hex[:12],
            }
        )
        began = time.perf_counter()
        self._metrics.active_workers.labels(controller).inc()
        try:
            outcome = await self._reconciler.reconcile(
                key, attempt=self._failures.get(key, 0), hurried=self._is_hurried
            )
        except Exception:
            # One resource that trips over a mistake of ours must not stop the others.
            log.exception("Reconciled in vain")
            outcome = Outcome(failure=ApiError(500, "InternalError", "a mistake of the operator"))
        finally:
            self._metrics.active_workers.labels(controller).dec()
            self._metrics.seconds.labels(controller).observe(time.perf_counter() - began)
        self._schedule(key, outcome)
        if key.kind == MODEL_SERVICE.kind:
            self._tell_dependents(key)
        log_fields.reset(token)

    def _is_hurried(self) -> bool:
        return self._queue.depth(Priority.CHANGE) > 0

    def _schedule(self, key: ResourceKey, outcome: Outcome) -> None:
        controller = key.kind.lower()
        if outcome.failure is None:
            self._failures.pop(key, None)
            self._queue.forget(key)
            if outcome.overtaken:
                self._queue.add(key)
            elif outcome.unsaid:
                self._queue.add(key, Priority.NEWS)
            if outcome.requeue_after is not None:
                self._queue.add_after(key, outcome.requeue_after, Priority.RESYNC)
            result = "success" if outcome.requeue_after is None else "requeue_after"
            self._metrics.reconciles.labels(controller, result).inc()
            return
        error = outcome.failure
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        base = REFUSED_SECONDS if outcome.refused else 0.0
        pause = self._queue.retry(key, at_least=max(error.retry_after or 0.0, min(300.0, base * 2 ** (failures - 1))))
        self._metrics.reconciles.labels(controller, "error").inc()
        self._metrics.errors.labels(controller).inc()
        log.warning("Failed with %s: %s; again in %.1f s", error.reason, error.message, pause)


def prime(metrics: Metrics, workers: int) -> None:
    """Sets the metrics that never change."""
    for controller in CONTROLLERS:
        metrics.max_concurrent.labels(controller).set(workers)


async def run_workers(controller: Controller, count: int) -> None:
    """All workers, until the queue is drained."""
    await asyncio.gather(*(controller.work() for _ in range(count)))
