"""`make check`: every static check, two at a time, one line each with its time; output only of what failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTHON = sys.executable


@dataclass(frozen=True)
class Check:
    """A command that exits with 0 when all is well; `tells` when its output is worth reading even then."""

    name: str
    command: tuple[str, ...]
    tells: bool = False


@dataclass(frozen=True)
class Outcome:
    check: Check
    passed: bool
    output: str
    seconds: float


def typed(folder: str, *beside: str, options: Sequence[str] = ()) -> tuple[str, ...]:
    """mypy over the modules of a folder that is no package, and of those `beside` it that they import."""
    path = os.pathsep.join([folder, *beside])
    modules = sorted(str(each) for each in ROOT.glob(f"{folder}/*.py"))
    return ("env", f"MYPYPATH={path}", f"{BIN}/mypy", "--cache-dir", f".mypy_cache/{folder}", *options, *modules)


UNINFERRED = ("--disable-error-code=misc",)  # a lambda that keeps the value of a loop's name has no type for mypy
CHECKS = (
    Check("types", (f"{BIN}/mypy",)),
    Check("types of tools", typed("tools")),
    Check("types of benchmarks", typed("benchmarks", "tests/integration")),
    Check("types of stories", typed("e2e", "tests/integration", options=UNINFERRED)),
    Check("format", (f"{BIN}/ruff", "format", "--check", ".")),
    Check("lint", (f"{BIN}/ruff", "check", ".")),
    Check("layers", (f"{BIN}/lint-imports",)),
    Check("proto stubs", (PYTHON, "tools/gen_proto.py", "--check")),
    Check("CRD YAML", (PYTHON, "-m", "milepost_crds.schema", "--check")),
    Check("CRDs in the chart", (PYTHON, "tools/gen_chart.py", "--check")),
    Check("names of telemetry", (PYTHON, "tools/gen_observability.py", "--check")),
    Check("lock files", (PYTHON, "tools/lock.py", "--check")),
    Check("house rules", (PYTHON, "tools/check_house.py"), tells=True),
    Check("ui", (PYTHON, "tools/ui.py", "check"), tells=True),
    Check("requirement ids", (PYTHON, "tools/check_requirements.py"), tells=True),
)


def run(check: Check) -> Outcome:
    started = time.monotonic()
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        check.command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return Outcome(check, done.returncode == 0, done.stdout.strip(), time.monotonic() - started)


def main() -> int:
    started = time.monotonic()
    outcomes = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for future in as_completed([pool.submit(run, check) for check in CHECKS]):
            outcome = future.result()
            outcomes.append(outcome)
            print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.check.name} ({outcome.seconds:.1f} s)", flush=True)
    for outcome in outcomes:
        if outcome.output and (outcome.check.tells or not outcome.passed):
            print(f"\n{outcome.check.name}:\n{outcome.output}")
    failed = [outcome.check.name for outcome in outcomes if not outcome.passed]
    print(f"\ncheck: {len(outcomes) - len(failed)} passed, {len(failed)} failed ({time.monotonic() - started:.1f} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
