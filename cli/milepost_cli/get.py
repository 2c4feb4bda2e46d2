"""`milepost get`: what there is, as tables for people or one JSON object for programs."""

from __future__ import annotations

from milepost.registry.v1 import registry_pb2
from milepost_cli.client import Agents
from milepost_cli.json_form import to_json
from milepost_cli.state import StateDirectory
from milepost_cli.statistics import percentile, router_times
from milepost_cli.views import write_json, write_line


def runs(state: StateDirectory, *, limit: int, as_json: bool) -> int:
    """Runs of all workflows, newest first."""
    found = [run for agent in Agents(state) for run in agent.list_runs(limit)]
    found.sort(key=lambda run: run.create_time.ToNanoseconds(), reverse=True)
    if as_json:
        write_json({"runs": [to_json(run) for run in found[:limit]]})
    elif not found:
        write_line("no runs yet")
    else:
        from milepost_cli.pages import page, runs_table  # noqa: PLC0415 - rich is only paid for where it shows

        with page() as out:
            out.print(runs_table(found[:limit]))
    return 0


def run(state: StateDirectory, run_id: str, *, as_json: bool) -> int:
    """One run with its hops and the router's time as measured."""
    _, found = Agents(state).with_run(run_id)
    if as_json:
        times = router_times(found)
        router = {"hops": len(times), "p95_ms": percentile(times, 0.95), "max_ms": max(times, default=0.0)}
        write_json({**to_json(found), "router_time": router})
        return 0
    from milepost_cli.pages import page, print_run  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        print_run(out, found)
    return 0


def services(state: StateDirectory, *, as_json: bool) -> int:
    """Services that any agent knows, with how often the supervisor started each again."""
    agents = Agents(state)
    found: dict[str, registry_pb2.Service] = {}
    for agent in agents:
        for service in agent.services():
            found.setdefault(service.name, service)
    processes = agents.record.processes
    rows = [
        (service, processes[service.name].restarts if service.name in processes else 0)
        for service in sorted(found.values(), key=lambda service: service.name)
    ]
    if as_json:
        write_json({"services": [{**to_json(service), "restarts": restarts} for service, restarts in rows]})
        return 0
    from milepost_cli.pages import page, services_table  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        out.print(services_table(rows))
    return 0


def workflows(state: StateDirectory, *, as_json: bool) -> int:
    """Workflows that are up, as their agents describe them."""
    agents = Agents(state)
    found = [agent.describe() for agent in agents]
    if as_json:
        write_json({"workflows": [{**to_json(one), "target": agents.record.workflows[one.workflow]} for one in found]})
        return 0
    from milepost_cli.pages import page, workflows_table  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        out.print(workflows_table(found, agents.record))
    return 0
