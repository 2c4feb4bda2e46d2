"""What an answer costs, in CPU time beside other CPU time of the same run: the time on the wall is the neighbours'."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from milepost_agent.router import TAGS, Candidate, Router, default_model_file

pytestmark = [pytest.mark.models, pytest.mark.requirement("SPD-1", "RTR-1")]

ONE_THREAD = """
import os
from milepost_agent.router import Candidate, Router, default_model_file
router = Router.load(default_model_file())
assert router.fallback_reason is None, router.fallback_reason
many = [Candidate(f"s{n}", ("coding",), "Writes code", (f"Write program {n % 40}",)) for n in range(500)]
router.learn(many)
assert router.recommend("Write a sorting function", many).path == "embedding"
print(len(os.listdir("/proc/self/task")))
"""


def test_the_router_computes_on_the_one_thread_that_asks_it() -> None:
    """With a second one, a busy neighbour on the other core multiplies the slowest answers."""
    done = subprocess.run([sys.executable, "-c", ONE_THREAD], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "1"


@pytest.fixture(scope="module")
def router() -> Router:
    router = Router.load(default_model_file())
    assert router.fallback_reason is None
    return router


def services(number: int) -> list[Candidate]:
    """Each with words of its own and some that others say too, so that they are soon learned."""
    tags = (TAGS[index % len(TAGS)] for index in range(number))
    return [
        Candidate(f"s{index}", (tag,), f"Does {tag} {index % 20}", tuple(f"Try {tag} {each}" for each in range(8)))
        for index, tag in enumerate(tags)
    ]


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this thread, the median of some."""
    found = []
    for _ in range(9):
        begun = time.thread_time()
        work()
        found.append(time.thread_time() - begun)
    return statistics.median(found)


def test_beyond_128_tokens_a_text_costs_no_more(router: Router) -> None:
    known = services(5)
    router.learn(known)
    full = cpu(lambda: router.recommend("word " * 130, known))
    longer = cpu(lambda: router.recommend("word " * 200_000, known))
    assert longer < 3 * full


def test_five_hundred_services_cost_little_more_than_five(router: Router) -> None:
    few, many = services(5), services(500)
    router.learn(many)
    text = "Write a Python function that reads a CSV file, sorts its rows by date and prints the newest ten of them"
    assert cpu(lambda: router.recommend(text, many)) < 3 * cpu(lambda: router.recommend(text, few))


def test_services_that_are_new_delay_an_answer_by_a_bounded_time(router: Router) -> None:
    new = [
        Candidate(f"new{index}", ("coding",), f"Is new {index}", tuple(f"Ask {index} for {each}" for each in range(8)))
        for index in range(500)
    ]
    text = "Write a sorting function"
    known = cpu(lambda: router.recommend(text, new[:1]))
    begun = time.thread_time()
    router.recommend(text, new)
    assert time.thread_time() - begun < 20 * known, "to read all of it would take as long as hundreds of answers"
