"""The router in a process of its own, as in an agent: answers a line with a task by a line of JSON.

`cold`: milliseconds, and those of CPU, from the first import to the first answer. `ask N TIMES`: time and CPU time of
TIMES answers about N services, one question each 20 ms. `learn N`: has the vectors of N services made. `memory`: MiB
that came with the router.
"""

import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from milepost_agent.router import BackgroundRouter, Candidate, default_model_file
from milepost_agent.router.examples import DATA_DIR, read_examples, training_examples
from milepost_agent.router.tags import TAGS

PAUSE = 0.020
EXAMPLES = 8


def resident() -> float:
    """MiB of this process in memory."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def services(number: int) -> list[Candidate]:
    """One service for each known tag when they are few, else many with each; every one has words of its own."""
    said = {tag: [each.query for each in training_examples() if each.label == tag] for tag in TAGS}
    made = []
    for index in range(number):
        tag, round_ = TAGS[index % len(TAGS)], index // len(TAGS)
        texts = said[tag]
        first = round_ * EXAMPLES
        again = f" ({round_})" if round_ else ""
        examples = tuple(texts[(first + each) % len(texts)] + again for each in range(EXAMPLES))
        made.append(Candidate(f"service-{index}", (tag,), f"Number {index} of the services for {tag}", examples))
    return made


def quantile(seconds: list[float], percent: int) -> float:
    """Milliseconds."""
    return sorted(seconds)[len(seconds) * percent // 100] * 1000


class Side:
    """One router and the questions of the committed test set."""

    def __init__(self) -> None:
        self._memory = resident()
        self._router = BackgroundRouter(default_model_file())
        self._questions = [each.query for each in read_examples(DATA_DIR / "test.jsonl")]

    def cold(self) -> dict[str, float]:
        known = services(5)
        begun, cpu = time.perf_counter(), time.process_time()
        answer = self._router.recommend(self._questions[0], known)
        taken, computed = time.perf_counter() - begun, time.process_time() - cpu
        if answer.path != "embedding":
            raise SystemExit(f"the router answers by {answer.path}: {answer.fallback_reason}")
        return {"cold_ms": taken * 1000, "cpu_ms": computed * 1000}

    def ask(self, number: str, times: str) -> dict[str, float]:
        known = services(int(number))
        taken, computed = [], []
        due = time.perf_counter()
        for question in islice(cycle(self._questions), int(times)):
            time.sleep(max(0.0, due - time.perf_counter()))
            begun, cpu = time.perf_counter(), time.thread_time()
            self._router.recommend(question, known)
            computed.append(time.thread_time() - cpu)
            taken.append(time.perf_counter() - begun)
            due = max(due + PAUSE, begun)
        return {f"p{share}_ms": quantile(taken, share) for share in (50, 95, 99)} | {
            "cpu_p95_ms": quantile(computed, 95)
        }

    def learn(self, number: str) -> dict[str, float]:
        begun = time.perf_counter()
        for service in services(int(number)):
            self._router.learn([service])
        return {"seconds": time.perf_counter() - begun}

    def memory(self) -> dict[str, float]:
        return {"mib": resident() - self._memory}


def main() -> None:
    side = Side()
    for line in sys.stdin:
        task, *arguments = line.split()
        answer: Any = getattr(side, task)(*arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
