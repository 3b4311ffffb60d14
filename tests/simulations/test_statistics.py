"""Intervals: against tables, and against what they promise about chance."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from simulations.statistics import (
    Interval,
    mean_interval,
    paired_difference,
    share_interval,
    t_quantile,
    welch_difference,
)

TRIALS = 2000


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (29, 2.0452), (30, 2.0423)],
)
def test_the_quantile_is_that_of_the_printed_tables(freedom: int, expected: float) -> None:
    assert t_quantile(freedom, 0.95) == pytest.approx(expected, abs=5e-5)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    assert t_quantile(100_000, 0.95) == pytest.approx(1.95996, abs=1e-4)


def test_a_mean_of_few_samples_has_the_interval_of_student() -> None:
    found = mean_interval([4.0, 6.0, 8.0])

    assert found.mean == 6
    assert found.high is not None
    assert found.high - 6 == pytest.approx(4.3027 * 2 / 3**0.5, abs=1e-4)


def test_one_sample_has_no_interval() -> None:
    assert mean_interval([7.5]) == Interval(7.5, None, None, 1)
    assert welch_difference([1.0], [2.0, 3.0]) == Interval(1.5, None, None, 1)


def test_samples_that_are_all_equal_have_an_interval_of_no_width() -> None:
    assert welch_difference([2.0, 2.0], [5.0, 5.0]) == Interval(3.0, 3.0, 3.0, 2)


@pytest.mark.parametrize(
    ("ones", "count", "low", "high"),
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)],
)
def test_a_share_has_the_interval_of_wilson(ones: int, count: int, low: float, high: float) -> None:
    found = share_interval([1.0] * ones + [0.0] * (count - ones))

    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    rng = random.Random(1)
    held = 0
    for _ in range(TRIALS):
        found = mean_interval([rng.gauss(10, 3) for _ in range(5)])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 10 <= found.high

    assert 0.935 < held / TRIALS < 0.965


def test_welch_finds_no_difference_in_equal_worlds_nineteen_times_in_twenty() -> None:
    rng = random.Random(2)
    found = [
        welch_difference(
            [rng.gauss(0, 1) for _ in range(6)], [rng.gauss(0, 4) for _ in range(12)]
        ).excludes_zero
        for _ in range(TRIALS)
    ]

    assert 0.035 < fmean(found) < 0.065


def test_pairs_of_equal_seeds_show_what_their_spread_hides() -> None:
    before = [10.0, 20.0, 30.0, 40.0]
    after = [value + 1 + place / 10 for place, value in enumerate(before)]

    assert paired_difference(before, after).excludes_zero
    assert not welch_difference(before, after).excludes_zero
