"""Whom a goal is asked of, and when: one peer at a time, the offerer first, all before waiting."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from meshnode.core.fetching import (
    EMPTY_HANDED_AFTER,
    PAUSE_SECONDS,
    PROMPT_SECONDS,
    RETRY_SECONDS_MAX,
    RETRY_SECONDS_MIN,
    FetchQueue,
)
from meshnode.core.identifiers import PeerId
from meshnode.core.lanes import Place

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
ALL = (A, B, C)


def queue(offerer_attempts: int = 1, in_flight_max: int = 8) -> FetchQueue[str]:
    return FetchQueue(random.Random(1), in_flight_max, offerer_attempts)


def fail_until_backed_off(fetches: FetchQueue[str], now: float = 0.0) -> list[tuple[float, PeerId]]:
    """Let every attempt at "goal" fail at once; return when whom was asked in one round."""
    asked = []
    while not fetches.wanted["goal"].is_exhausted:
        [(_, peer)] = fetches.start(ALL, now)
        asked.append((now, peer))
        fetches.failed("goal", peer)
        assert dict(fetches.start(ALL, now)) == {}
        now = fetches.next_retry()
    return asked


def test_the_offerer_is_asked_first_and_the_others_once_each() -> None:
    for offerer in ALL:
        fetches = queue()
        fetches.want("goal", offerer)
        asked = [peer for _, peer in fail_until_backed_off(fetches)]
        assert asked[0] == offerer
        assert sorted(asked) == sorted(ALL)


def test_an_offerer_that_says_no_at_once_is_asked_again_before_others() -> None:
    fetches = queue(offerer_attempts=3)
    fetches.want("goal", B)
    asked = [peer for _, peer in fail_until_backed_off(fetches)]
    assert asked[:3] == [B, B, B]
    assert sorted(asked[3:]) == [A, C]


def test_a_new_offer_is_taken_up_in_the_midst_of_a_back_off_which_goes_on_if_it_fails() -> None:
    fetches = queue()
    fetches.want("goal")
    [*_, (last, _)] = fail_until_backed_off(fetches)
    wait_ends = fetches.next_retry()
    fetches.want("goal", B)
    assert dict(fetches.start(ALL, last)) == {"goal": B}
    fetches.failed("goal", B)
    assert dict(fetches.start(ALL, last)) == {}
    assert fetches.next_retry() == wait_ends


def test_a_peer_that_joins_does_not_double_what_a_new_offer_has_in_flight() -> None:
    fetches = queue()
    fetches.want("goal")
    [*_, (last, _)] = fail_until_backed_off(fetches)
    fetches.want("goal", B)
    assert dict(fetches.start(ALL, last)) == {"goal": B}
    fetches.peer_joined()
    assert dict(fetches.start(ALL, last)) == {}


def test_a_slow_offerer_is_not_waited_for_twice() -> None:
    fetches = queue(offerer_attempts=3)
    fetches.want("goal", B)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": B}
    fetches.failed("goal", B)
    late = PROMPT_SECONDS + 1
    assert dict(fetches.start(ALL, late)) == {}
    [(_, asked)] = fetches.start(ALL, fetches.next_retry())
    assert asked != B


def test_an_offerer_at_fault_is_an_offerer_no_more() -> None:
    fetches = queue(offerer_attempts=3)
    fetches.want("goal", B)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": B}
    fetches.failed("goal", B, at_fault=True)
    assert dict(fetches.start(ALL, 0.0)) == {}
    [(_, asked)] = fetches.start(ALL, fetches.next_retry())
    assert asked != B


def test_between_two_attempts_lies_a_pause_with_jitter() -> None:
    fetches = queue(offerer_attempts=3)
    fetches.want("goal", A)
    times = [now for now, _ in fail_until_backed_off(fetches)]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(PAUSE_SECONDS / 2 <= gap <= PAUSE_SECONDS for gap in gaps)
    assert len(set(gaps)) == len(gaps)


def test_when_all_were_tried_the_waits_grow_to_a_bound() -> None:
    fetches, now, waits = queue(), 0.0, []
    fetches.want("goal")
    for _ in range(9):
        [*_, (last, _)] = fail_until_backed_off(fetches, now)
        now = fetches.next_retry()
        waits.append(now - last)
        fetches._wake(now)
    assert RETRY_SECONDS_MIN / 2 <= waits[0] <= RETRY_SECONDS_MIN
    assert all(RETRY_SECONDS_MAX / 2 <= wait <= RETRY_SECONDS_MAX for wait in waits[5:])


def test_a_newcomer_ends_the_back_off_and_is_asked_alone() -> None:
    fetches = queue()
    fetches.want("goal")
    [*_, (last, _)] = fail_until_backed_off(fetches)
    fetches.peer_joined()
    assert dict(fetches.start((*ALL, PeerId("new")), last)) == {"goal": "new"}


def test_a_newcomer_does_not_shorten_the_pause_between_two_peers() -> None:
    fetches = queue()
    fetches.want("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": A}
    fetches.failed("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {}
    fetches.peer_joined()
    assert dict(fetches.start((*ALL, PeerId("new")), 0.0)) == {}


def test_a_late_failure_does_not_end_the_attempt_that_runs_now() -> None:
    fetches = queue()
    fetches.want("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": A}
    fetches.peer_left(A)
    assert dict(fetches.start((B,), 0.0)) == {}
    assert dict(fetches.start((B,), fetches.next_retry())) == {"goal": B}
    fetches.failed("goal", A)
    assert fetches.in_flight == {"goal": B}
    assert dict(fetches.start(ALL, 1000.0)) == {}


def test_the_end_of_a_wait_does_not_ask_again_while_an_offer_is_being_tried() -> None:
    fetches = queue()
    fetches.want("goal")
    [*_, (last, _)] = fail_until_backed_off(fetches)
    fetches.want("goal", B)
    assert dict(fetches.start(ALL, last)) == {"goal": B}
    assert dict(fetches.start(ALL, fetches.next_retry())) == {}
    assert fetches.in_flight == {"goal": B}


def test_an_attempt_is_ended_by_its_own_failure_alone() -> None:
    fetches = queue()
    fetches.want("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": A}
    first = fetches.attempt("goal")
    fetches.peer_left(A)
    fetches.want("goal", A)
    assert dict(fetches.start((A,), 0.0)) == {"goal": A}
    assert fetches.attempt("goal") != first
    fetches.failed("goal", A, attempt=first)
    assert fetches.in_flight == {"goal": A}
    fetches.failed("goal", A, attempt=fetches.attempt("goal"))
    assert fetches.in_flight == {}


def test_a_failure_after_the_goal_was_reached_brings_nothing_back() -> None:
    fetches = queue()
    fetches.want("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": A}
    fetches.done("goal")
    fetches.failed("goal", A)
    assert dict(fetches.start(ALL, 1000.0)) == {}
    assert fetches.next_retry() == float("inf")


def test_part_of_an_answer_leads_back_to_the_same_peer_at_once() -> None:
    fetches = queue()
    fetches.want("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": A}
    fetches.again("goal", B)
    assert dict(fetches.start(ALL, 0.0)) == {}
    fetches.again("goal", A)
    assert dict(fetches.start(ALL, 0.0)) == {"goal": A}


def test_without_peers_nothing_is_asked_and_nothing_is_forgotten() -> None:
    fetches = queue()
    fetches.want("goal", A)
    assert list(fetches.start((), 0.0)) == []
    assert dict(fetches.start((C,), 0.0)) == {"goal": C}


@given(st.integers(1, 5), st.integers(0, 12))
def test_no_more_is_in_flight_than_allowed(most: int, goals: int) -> None:
    fetches = queue(in_flight_max=most)
    for number in range(goals):
        fetches.want(str(number))
    assert len(dict(fetches.start(ALL, 0.0))) == min(most, goals)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_asks_the_same_peers_at_the_same_times(seed: int) -> None:
    def run() -> list[tuple[float, PeerId]]:
        fetches = FetchQueue[str](random.Random(seed), 8, 2)
        fetches.want("goal", B)
        return fail_until_backed_off(fetches)

    assert run() == run()


def fail_all(fetches: FetchQueue[str], peers: tuple[PeerId, ...], now: float) -> list[PeerId]:
    """Start what can be, let it all fail, and return who was asked."""
    started = list(fetches.start(peers, now))
    for goal, peer in started:
        fetches.failed(goal, peer)
    return [peer for _, peer in started]


def test_an_offerer_that_has_nothing_is_asked_no_more_than_any_other() -> None:
    """A newcomer passes on news of thousands of objects, and holds none of them."""
    fetches = queue(offerer_attempts=3, in_flight_max=EMPTY_HANDED_AFTER)
    for number in range(100):
        fetches.want(str(number), A)
    assert fail_all(fetches, ALL, 0.0) == [A] * EMPTY_HANDED_AFTER
    now = 0.0
    asked: list[PeerId] = []
    while len(asked) < 92:
        for goal, peer in list(fetches.start(ALL, now)):
            asked.append(peer)
            fetches.failed(goal, peer) if peer == A else fetches.done(goal)
        now = max(now, min(fetches.next_retry(), now + 1))
    assert A not in asked


def test_an_offerer_that_gives_again_is_preferred_again() -> None:
    fetches = queue(in_flight_max=EMPTY_HANDED_AFTER)
    for number in range(EMPTY_HANDED_AFTER):
        fetches.want(str(number), A)
    fail_all(fetches, (A,), 0.0)
    fetches.want("last", A)
    [(goal, _)] = fetches.start((A,), 0.0)
    fetches.done(goal)
    fetches.want("new", A)
    assert dict(fetches.start(ALL, 0.0)) == {"new": A}


def shared(peer_max: int = 2, in_flight_max: int = 6) -> FetchQueue[str]:
    return FetchQueue(random.Random(1), in_flight_max, 3, peer_max)


def test_a_peer_has_its_share_of_what_is_in_flight_and_others_are_tried_with_one_each() -> None:
    fetches = shared(peer_max=3)
    for number in range(20):
        fetches.want(str(number), A)
    asked = [peer for _, peer in fetches.start(ALL, 0.0)]
    assert {peer: asked.count(peer) for peer in ALL} == {A: 3, B: 1, C: 1}


def test_a_peer_that_gave_gets_its_share_too() -> None:
    fetches = shared(peer_max=3, in_flight_max=9)
    for number in range(20):
        fetches.want(str(number), A)
    given = [goal for goal, peer in fetches.start(ALL, 0.0) if peer == B]
    for goal in given:
        fetches.done(goal)
    asked = [peer for _, peer in fetches.start(ALL, 0.0)]
    assert asked == [B, B, B]


def test_a_peer_that_failed_is_not_asked_in_the_place_of_a_busy_offerer() -> None:
    fetches = shared()
    for number in range(20):
        fetches.want(str(number), A)
    for goal, peer in list(fetches.start(ALL, 0.0)):
        if peer != A:
            fetches.failed(goal, peer)
    assert list(fetches.start(ALL, 0.0)) == []
    assert fetches.next_retry() <= PAUSE_SECONDS


def test_the_only_peer_has_all_that_is_in_flight() -> None:
    fetches = shared()
    for number in range(20):
        fetches.want(str(number), A)
    assert [peer for _, peer in fetches.start((A,), 0.0)] == [A] * 6


def test_large_goals_weigh_more() -> None:
    fetches = FetchQueue[str](random.Random(1), 8, weigh=lambda goal: 4 if goal == "large" else 1)
    fetches.want("large")
    for number in range(20):
        fetches.want(str(number))
    assert len(list(fetches.start(ALL, 0.0))) == 1 + 4


def test_lanes_take_turns_and_in_each_the_least_rank_is_first() -> None:
    fetches = queue(in_flight_max=5)
    for number in range(100):
        fetches.want(f"many {number}", place=Place("many", -number))
    fetches.want("few 1", place=Place("few", 0))
    fetches.want("few 2", place=Place("few", 0))
    started = [goal for goal, _ in fetches.start(ALL, 0.0)]
    assert started == ["many 99", "few 1", "many 98", "few 2", "many 97"]


def test_a_goal_that_was_reached_meanwhile_is_not_started_and_may_be_wanted_anew() -> None:
    fetches = queue()
    for name in ("one", "two"):
        fetches.want(name)
    fetches.done("one")
    fetches.want("one")
    fetches.done("two")
    assert [goal for goal, _ in fetches.start(ALL, 0.0)] == ["one"]


GOALS = st.sampled_from(["x", "y", "z"])
PEERS = st.sampled_from(ALL)


class QueueMachine(RuleBasedStateMachine):
    """Any use of the queue, against a list of the requests that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FetchQueue[str](random.Random(0), 2, 3, peer_max=1)
        self.now = 0.0
        self.peers: dict[PeerId, None] = {}
        self.wanted: set[str] = set()
        self.asked: dict[str, PeerId] = {}

    @rule(goal=GOALS, peer=st.none() | PEERS)
    def want(self, goal: str, peer: PeerId | None) -> None:
        self.queue.want(goal, peer)
        self.wanted.add(goal)

    @rule(goal=GOALS)
    def done(self, goal: str) -> None:
        self.queue.done(goal)
        self.wanted.discard(goal)
        self.asked.pop(goal, None)

    @rule(goal=GOALS, peer=PEERS, at_fault=st.booleans())
    def fail(self, goal: str, peer: PeerId, at_fault: bool) -> None:
        self.queue.failed(goal, peer, at_fault=at_fault)
        if self.asked.get(goal) == peer:
            del self.asked[goal]

    @rule(peer=PEERS)
    def join(self, peer: PeerId) -> None:
        self.peers[peer] = None
        self.queue.peer_joined()

    @rule(peer=PEERS)
    def leave(self, peer: PeerId) -> None:
        self.peers.pop(peer, None)
        self.queue.peer_left(peer)
        self.asked = {goal: asked for goal, asked in self.asked.items() if asked != peer}

    @rule(seconds=st.floats(0, 100))
    def start(self, seconds: float) -> None:
        self.now += seconds
        for goal, peer in self.queue.start(tuple(self.peers), self.now):
            assert goal in self.wanted
            assert goal not in self.asked, "two requests for one goal"
            assert peer in self.peers
            self.asked[goal] = peer
        assert len(self.asked) <= 2

    @invariant()
    def what_is_wanted_is_asked_for_in_the_end(self) -> None:
        if not self.peers:
            return
        self.start(0.0)
        idle = self.wanted - set(self.asked)
        busy = bool(self.asked)  # with all that may be in flight, or with whoever could be asked
        assert not idle or busy or self.queue.next_retry() <= self.now + RETRY_SECONDS_MAX


TestQueueMachine = QueueMachine.TestCase
