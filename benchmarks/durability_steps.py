"""Durable steps: Milepost beside LangGraph with its stock saver, alternating, each side in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIDE = Path(__file__).with_name("durability_side.py")
SIDES = ("milepost", "stock", "none")
MIB = 1024 * 1024

Figures = dict[str, float]


@dataclass(frozen=True)
class Load:
    """How many runs a round has, and how many of them are under way at a time."""

    runs: int
    at_once: int


def compare(folder: Path, rounds: int, payload: int, alone: int, together: int, at_once: int) -> dict[str, Any]:
    """Medians of the rounds by side, and the ratios ours / stock."""
    found: dict[str, Any] = {"fdatasync_ms": fdatasync_ms(folder), "payload_bytes": payload}
    for title, load in (("alone", Load(alone, 1)), ("together", Load(together, at_once))):
        rounds_of: dict[str, list[Figures]] = {name: [] for name in SIDES}
        for number in range(rounds):
            for name in SIDES:
                rounds_of[name].append(figures := run_side(name, load, payload, folder))
                told = f"{figures['steps_per_s']:,.0f} steps/s, p50 {figures['p50_ms']:.2f} ms a run"
                print(f"  {load.at_once} at once, round {number + 1}, {name}: {told}", flush=True)
        found[title] = {name: medians(rounds_of[name]) for name in SIDES}
        counted = run_side("stock", Load(min(load.runs, 50), load.at_once), payload, folder, count=True)
        found[title]["stock"]["commits_per_step"] = counted["commits_per_step"]
    ours, stock = (found["alone"][name]["p50_ms"] for name in ("milepost", "stock"))
    found["ratio_latency_1"] = round(ours / stock, 3)
    ours, stock = (found["together"][name]["steps_per_s"] for name in ("milepost", "stock"))
    found["ratio_steps_per_s_100"] = round(ours / stock, 2)
    return found


def run_side(name: str, load: Load, payload: int, folder: Path, *, count: bool = False) -> Figures:
    """One round of one side in a new process and a new database."""
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        command = [sys.executable, str(SIDE), name, str(load.runs), str(load.at_once), str(payload), fresh]
        environment = {**os.environ, "BENCH_COUNT_COMMITS": "1" if count else ""}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    measured = json.loads(done.stdout)
    steps, latencies = measured["steps"], sorted(measured["latencies"])
    return {
        "steps_per_s": steps / measured["seconds"],
        "p50_ms": statistics.median(latencies) * 1000,
        "p95_ms": latencies[int(len(latencies) * 0.95)] * 1000,
        "commits_per_step": measured["commits"] / steps,
        "cpu_us_per_step": measured["cpu_seconds"] / steps * 1e6,
        "peak_mib": measured["peak_memory"] / MIB,
        "file_kib_per_run": measured["file_growth"] / 1024 / (load.runs + 3),
    }


def medians(rounds: list[Figures]) -> Figures:
    return {key: round(statistics.median(each[key] for each in rounds), 3) for key in rounds[0]}


def fdatasync_ms(folder: Path) -> float:
    """Median time of an append of 8 KiB with fdatasync."""
    with tempfile.TemporaryFile(dir=folder) as file:
        times = []
        for _ in range(200):
            started = time.perf_counter()
            os.write(file.fileno(), b"x" * 8192)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1000, 3)
