"""`milepost get`: what there is, as tables for people or one JSON object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from milepost.agent.v1 import agent_pb2
from milepost_cli.backend import Away, Backend, Readiness
from milepost_cli.client import EVERY_RUN, RunQuery
from milepost_cli.statistics import percentile, router_times
from milepost_cli.text import one_line
from milepost_cli.views import write_json, write_line, write_note
from milepost_service.json_form import to_json


def runs(backend: Backend, wanted: RunQuery, *, limit: int, as_json: bool) -> int:
    """Runs of all workflows, newest first; who is away is said, on standard error where the answer is for people."""
    found = backend.runs(limit, wanted)
    if as_json:
        away = {"away": away_forms(found.away)} if found.away else {}
        write_json({"runs": [to_json(run) for run in found.runs], **away})
        return 0
    tell_away(found.away, "runs")
    if not found.runs:
        write_line("no runs yet" if wanted == EVERY_RUN else "no such runs")
    else:
        from milepost_cli.pages import page, runs_table  # noqa: PLC0415 - rich is only paid for where it shows

        with page() as out:
            out.print(runs_table(found.runs))
    return 0


def run(backend: Backend, run_id: str, *, as_json: bool) -> int:
    """One run with its hops, the router's time as measured and, in a cluster, the pod that it belongs to."""
    agent, found = backend.with_run(run_id)
    pod = agent.name if agent.name != agent.workflow else ""
    if as_json:
        times = router_times(found)
        router = {"hops": len(times), "p95_ms": percentile(times, 0.95), "max_ms": max(times, default=0.0)}
        write_json({**to_json(found), "router_time": router, **({"pod": pod} if pod else {})})
        return 0
    from milepost_cli.pages import page, print_run  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        print_run(out, found, backend.option, pod)
    return 0


def services(backend: Backend, *, as_json: bool) -> int:
    """Services with their state as the agents see it and, in a cluster, as the operator sees it."""
    rows = backend.services()
    if as_json:
        forms = [{**to_json(row.service), "restarts": row.restarts, **_ready(row.ready)} for row in rows]
        write_json({"services": forms})
        return 0
    from milepost_cli.pages import page, services_table  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        out.print(services_table(rows))
    return 0


def workflows(backend: Backend, *, as_json: bool) -> int:
    """Workflows as their agents describe them and, in a cluster, as the operator sees them."""
    rows = backend.workflows()
    if as_json:
        write_json(
            {
                "workflows": [
                    {
                        **to_json(row.workflow),
                        "target": row.target,
                        **_ready(row.ready),
                        **({"pods": list(row.pods), "away": away_forms(row.away)} if row.ready is not None else {}),
                    }
                    for row in rows
                ]
            }
        )
        return 0
    for row in rows:
        tell_away(row.away, "runs")
        _tell_unwritable(row.workflow)
    from milepost_cli.pages import page, workflows_table  # noqa: PLC0415 - rich is only paid for where it shows

    with page() as out:
        out.print(workflows_table(rows))
    return 0


def _ready(ready: Readiness | None) -> dict[str, Any]:
    return {"ready": asdict(ready)} if ready is not None else {}


def away_forms(away: Sequence[Away]) -> list[dict[str, str]]:
    return [asdict(one) for one in away]


def tell_away(away: Sequence[Away], what: str) -> None:
    for one in away:
        write_note(f"{one.name} is away, its {what} are not counted: {one_line(one.reason, 300)}")


def _tell_unwritable(agent: agent_pb2.GetAgentResponse) -> None:
    if agent.store.failure:
        failure = one_line(agent.store.failure, 300)
        write_note(f"{agent.workflow} stands still: {failure}")
