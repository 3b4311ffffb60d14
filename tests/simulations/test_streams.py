"""Loss on a stream: how often a segment is sent again, and what that costs."""

from __future__ import annotations

import random

import pytest

from simulations.streams import SEGMENT_BYTES, resends, stall_seconds

SHORT, LONG = 200, 200_000


def by_tossing(rng: random.Random, segments: int, loss: float) -> int:
    """Send each segment until it arrives; return how often the unluckiest was sent again."""
    most = 0
    for _ in range(segments):
        count = 0
        while rng.random() < loss:
            count += 1
        most = max(most, count)
    return most


@pytest.mark.parametrize(("segments", "loss"), [(1, 0.3), (3, 0.3), (40, 0.02), (40, 0.5)])
def test_one_draw_counts_as_often_as_tossing_for_each_segment(segments: int, loss: float) -> None:
    rng, runs = random.Random(1), 4000
    size_bytes = (segments - 1) * SEGMENT_BYTES
    drawn = [resends(rng.random(), size_bytes, loss) for _ in range(runs)]
    tossed = [by_tossing(rng, segments, loss) for _ in range(runs)]

    for count in range(5):
        share = sum(found <= count for found in drawn) / runs
        assert share == pytest.approx(sum(found <= count for found in tossed) / runs, abs=0.04)


def test_the_worst_luck_still_ends() -> None:
    assert resends(0.0, LONG, 0.5) == 0
    assert 0 < resends(1 - 2**-53, LONG, 0.9) < 500


def test_a_short_message_waits_for_the_timer_and_then_twice_as_long() -> None:
    waits = [stall_seconds(count, SHORT, 0.08) for count in range(4)]

    assert waits == [0, 1, 3, 7]


def test_a_long_transfer_is_repaired_within_a_round_trip_unless_the_repair_is_lost() -> None:
    waits = [stall_seconds(count, LONG, 0.08) for count in range(4)]

    assert waits == pytest.approx([0, 0.08, 1.08, 3.08])


def test_on_a_slow_link_the_timer_is_three_round_trips() -> None:
    assert stall_seconds(1, SHORT, 2.0) == 6.0
