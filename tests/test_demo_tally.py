"""What the demo concludes from the services' counts."""

from demo import Calls, Tally
from milepost.capability.v1 import capability_pb2

INVOKE = "/milepost.capability.v1.CapabilityService/Invoke"


def counts(**calls: tuple[int, int]) -> Calls:
    """Counts of the service `smollm2` by call id: (started, completed)."""
    return {
        ("smollm2", id_, INVOKE): capability_pb2.Call(call_id=id_, method=INVOKE, started=started, completed=completed)
        for id_, (started, completed) in calls.items()
    }


def test_a_call_that_was_cut_off_and_made_again_is_no_repetition() -> None:
    tally = Tally(counts(research=(1, 1), code=(1, 0)), counts(research=(1, 1), code=(2, 1), review=(1, 1)))
    assert (tally.completed, tally.repeated) == (3, 0)


def test_a_call_that_was_completed_twice_is_a_repetition() -> None:
    tally = Tally(counts(code=(1, 0)), counts(code=(3, 2)))
    assert (tally.completed, tally.repeated) == (1, 1)


def test_a_completed_call_that_was_begun_again_is_a_repetition() -> None:
    tally = Tally(counts(research=(1, 1)), counts(research=(2, 1)))
    assert (tally.completed, tally.repeated) == (1, 1)
    assert [line.split()[:5] for line in tally.table()] == [["smollm2", "Invoke", "requested", "0,", "started"]]
