"""What telemetry costs the runs: the four durable steps of `bench-durability`, with the journal that an agent writes.

Three modes: "off" exports nothing; "shipping" sends the spans of every run by OTLP to a receiver in a process of its
own; "debug" sends metrics and log records too. Each round runs all three, one after the other, each in a new process
with a new database, in an order that changes from round to round; the overhead of a mode is the median over the rounds
of its time for the same runs as a multiple of that of "off" in the same round, less 1. Once with one run at a time,
once with many at once; the worse of the two counts.

What is measured is what runs feel. Making a span and sending it takes about as long as a durable step that does
nothing, so it is done behind the runs: the exporter gets 0.5 % of a core while the process is busy, and the spans of
the rest of a burst come when it is over. "left" is how many journal events had not been exported when the last run
ended, "drained" how long it took until they were; "dropped" must be 0. Real steps wait for models, and leave no such
backlog: 0.5 % of a core is a hundred spans a second and more, and who falls far behind gets 5 %.

Prints a table, writes artifacts/bench_obs.json, and ends with one line of JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
MODES = ("off", "shipping", "debug")
GOALS = {"shipping": 0.02, "debug": 0.10}
Figures = dict[str, float]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--alone", type=int, default=400, help="runs of a round one after the other")
    parser.add_argument("--together", type=int, default=1200, help="runs of a round at once")
    parser.add_argument("--at-once", type=int, default=100, help="how many of those at a time")
    parser.add_argument("--payload", type=int, default=2048, help="bytes of each message")
    parser.add_argument("--folder", type=Path, default=ROOT / "artifacts", help="where the databases are made")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as scratch, receiver() as endpoint:
        for title, runs, at_once in (("alone", chosen.alone, 1), ("together", chosen.together, chosen.at_once)):
            found[title] = compare(Path(scratch), endpoint, chosen, runs, at_once)
    found["load_after"] = os.getloadavg()[0]
    for mode, goal in GOALS.items():
        worse = max(found[title]["overhead"][mode] for title in ("alone", "together"))
        found[f"overhead_{mode}"] = round(worse, 4)
        found[f"goal_{mode}"] = goal
    print("\n" + "\n".join(report(found, chosen.at_once)) + "\n")
    (chosen.folder / "bench_obs.json").write_text(json.dumps(found, indent=2) + "\n")
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


def compare(folder: Path, endpoint: str, chosen: argparse.Namespace, runs: int, at_once: int) -> dict[str, Any]:
    """Medians of the rounds by mode, and the overheads."""
    rounds: dict[str, list[Figures]] = {mode: [] for mode in MODES}
    for number in range(chosen.rounds):
        for mode in (*MODES[number % 3 :], *MODES[: number % 3]):
            figures = run_mode(mode, folder, endpoint, runs, at_once, chosen.payload)
            rounds[mode].append(figures)
            told = f"{figures['us_per_step']:,.0f} us a step, {figures['left']:,.0f} events left"
            print(f"  {at_once} at once, round {number + 1}, {mode}: {told}", flush=True)
    result: dict[str, Any] = {
        mode: {key: statistics.median(each[key] for each in rounds[mode]) for key in rounds[mode][0]} for mode in MODES
    }
    result["overhead"] = {
        mode: statistics.median(
            with_it["us_per_step"] / without["us_per_step"] - 1
            for with_it, without in zip(rounds[mode], rounds["off"], strict=True)
        )
        for mode in GOALS
    }
    return result


def run_mode(mode: str, folder: Path, endpoint: str, runs: int, at_once: int, payload: int) -> Figures:
    """One round of one mode in a new process and a new database."""
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        command = [sys.executable, str(HERE / "obs_side.py"), mode, str(runs), str(at_once), str(payload), fresh]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        if mode != "off":
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


ROWS = (
    ("time of a step", "us_per_step", "{:,.0f} µs"),
    ("CPU of the process a step", "cpu_us_per_step", "{:,.0f} µs"),
    ("left when the last run ended", "left", "{:,.0f} events"),
    ("drained after", "drained_s", "{:.1f} s"),
    ("spans exported", "spans", "{:,.0f}"),
    ("dropped", "dropped", "{:,.0f}"),
)


def report(found: dict[str, Any], at_once: int) -> list[str]:
    """The table in Markdown."""
    lines = ["| Four steps, medians of the rounds | off | shipping | debug |", "|---|---|---|---|"]
    for title, name in (("alone", "1 run at a time"), ("together", f"{at_once} runs at once")):
        for row, key, form in ROWS:
            cells = [form.format(found[title][mode][key]) for mode in MODES]
            lines.append(f"| {name}: {row} | {' | '.join(cells)} |")
        overheads = found[title]["overhead"]
        lines.append(f"| {name}: overhead | | {overheads['shipping']:+.1%} | {overheads['debug']:+.1%} |")
    goals = ", ".join(f"{mode} under {goal:.0%}" for mode, goal in GOALS.items())
    loads = f"load {found['load_before']:.1f} before and {found['load_after']:.1f} after"
    return [*lines, "", f"Goals: {goals}. {found['cpus']} cores, {loads}."]


if __name__ == "__main__":
    main()
