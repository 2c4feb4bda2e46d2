"""How the benchmark of telemetry makes one figure of many rounds."""

import random

import pytest

from obs_estimate import estimate


@pytest.mark.parametrize(("rounds", "rank"), [(5, 1), (6, 1), (9, 1), (10, 1), (20, 5), (27, 8), (100, 40)])
def test_the_limits_are_ranks_around_the_median(rounds: int, rank: int) -> None:
    """The textbook's ranks for a median with 95 %; with few rounds all of them."""
    shares = [float(number) for number in range(1, rounds + 1)]
    random.Random(1).shuffle(shares)
    found = estimate(shares)
    assert (found.low, found.share, found.high) == (rank, (rounds + 1) / 2, rounds + 1 - rank)


def test_a_disturbed_round_moves_nothing() -> None:
    calm = [0.01] * 9
    assert estimate([*calm, 5.0]).share == estimate([*calm, -0.9]).share == 0.01


def test_the_median_lies_between_the_limits_nineteen_times_of_twenty() -> None:
    """Of rounds whose noise is lopsided, as that of a shared machine is."""
    chance = random.Random(7)
    trials = [estimate([chance.expovariate(1.0) for _ in range(27)]) for _ in range(2000)]
    inside = sum(each.low <= 0.6931 <= each.high for each in trials)
    assert 0.94 < inside / len(trials) < 0.99
