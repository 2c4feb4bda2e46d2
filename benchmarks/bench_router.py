"""How fast the router answers: alone, beside a generator, with both cores busy, about 500 services, and at first.

The questions are those of the committed test set, one each 20 ms, about five services; each generator is SmolLM2 on
one thread in a process of its own. The load of the machine is told at both ends.

Prints a table, and ends with one line of JSON: the 95th percentiles in milliseconds, `cold_ms` (median of fresh
processes, from the first import to the first answer), and the MiB that the router adds to a process (`rss_mb`, and
`rss_500_mb` with what 500 services say). "Unread" services are new to the router, which reads what they say in at most
30 ms of each answer. CPU times hold on a machine that does other work too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
FEW = 5
Figures = dict[str, float]
TITLES = {
    "idle": "nothing beside it",
    "generator": "one generator beside it",
    "both_busy": "two generators beside it",
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=220, help="how many a row is made of")
    parser.add_argument("--services", type=int, default=500, help="how many are many")
    parser.add_argument("--cold", type=int, default=5, help="fresh processes that are asked once")
    return parser.parse_args()


class Process:
    """A script beside this one, which is told lines and answers lines."""

    def __init__(self, script: str) -> None:
        self._script = script
        command = [sys.executable, str(HERE / script)]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._popen.stdin and self._popen.stdout
        self._stdin: IO[str] = self._popen.stdin
        self._stdout: IO[str] = self._popen.stdout

    def hear(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise SystemExit(f"bench-router: {self._script} ended with {self._popen.wait()}")
        return line

    def ask(self, task: str) -> Figures:
        self._stdin.write(f"{task}\n")
        self._stdin.flush()
        figures: Figures = json.loads(self.hear())
        return figures

    def end(self) -> str:
        """What it says at last."""
        self._stdin.close()
        said = self._stdout.read()
        self._stdout.close()
        self._popen.wait(30)
        return said


@contextmanager
def neighbour(speeds: list[float]) -> Iterator[None]:
    process = Process("router_neighbour.py")
    try:
        process.hear()
        yield
    finally:
        speeds.append(json.loads(process.end())["tokens_per_second"])


@contextmanager
def router() -> Iterator[Process]:
    process = Process("router_side.py")
    try:
        yield process
    finally:
        process.end()


def cold(times: int) -> list[Figures]:
    found = []
    for _ in range(times):
        with router() as side:
            found.append(side.ask("cold"))
    return found


def measure(answers: int, many: int) -> tuple[dict[str, Figures], Figures]:
    """Latencies by row, and memory."""
    found: dict[str, Figures] = {}
    with router() as side:
        side.ask("cold")
        side.ask(f"learn {FEW}")
        memory = {"rss_mb": side.ask("memory")["mib"]}
        for name, neighbours in (("idle", 0), ("generator", 1), ("both_busy", 2)):
            speeds: list[float] = []
            with ExitStack() as stack:
                for _ in range(neighbours):
                    stack.enter_context(neighbour(speeds))
                figures = side.ask(f"ask {FEW} {answers}")
            found[name] = figures | ({"tokens_per_second": sum(speeds)} if speeds else {})
        found[f"{many}_unread"] = side.ask(f"ask {many} {answers // 4}")
        side.ask(f"learn {many}")
        found[f"{many}_services"] = side.ask(f"ask {many} {answers}")
        memory[f"rss_{many}_mb"] = side.ask("memory")["mib"]
    return found, memory


def report(found: dict[str, Figures], first: list[Figures], memory: Figures) -> list[str]:
    """The table in Markdown."""
    lines = [
        "| Answers of the router | p50 | p95 | p99 | CPU, p95 | generated beside it |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in found.items():
        title = TITLES.get(name, name.replace("_", " "))
        cells = [f"{each[key]:.1f} ms" for key in ("p50_ms", "p95_ms", "p99_ms", "cpu_p95_ms")]
        beside = f"{each['tokens_per_second']:.0f} tokens/s" if "tokens_per_second" in each else ""
        lines.append(f"| {title} | {' | '.join(cells)} | {beside} |")
    told = ", ".join(f"{each['cold_ms']:.0f}" for each in first)
    computed = statistics.median(each["cpu_ms"] for each in first)
    added = ", ".join(f"{name} {value:.0f}" for name, value in memory.items())
    return [*lines, "", f"First answer of a fresh process: {told} ms (CPU {computed:.0f}). Added memory: {added}."]


def main() -> None:
    chosen = options()
    before = os.getloadavg()[0]
    first = cold(chosen.cold)
    found, memory = measure(chosen.answers, chosen.services)
    after = os.getloadavg()[0]
    print("\n".join(report(found, first, memory)))
    print(f"{os.cpu_count()} cores, load {before:.1f} before and {after:.1f} after.\n")
    figures = {f"p95_ms_{name}": each["p95_ms"] for name, each in found.items()}
    figures |= {
        "cold_ms": statistics.median(each["cold_ms"] for each in first),
        **memory,
        "load_before": before,
        "load_after": after,
    }
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
