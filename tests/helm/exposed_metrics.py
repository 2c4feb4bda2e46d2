"""Which series each kind of process exposes: made by the real collectors, each of which has done one of everything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from milepost_agent.counts import Counts
from milepost_agent.metrics import Metrics as AgentMetrics
from milepost_agent.store import EventRecord, Store
from milepost_model.metrics import download_metrics, engine_metrics
from milepost_model.remote import metrics as remote_metrics
from milepost_operator.metrics import Metrics as OperatorMetrics
from milepost_operator.metrics import QueueMetrics
from milepost_operator.workqueue import WorkQueue
from milepost_service import prometheus
from milepost_service.download_status import DownloadStatus
from milepost_service.metrics import ServiceMetrics
from milepost_service.models.progress import Transfer
from milepost_service.prometheus import ExportMetrics, ResourceMetrics
from milepost_service.serving_stats import ServingStats
from milepost_service.telemetry.counters import ExportCounters
from milepost_service.telemetry.resources import Reading
from milepost_service.usage import Load

SCRAPED = {"job", "instance", "namespace", "pod", "container"}
"""Labels that every series has from its scrape."""

Exposed = dict[str, set[str]]
"""Label names by name of a series."""


def of_operator() -> Exposed:
    metrics = OperatorMetrics()
    queue: WorkQueue[str] = WorkQueue(QueueMetrics(metrics))
    metrics.watch_queue(queue)
    metrics.show_conditions(lambda: [("AgentWorkflow", "a", "b", "Ready", "True")])
    metrics.repairs.labels("Service").inc()
    metrics.count_request("200", "GET")
    metrics.reconciles.labels("agentworkflow", "success").inc()
    metrics.seconds.labels("agentworkflow").observe(1)
    metrics.leading.labels("x").set(1)
    return _series(metrics.render().decode())


async def of_agent(folder: Path) -> Exposed:
    counts = Counts()
    counts.failures["DiskFull"] += 1
    counts.backup_succeeded(1.0)
    counts.committed([EventRecord(1, "run", "c", "Recommended", 1.0, "step", 1, {"path": "embedding"}, "")])
    metrics = AgentMetrics(counts, asyncio.get_running_loop())
    store = await Store.open(folder / "milepost.db")
    metrics.show(store)
    try:
        # On a thread as in the HTTP server: queries of the store go through this loop.
        return await asyncio.to_thread(_collected, [metrics])
    finally:
        await store.close()


def of_services() -> Exposed:
    """Those of models, here and behind a URL; other services have fewer."""
    stats = ServingStats()
    stats.end("milepost.capability.v1.CapabilityService/Invoke", "OK", 0.1)
    engine = SimpleNamespace(
        load_now=lambda: Load(1, 2, 3),
        prefilled_tokens=1,
        embedded_tokens=1,
        generated_tokens=1,
        computed_batches=1,
        tokens_per_second=1.0,
        makes_text=True,
        taken_tokens=1,
        cache_tokens=2,
    )
    status = DownloadStatus()
    status.watch(Transfer("m.gguf", 1, 2))
    metrics = ServiceMetrics(stats, Load, lambda: [*engine_metrics(cast(Any, engine)), *download_metrics(status)])
    remote = SimpleNamespace(
        load_now=lambda: Load(1, 2, 3),
        asking=SimpleNamespace(prompt_tokens=1),
        embedded_tokens=1,
        tokens_per_second=1.0,
        attempts=SimpleNamespace(retries={"429": 1}),
    )
    of_remote = ServiceMetrics(stats, Load, lambda: remote_metrics.engine_metrics(cast(Any, remote)))
    return _collected([metrics]) | _collected([of_remote])


def of_every_process() -> Exposed:
    """What agents and services have besides, in a container with limits."""
    reader = SimpleNamespace(read=lambda: Reading(1.0, 2, 3.0, 4, 5, 6, source="cgroup"))
    counters = ExportCounters()
    counters.sent("spans", 1)
    before, prometheus.process_resources = prometheus.process_resources, cast(Any, lambda: reader)
    try:
        return _collected([ResourceMetrics(), ExportMetrics(counters)])
    finally:
        prometheus.process_resources = before


def _collected(collectors: Iterable[Collector]) -> Exposed:
    registry = CollectorRegistry(auto_describe=False)
    for each in collectors:
        registry.register(each)
    ProcessCollector(registry=registry)
    return _series(generate_latest(registry).decode())


def _series(text: str) -> Exposed:
    found: Exposed = {}
    for line in text.splitlines():
        if not line.startswith("#") and (match := re.match(r"([\w:]+)(?:\{(.*)\})? ", line)):
            found.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
    return found
