"""From `milepost up` to the first answered run, the router's time in the agent, and set-up with nothing to do.

Prints one JSON object as its last line; seconds are wall time on this machine, so compare them only with each other.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MILEPOST = str(Path(sys.executable).parent / "milepost")
EXAMPLE = "examples/review-loop"
WORKFLOW = "review-loop"
PROMPT = "What does our handbook say about names? Write a function that follows it."
FURTHER_RUNS = 4
READY_SECONDS = 120.0


def milepost(*arguments: str) -> Any:
    """The JSON that a command prints."""
    done = subprocess.run([MILEPOST, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def wait_ready(up: "subprocess.Popen[bytes]", state: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and up.poll() is None:
        record = state / "up.json"
        if record.exists() and json.loads(record.read_text())["state"] == "ready":
            return
        time.sleep(0.02)
    raise SystemExit(f"bench-start: `milepost up` was not ready within {READY_SECONDS:.0f} s")


def measure(state: Path) -> dict[str, float]:
    begun = time.monotonic()
    up = subprocess.Popen([MILEPOST, "up", EXAMPLE, "--state", str(state)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_ready(up, state)
        ready = time.monotonic()
        run = milepost("run", WORKFLOW, PROMPT, "--follow", "--json", "--state", str(state))["run"]
        answered = time.monotonic()
        router = [
            milepost("get", "run", run_id, "--json", "--state", str(state))["router_time"]
            for run_id in [run["run_id"], *(again(state, number) for number in range(FURTHER_RUNS))]
        ]
    finally:
        up.terminate()
        up.wait()
    return {
        "up_seconds": ready - begun,
        "first_answer_seconds": answered - begun,
        "router_p95_ms": max(each["p95_ms"] for each in router),
        "router_hops": sum(each["hops"] for each in router),
    }


def again(state: Path, number: int) -> str:
    prompt = f"{PROMPT} Give it {number + 2} arguments."
    run: dict[str, Any] = milepost("run", WORKFLOW, prompt, "--follow", "--json", "--state", str(state))["run"]
    return str(run["run_id"])


def idle_setup() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "tools/setup.py"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        figures = {"setup_seconds": idle_setup(), **measure(Path(folder) / "state")}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
