"""Writes runs that no workflow of the tests would make into the file of an agent that does not run yet.

usage: seed.py FOLDER_OF_THE_AGENT

They go in through the agent's own store: a run of 5,100 spans, one with everything that a page must bear, and one
that was given up.
"""

import asyncio
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from milepost_agent.store import ENDED, NewEvent, NewMessage, NewRun, Store

LONG_RUN = "00000000-0000-4000-8000-000000005000"
ODD_RUN = "00000000-0000-4000-8000-00000000dead"
ATTENTION_RUN = "00000000-0000-4000-8000-00000000a77e"
HOPS = 1_700  # with three spans each: recommendation, decision, step
MARKUP = (
    "<img src=x onerror=\"document.body.dataset.injected='yes'\"><script>document.body.dataset.injected='yes'</script>"
)
LONG_MESSAGE = ("A line of a message that goes on and on. " * 1_700)[:65_536]
LONG_OUTPUT = ("An answer without an end, word after word. " * 26_000)[:1_048_576]


class Clock:
    """Time that passes as the events need it, so that the waterfall has something to show."""

    def __init__(self) -> None:
        self.now = time.time() - 3_600

    def __call__(self) -> float:
        self.now += 0.004
        return self.now


def completed(service: str, output: str) -> dict[str, Any]:
    return {"role": "assistant", "service": service, "output": output, "verdict": "", "duration_ms": 4.0, "cycle": 0}


def hop(index: int) -> Iterator[NewEvent]:
    service = ("writer", "editor")[index % 2]
    where = {"step": "choose", "hop_index": index}
    scores = [{"service": service, "capability": "asked", "confidence": 0.75}]
    choices = [{"choice": f"invoke:{service}", "probability": 0.8, "prior": 0.75, "log_probability": -0.4}]
    yield NewEvent("Recommended", **where, data={"services": scores, "none_probability": 0.25, "path": "embedding"})
    decision = {"action": "invoke", "service": service, "agreed": index % 7 != 0, "reason": "the likelier one"}
    yield NewEvent("Decided", **where, data={**decision, "choices": choices})
    yield NewEvent("StepStarted", **where, data={"service": service, "attempt": 1})
    yield NewEvent("StepCompleted", **where, data=completed(service, f"answer {index}"))


def odd_events() -> Iterator[NewEvent]:
    yield NewEvent("QuantumLeapt", "choose", 1, {"depth": {"of": ["fields", None, 3]}, "markup": MARKUP})
    yield NewEvent("StepStarted", "choose", 1, {"service": MARKUP, "attempt": 1, "unheard_of": True})
    yield NewEvent("StepCompleted", "choose", 1, completed("writer", LONG_OUTPUT))
    yield NewEvent("StepStarted", "a-step-that-the-graph-lacks", 2, {})


async def accept(store: Store, run_id: str, prompt: str, hops: int) -> None:
    texts = {"request_hash": run_id, "workflow": "asking", "workflow_digest": "of-another-time", "prompt": prompt}
    run = NewRun(run_id, str(uuid.uuid5(uuid.NAMESPACE_OID, run_id)), **texts, max_hops=hops, max_cycles=0)
    await store.accept_run(run)


async def end(store: Store, run_id: str, result: str, outcome: str = "Completed", reason: str = "") -> None:
    told = {"outcome": outcome, "reason": reason}
    update = {"state": ENDED, **told, "result": result, "remaining_hops": 0}
    await store.commit(run_id, events=[NewEvent("RunCompleted", data=told)], update=update)


async def seed(folder: Path) -> None:
    store = await Store.open(folder / "milepost.db", now=Clock(), durability="normal")
    try:
        await accept(store, LONG_RUN, "Make 1,700 hops.", HOPS)
        for index in range(1, HOPS + 1):
            *before, done = hop(index)
            await store.commit(LONG_RUN, events=before)
            await store.commit(LONG_RUN, events=[done])
        await end(store, LONG_RUN, "All hops were made.")
        await accept(store, ODD_RUN, f"Show this as text: {MARKUP}", 3)
        messages = [
            NewMessage(str(uuid.uuid5(uuid.NAMESPACE_OID, text)), "user", "assistant", text)
            for text in (LONG_MESSAGE, MARKUP)
        ]
        sent = [
            NewEvent("MessageSent", data={"message_id": each.message_id, "recipient_role": "assistant"})
            for each in messages
        ]
        await store.commit(ODD_RUN, events=[*odd_events(), *sent], messages=messages)
        await end(store, ODD_RUN, MARKUP)
        await accept(store, ATTENTION_RUN, "Ask a service that kills.", 3)
        await end(store, ATTENTION_RUN, "", "NeedsAttention", "The process died three times in the step choose.")
    finally:
        await store.close()


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    FOLDER.mkdir(parents=True)
    asyncio.run(seed(FOLDER))
