"""The best source now: what makes a mirror better or worse, whatever else is known of it."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.mirror_choice import (
    ACTIVE_MIN,
    STANDBY_FACTOR,
    MirrorStanding,
    Tier,
    choose,
    cost_ms,
    ranked,
)

few = st.integers(0, 20)
standings = st.builds(
    MirrorStanding,
    url=st.sampled_from([f"https://{host}.example.org/" for host in "abcdefgh"]),
    bytes_per_second=st.integers(0, 10**9),
    delay_ms=st.integers(0, 60_000),
    failures=few,
    owed=few,
    transfers=few,
    is_resting=st.booleans(),
    tier=st.sampled_from(Tier),
    doubters=few,
    vouchers=few,
)
several = st.lists(standings, max_size=8, unique_by=lambda each: each.url)


@given(standings, st.integers(1, 100))
def test_what_is_worse_in_one_thing_never_costs_less(each: MirrorStanding, more: int) -> None:
    cost = cost_ms(each)
    assert cost >= 1
    for name in ("failures", "owed", "transfers", "doubters"):
        assert cost_ms(replace(each, **{name: getattr(each, name) + more})) >= cost
    assert cost_ms(replace(each, vouchers=each.vouchers + more)) <= cost
    if each.delay_ms:
        assert cost_ms(replace(each, delay_ms=each.delay_ms + more)) >= cost
    if each.bytes_per_second:
        assert cost_ms(replace(each, bytes_per_second=each.bytes_per_second + more)) <= cost


@given(standings)
def test_near_comes_before_usual_and_usual_before_an_archive(each: MirrorStanding) -> None:
    near, usual, archive = (cost_ms(replace(each, tier=tier)) for tier in Tier)
    assert near <= usual <= archive


@given(several, st.randoms(use_true_random=False))
def test_the_order_is_the_same_whatever_order_the_mirrors_come_in(
    mirrors: list[MirrorStanding], rng: random.Random
) -> None:
    shuffled = mirrors[:]
    rng.shuffle(shuffled)
    assert ranked(shuffled) == ranked(mirrors)


@given(several, st.integers(1, 8))
def test_every_mirror_is_in_one_place_and_those_that_rest_are_not_asked(
    mirrors: list[MirrorStanding], count_max: int
) -> None:
    choice = choose(mirrors, count_max)
    awake = [each for each in mirrors if not each.is_resting]
    assert set(choice.resting) == {each.url for each in mirrors if each.is_resting}
    assert len(choice.active) + len(choice.standby) == min(len(awake), count_max)
    assert set(choice.active) | set(choice.standby) <= {each.url for each in awake}
    assert len(choice.active) >= min(len(awake), count_max, ACTIVE_MIN)


@given(several)
def test_who_stands_by_is_much_worse_than_the_best(mirrors: list[MirrorStanding]) -> None:
    choice, costs = choose(mirrors, 8), {each.url: cost_ms(each) for each in mirrors}
    for url in choice.standby:
        assert costs[url] > STANDBY_FACTOR * costs[choice.active[0]]


@given(standings, few, few)
def test_others_move_a_mirror_by_a_factor_of_two_at_most(
    each: MirrorStanding, doubters: int, vouchers: int
) -> None:
    alone = cost_ms(replace(each, doubters=0, vouchers=0))
    told = cost_ms(replace(each, doubters=doubters, vouchers=vouchers))
    assert alone // 2 - 1 <= told <= 2 * alone + 2


def test_a_fast_mirror_that_sends_wrong_bytes_is_behind_a_slow_one_that_is_right() -> None:
    rotten = MirrorStanding("https://a.example.org/", 20_000_000, 100, failures=4, owed=4)
    slow = MirrorStanding("https://b.example.org/", 2_000_000, 100)
    assert ranked([rotten, slow]) == [slow, rotten]
