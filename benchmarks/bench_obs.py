"""What telemetry costs the runs: the four durable steps of `bench-durability`, with the journal that an agent writes.

Three modes, each in a process of its own with a new database: "off" exports nothing; "shipping" sends the spans of
every run by OTLP to a receiver in a further process; "debug" sends metrics and log records too. They take turns of
about a second, in an order that changes from round to round, with one run at a time and with many at once; who is not
up stands still. After some rounds all three make way for new processes, because a process differs from the next by
more than what is measured.

Two figures of each mode, as medians over the rounds with the limits between which they lie with 95 %:

- in time: how much longer a step took than with "off" in the same round. It is what runs feel, and on a machine that
  others use it says more of them than of telemetry.
- in CPU time: what telemetry took of the CPU as a share of what the runs of the same process took in the same turn. It
  is the time of all threads that no run has part in, with what noting a log record takes of the runs' own thread. Who
  else uses the machine hardly moves it; waiting for the interpreter's lock is not in it.

`overhead_shipping` and `overhead_debug` of the last line are the share of CPU time, or the lower limit of that in time
where this is more, that is, where a cost beyond the CPU's is sure; of both loads the worse.

Making a span and sending it takes about a third of a durable step that does nothing, so it is done behind the runs: the
exporter gets 0.5 % of what the rest of a busy process takes, and the spans of the rest of a burst come when it is over.
What they take then is told below the table. "left" is how many journal events waited at the end; "dropped" must be 0.

Prints a table, writes artifacts/bench_obs.json, and ends with one line of JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from obs_estimate import estimate
from obs_turns import Figures, Side, sides

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
MODES = ("off", "shipping", "debug")
GOALS = {"shipping": 0.02, "debug": 0.10}
DRAIN_SECONDS = 4
Rounds = dict[str, dict[str, list[Figures]]]
"""By load and mode."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="no round is begun after that")
    parser.add_argument("--groups", type=int, default=3, help="how often new processes are started")
    parser.add_argument("--rounds", type=int, default=9, help="of each group of processes at most")
    parser.add_argument("--alone", type=int, default=60, help="runs of a turn one after the other")
    parser.add_argument("--together", type=int, default=200, help="runs of a turn at once")
    parser.add_argument("--at-once", type=int, default=100, help="how many of those at a time")
    parser.add_argument("--payload", type=int, default=2048, help="bytes of each message")
    parser.add_argument("--folder", type=Path, default=ROOT / "artifacts", help="where the databases are made")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    loads = {"alone": f"run {chosen.alone} 1", "together": f"run {chosen.together} {chosen.at_once}"}
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "cpus": os.cpu_count()}
    rounds: Rounds = {title: {mode: [] for mode in MODES} for title in loads}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as scratch, receiver() as endpoint:
        for group in range(chosen.groups):
            folder = Path(scratch) / str(group)
            folder.mkdir()
            with sides(MODES, folder, endpoint, chosen.payload) as processes:
                until = started + 60 * chosen.minutes * (group + 1) / chosen.groups
                take_turns(processes, loads, rounds, chosen.rounds, until)
                if group == chosen.groups - 1:
                    found["behind"] = processes["shipping"].ask(f"drain {DRAIN_SECONDS}")["cpu_us_per_step"]
    found["load_after"] = os.getloadavg()[0]
    found |= {title: compared(rounds[title]) for title in loads}
    for mode, goal in GOALS.items():
        worse = max(max(found[title]["cpu"][mode].share, found[title]["time"][mode].low) for title in loads)
        found |= {f"overhead_{mode}": round(worse, 4), f"goal_{mode}": goal}
    print("\n" + "\n".join(report(found, chosen.at_once)) + "\n")
    (chosen.folder / "bench_obs.json").write_text(json.dumps(found, indent=2, default=asdict) + "\n")
    print(json.dumps({f"overhead_{mode}": found[f"overhead_{mode}"] for mode in GOALS}))


@contextmanager
def receiver() -> Iterator[str]:
    """A receiver that counts what it gets and keeps nothing, in a process of its own; its endpoint."""
    command = [sys.executable, str(HERE / "obs_receiver.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout and process.stdin
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def take_turns(processes: dict[str, Side], loads: dict[str, str], rounds: Rounds, most: int, until: float) -> None:
    """Up to `most` rounds, at least one, none begun after `until`; adds what was measured to `rounds`."""
    for number in range(most):
        if number and time.monotonic() > until:
            return
        for title, question in loads.items():
            for mode in (*MODES[number % 3 :], *MODES[: number % 3]):
                rounds[title][mode].append(processes[mode].ask(question))
            last = {mode: rounds[title][mode][-1] for mode in MODES}
            told = ", ".join(f"{mode} {figures['cpu_us_per_step']:,.0f} us" for mode, figures in last.items())
            print(f"  round {len(rounds[title]['off'])}, {title}: CPU of a step {told}", flush=True)


def compared(rounds: dict[str, list[Figures]]) -> dict[str, Any]:
    """Medians of one load by mode, and the overheads in time and in CPU time."""
    result: dict[str, Any] = {"rounds": len(rounds["off"]), "time": {}, "cpu": {}}
    for mode in MODES:
        result[mode] = {key: statistics.median(each[key] for each in rounds[mode]) for key in rounds[mode][0]}
        result[mode] |= {key: max(each[key] for each in rounds[mode]) for key in ("left", "dropped")}
    for mode in GOALS:
        pairs = zip(rounds[mode], rounds["off"], strict=True)
        result["time"][mode] = estimate([one["us_per_step"] / other["us_per_step"] - 1 for one, other in pairs])
        shares = [each["telemetry_us_per_step"] / each["cpu_us_per_step"] for each in rounds[mode]]
        result["cpu"][mode] = estimate(shares)
    return result


ROWS = (
    ("time of a step", "us_per_step"),
    ("CPU time of a step", "cpu_us_per_step"),
    ("CPU time of telemetry", "telemetry_us_per_step"),
)


def report(found: dict[str, Any], at_once: int) -> list[str]:
    """The table in Markdown."""
    lines = ["| Four steps, each | off | shipping | debug |", "|---|---|---|---|"]
    last = found["together"]
    for title, name in (("alone", "1 run at a time"), ("together", f"{at_once} runs at once")):
        of_load = found[title]
        for row, key in ROWS:
            lines.append(f"| {name}: {row} | {' | '.join(f'{round(of_load[mode][key]):,} µs' for mode in MODES)} |")
        for row, key in (("overhead in time", "time"), ("overhead in CPU time", "cpu")):
            lines.append(f"| {name}: {row} | | {of_load[key]['shipping']} | {of_load[key]['debug']} |")
    for row, key in (("events left at most", "left"), ("dropped", "dropped")):
        lines.append(f"| {row} | {' | '.join(f'{last[mode][key]:,.0f}' for mode in MODES)} |")
    rounds = f"{found['alone']['rounds']} rounds on {found['cpus']} cores"
    loads = f"load {found['load_before']:.1f} before and {found['load_after']:.1f} after"
    behind = f"Behind the runs the spans of a step take {found['behind']:,.0f} µs of CPU time."
    goals = ", ".join(f"{mode} under {goal:.0%}" for mode, goal in GOALS.items())
    return [*lines, "", f"{rounds}, {loads}. {behind} Goals: {goals}."]


if __name__ == "__main__":
    main()
