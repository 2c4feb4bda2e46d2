"""How fast the durable core is: steps beside LangGraph with its stock saver, and the recovery of a killed agent.

Steps: the same graph of four nodes, each adding a message of 2 KB to the state, with synchronous=FULL and each step
stored before the next one begins. "stock" is `graph.ainvoke(durability="sync")` on AsyncSqliteSaver; "milepost" is
what the agent does (its store, its driver, its settings of the garbage collector); "none" is `graph.ainvoke` without a
checkpointer: what LangGraph itself takes. Recovery: real processes, see durability_recovery.py.

Where a step's time went when this was written (one core, 100 runs at once, microseconds of the event loop a step):
`ainvoke` 270 (callbacks, tracers, streams, tasks 120, the loop itself 150), the saver 95, the garbage collector 25. And
the writer's thread waited up to 5 ms for the interpreter's lock after each SQL statement. The answers are a driver of
our own, rows that are written by few statements, a calmer collector, and (from 313 to 190 microseconds of CPU a step)
no rows that the same commit deletes again, no search for those it deletes, no look for the checkpoint of a run that
was never driven. The disk is no limit: 0.03 commits a step.

What a commit costs decides the ratio on a slower disk. The same as on one with the commit time of a network volume:
    cc -shared -fPIC -O2 -o artifacts/slow_fsync.so benchmarks/slow_fsync.c -ldl
    FSYNC_DELAY_US=2000 LD_PRELOAD=artifacts/slow_fsync.so make bench-durability ARGS="--only steps"

Prints tables, writes artifacts/bench_durability.json, and ends with one line of JSON.
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import durability_recovery
import durability_steps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "durability.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
ROWS = (
    ("1 run at a time: p50 of a run", "alone", "p50_ms", "{:.2f} ms"),
    ("1 run at a time: p95 of a run", "alone", "p95_ms", "{:.2f} ms"),
    ("1 run at a time: commits a step", "alone", "commits_per_step", "{:.2f}"),
    ("{at_once} runs at once: steps per second", "together", "steps_per_s", "{:,.0f}"),
    ("{at_once} runs at once: p50 of a run", "together", "p50_ms", "{:,.0f} ms"),
    ("{at_once} runs at once: commits a step", "together", "commits_per_step", "{:.2f}"),
    ("{at_once} runs at once: CPU time a step", "together", "cpu_us_per_step", "{:,.0f} µs"),
    ("{at_once} runs at once: peak memory of the process", "together", "peak_mib", "{:.0f} MiB"),
    ("{at_once} runs at once: growth of the file", "together", "file_kib_per_run", "{:.1f} KiB a run"),
)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("steps", "recovery"), help="one half of it")
    parser.add_argument("--folder", type=Path, default=ROOT / "artifacts", help="where the databases are made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=100, help="runs of a round one after the other")
    parser.add_argument("--together", type=int, default=600, help="runs of a round at once")
    parser.add_argument("--at-once", type=int, default=100, help="how many of those at a time")
    parser.add_argument("--payload", type=int, default=2048, help="bytes of each message")
    parser.add_argument("--interrupted", type=int, default=1000, help="runs under way when the agent is killed")
    parser.add_argument("--ended", type=int, nargs="*", default=[0, 10_000, 100_000], help="ended runs in the file")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/durability.md")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"conditions": conditions()}
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as scratch:
        if chosen.only != "recovery":
            found["steps"] = durability_steps.compare(
                Path(scratch), chosen.rounds, chosen.payload, chosen.alone, chosen.together, chosen.at_once
            )
        if chosen.only != "steps":
            found["recovery"] = durability_recovery.many_runs(Path(scratch) / "many", chosen.interrupted, chosen.rounds)
            found["ended_runs"] = durability_recovery.beside_ended_runs(
                Path(scratch) / "ended", tuple(chosen.ended), chosen.rounds
            )
    found["conditions"]["load_after"] = os.getloadavg()[0]
    text = "\n".join(report(found, chosen.at_once))
    (ROOT / "artifacts").mkdir(exist_ok=True)
    (ROOT / "artifacts" / "bench_durability.json").write_text(json.dumps(found, indent=2) + "\n")
    if chosen.docs:
        put_into_docs(text)
    print(f"\n{text}\n")
    print(json.dumps(summary(found)))


def conditions() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "slow_fsync_us": int(os.environ.get("FSYNC_DELAY_US", "0")),
    }


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """What the last line says."""
    steps, recovery = found.get("steps", {}), found.get("recovery", {})
    figures = {key: steps.get(key) for key in ("ratio_latency_1", "ratio_steps_per_s_100")}
    figures |= {key: recovery.get(key) for key in ("resume_first_s", "resume_1000_s")}
    return {key: value for key, value in figures.items() if value is not None}


def report(found: dict[str, Any], at_once: int) -> list[str]:
    """The tables in Markdown."""
    lines = []
    if steps := found.get("steps"):
        lines += [f"| Four steps, {steps['payload_bytes']} bytes each | Milepost | stock saver | no saver |"]
        lines += ["|---|---|---|---|"]
        for title, part, key, form in ROWS:
            cells = [form.format(steps[part][side][key]) for side in durability_steps.SIDES]
            cells[2] = "" if key in {"commits_per_step", "file_kib_per_run"} else cells[2]
            lines.append(f"| {title.format(at_once=at_once)} | {' | '.join(cells)} |")
        lines += ["", f"Ours / stock: latency {steps['ratio_latency_1']:.2f}, steps per second "]
        lines[-1] += f"{steps['ratio_steps_per_s_100']:.1f}. An append of 8 KiB with `fdatasync` takes "
        lines[-1] += f"{steps['fdatasync_ms']:.2f} ms on this disk."
    if recovery := found.get("recovery"):
        lines += [
            "",
            "| After SIGKILL, from the start of the process | first run goes on | all go on |",
            "|---|---|---|",
        ]
        times = f"{recovery['resume_first_s']:.2f} s | {recovery['resume_1000_s']:.2f} s |"
        lines.append(f"| {recovery['interrupted_runs']:,} interrupted runs | {times}")
        for row in found["ended_runs"]:
            what = f"10 interrupted beside {row['ended_runs']:,} ended runs ({row['file_mib']:,} MiB)"
            lines.append(f"| {what} | {row['resume_first_s']:.2f} s | {row['resume_all_s']:.2f} s |")
    state = found["conditions"]
    lines += ["", f"Python {state['python']}, {state['cpus']} cores, load {state['load_before']:.1f} before and "]
    lines[-1] += f"{state['load_after']:.1f} after; medians of the rounds."
    return lines


def put_into_docs(text: str) -> None:
    before, begin, rest = DOCS.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{DOCS}: has no {BEGIN} ... {END}")
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
