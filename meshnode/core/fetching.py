"""What to ask for next, and whom: each goal at one peer at a time, each peer once a round.

A goal is whatever can be asked for (a log, a catalogue's roots, an object). Most failures mean "I
do not hold it yet", since news outrun the bytes. Bytes follow the way that the news took, so the
peer that offered a goal is asked again, a few times, before any other is. After each failure the
goal pauses, and when all peers were tried, it waits longer with every round.

A peer may pass on news of much that it holds nothing of, as one that has just joined does: after
some failures in a row its offers count no more than the word of any other, until it gives
something. Where peers have a share, nobody has all that is in flight: what a busy offerer cannot
give now is asked of peers that give, and others are tried with one goal each.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from meshnode.core.identifiers import PeerId
from meshnode.core.lanes import ANYWHERE, Lanes, Place

PAUSE_SECONDS = 1.0  # after a failure: time in which the one asked may itself get it
PROMPT_SECONDS = 5.0  # whoever says no within this time is alive, and worth asking again
RETRY_SECONDS_MIN = 2.0  # after the first round
RETRY_SECONDS_MAX = 60.0  # a holder that comes back unnoticed is found within a minute
EMPTY_HANDED_AFTER = 8  # failures in a row: its offers are preferred no longer
IN_VAIN_AFTER = 2  # rounds: news outrun the bytes, so one round in vain is ordinary
PASSED_OVER_MAX = 64  # goals for which nobody has a hand free, looked at in one go

Goal = TypeVar("Goal", bound=Hashable)


@dataclass(slots=True)
class Attempts:
    """How one goal was pursued so far."""

    place: Place = ANYWHERE
    offered_by: PeerId | None = None  # asked first: it said that it has it
    offerer_failures: int = 0  # since it offered
    asked_at: float = 0.0  # monotonic second of the newest attempt
    number: int = 0  # of the newest attempt: no other of the queue has it
    weight: int = 0  # of that attempt, while it is in flight
    tried: dict[PeerId, None] = field(default_factory=dict)  # in this round
    rounds: int = 0  # how often every peer was tried without success
    retry_at: float = -1.0  # monotonic second at which it is tried again, while it waits
    is_exhausted: bool = False  # every peer was tried: what it waits for is a new round


@dataclass(slots=True)
class FetchQueue(Generic[Goal]):
    """Goals that are wanted. Invariant: a wanted goal is ready, failed, waiting or in flight.

    Goals start while less than `in_flight_max` is in flight, as `weigh` weighs them, and less than
    `peer_max` at the peer in question, where several are connected (None: no such limit).
    `offerer_attempts` is how often the offerer of a goal is asked before others are.
    """

    rng: random.Random
    in_flight_max: int
    offerer_attempts: int = 1
    peer_max: int | None = None
    weigh: Callable[[Goal], int] = lambda _: 1
    wanted: dict[Goal, Attempts] = field(default_factory=dict)
    in_flight: dict[Goal, PeerId] = field(default_factory=dict)
    _ready: Lanes[Goal] = field(default_factory=Lanes)
    _failed: dict[Goal, PeerId] = field(default_factory=dict)  # since the last start, by whom
    _in_vain: dict[Goal, None] = field(default_factory=dict)  # since they were last taken
    # By time; an entry counts while its goal still waits for that very time.
    _waiting: list[tuple[float, int, Goal]] = field(default_factory=list)
    _order: int = 0  # breaks ties in the heap by age, never by comparing goals
    _attempts: int = 0  # of all goals, so far
    # Of a connected peer: 1 if it gave what it was last asked for, else how often it failed since,
    # as a negative number.
    _standing: dict[PeerId, int] = field(default_factory=dict)
    _load: int = 0  # what is in flight, weighed
    _loads: dict[PeerId, int] = field(default_factory=dict)  # of that at each peer

    def want(self, goal: Goal, offered_by: PeerId | None = None, place: Place = ANYWHERE) -> None:
        """Add a goal at its place; a new offer makes one that waits ready again."""
        is_new = goal not in self.wanted
        attempts = self.wanted.setdefault(goal, Attempts(place))
        if offered_by is not None:
            attempts.offered_by, attempts.offerer_failures = offered_by, 0
            attempts.tried.pop(offered_by, None)
        if (is_new or offered_by is not None) and goal not in self.in_flight:
            self._ready.add(goal, attempts.place)

    def done(self, goal: Goal) -> None:
        """Forget a goal: it is reached, or not wanted any more."""
        self._in_vain.pop(goal, None)
        if (peer := self._landed(goal)) is not None:
            self._standing[peer] = 1
        self._ready.discard(goal)
        self._failed.pop(goal, None)
        if self.wanted.pop(goal, None) is not None and not self.wanted:
            self._rest()

    def attempt(self, goal: Goal) -> int:
        """Return the number of the newest attempt at a wanted goal."""
        return self.wanted[goal].number

    def is_in_flight(self, goal: Goal, peer: PeerId, attempt: int | None = None) -> bool:
        """Say whether this peer is asked now, in this very attempt if one is named."""
        if self.in_flight.get(goal) != peer:
            return False
        return attempt is None or attempt == self.attempt(goal)

    def failed(
        self, goal: Goal, peer: PeerId, *, attempt: int | None = None, at_fault: bool = False
    ) -> None:
        """End the attempt at this peer; a late failure of an earlier attempt changes nothing."""
        if not self.is_in_flight(goal, peer, attempt):
            return
        self._landed(goal)
        self._standing[peer] = min(self._standing.get(peer, 0), 0) - 1
        attempts = self.wanted[goal]
        attempts.tried[peer] = None
        if at_fault and attempts.offered_by == peer:
            attempts.offered_by = None  # its word counts for nothing any more
        self._failed[goal] = peer

    def again(self, goal: Goal, peer: PeerId) -> None:
        """The answer brought some of it: ask on, the same peer first."""
        if self.in_flight.get(goal) == peer:
            self._landed(goal)
            self._standing[peer] = 1
            self.want(goal, offered_by=peer)

    def peer_joined(self) -> None:
        """Stop backing off: the peer may have what all the others lacked."""
        for goal, attempts in self.wanted.items():
            attempts.rounds = 0
            if attempts.is_exhausted:
                attempts.retry_at, attempts.is_exhausted = -1.0, False
                if goal not in self.in_flight:  # a new offer may have been taken up meanwhile
                    self._ready.add(goal, attempts.place)

    def peer_left(self, peer: PeerId) -> None:
        for goal in [goal for goal, asked in self.in_flight.items() if asked == peer]:
            self.failed(goal, peer)
        self._standing.pop(peer, None)

    def is_due(self, now: float) -> bool:
        """Say whether `start` may have something to ask."""
        return bool(self._ready) or bool(self._failed) or self.next_retry() <= now

    def start(self, peers: Sequence[PeerId], now: float) -> Iterator[tuple[Goal, PeerId]]:
        """Yield what to ask whom now; `now` is monotonic seconds."""
        self._wake(now)
        if not peers:
            return
        for goal, asked in self._failed.items():
            self._forgive(self.wanted[goal], asked, now)
            self._wait(goal, peers, now)
        self._failed.clear()
        passed_over: list[Goal] = []
        while self._ready and self._has_room(peers) and len(passed_over) < PASSED_OVER_MAX:
            taken = self._ready.take()
            if taken is None:
                break
            goal, attempts = taken, self.wanted[taken]
            peer = self._choose(attempts, peers)
            if peer is not None:
                self._launch(goal, peer, now)
                yield goal, peer
            elif all(peer in attempts.tried for peer in peers):
                self._wait(goal, peers, now)
            else:
                passed_over.append(goal)
        for goal in passed_over:
            self._ready.add(goal, self.wanted[goal].place)

    def take_in_vain(self) -> Iterator[Place]:
        """Yield the places of goals that every peer was asked for in several rounds, once each
        time.
        """
        for goal in self._in_vain:
            yield self.wanted[goal].place
        self._in_vain.clear()

    def next_retry(self) -> float:
        """Return the monotonic second at which something becomes ready, infinity if nothing."""
        while self._waiting and not self._is_awaited(*self._waiting[0]):
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else float("inf")

    def _wake(self, now: float) -> None:
        while self.next_retry() <= now:
            _, _, goal = heapq.heappop(self._waiting)
            attempts = self.wanted[goal]
            if attempts.is_exhausted:
                attempts.tried.clear()
                attempts.is_exhausted = False
            if goal not in self.in_flight:
                self._ready.add(goal, attempts.place)

    def _is_awaited(self, until: float, _: int, goal: Goal) -> bool:
        return goal in self.wanted and self.wanted[goal].retry_at == until

    def _forgive(self, attempts: Attempts, peer: PeerId, now: float) -> None:
        """Let the offerer be asked again, if it is alive and was not asked too often."""
        if peer != attempts.offered_by:
            return
        attempts.offerer_failures += 1
        is_prompt = now - attempts.asked_at <= PROMPT_SECONDS
        if (
            is_prompt
            and not self._is_empty_handed(peer)
            and attempts.offerer_failures < self.offerer_attempts
        ):
            attempts.tried.pop(peer, None)

    def _has_room(self, peers: Sequence[PeerId]) -> bool:
        if self._load >= self.in_flight_max:
            return False
        return any(self._has_hand_free(peer, len(peers)) for peer in peers)

    def _has_hand_free(self, peer: PeerId, peers: int) -> bool:
        if self.peer_max is None or peers == 1:
            return True
        return self._loads.get(peer, 0) < self.peer_max

    def _is_empty_handed(self, peer: PeerId) -> bool:
        return self._standing.get(peer, 0) <= -EMPTY_HANDED_AFTER

    def _choose(self, attempts: Attempts, peers: Sequence[PeerId]) -> PeerId | None:
        """Return whom to ask, None if nobody suitable has a hand free now."""
        untried = [peer for peer in peers if peer not in attempts.tried]
        free = [peer for peer in untried if self._has_hand_free(peer, len(peers))]
        offerer = attempts.offered_by
        if offerer is not None and offerer in untried and not self._is_empty_handed(offerer):
            if offerer in free:
                return offerer
            # What a busy offerer holds, others hold too once they have shown that they do.
            free = [peer for peer in free if self._standing.get(peer, 0) >= self._is_tried(peer)]
        else:
            free = [peer for peer in free if not self._is_empty_handed(peer)] or free
        return self.rng.choice(free) if free else None

    def _is_tried(self, peer: PeerId) -> int:
        """Return the least standing of a peer for one more goal: one that was never asked is tried
        with one alone.
        """
        return 1 if self._loads.get(peer) else 0

    def _launch(self, goal: Goal, peer: PeerId, now: float) -> None:
        attempts = self.wanted[goal]
        self.in_flight[goal] = peer
        attempts.weight = self.weigh(goal)
        self._load += attempts.weight
        self._loads[peer] = self._loads.get(peer, 0) + attempts.weight
        self._attempts += 1
        attempts.asked_at, attempts.number = now, self._attempts

    def _landed(self, goal: Goal) -> PeerId | None:
        """Note that a goal is not in flight any more; return who was asked, if it was."""
        peer = self.in_flight.pop(goal, None)
        if peer is not None:
            weight = self.wanted[goal].weight
            self._load -= weight
            self._loads[peer] -= weight
            if not self._loads[peer]:
                del self._loads[peer]
        return peer

    def _rest(self) -> None:
        """Give back the memory of all that was wanted: a dict that lost its last key keeps it."""
        for emptied in (self.wanted, self.in_flight, self._loads, self._failed, self._in_vain):
            emptied.clear()
        self._waiting.clear()
        self._ready.clear()

    def _wait(self, goal: Goal, peers: Sequence[PeerId], now: float) -> None:
        """Pause, or back off exponentially if all were tried; jittered, so that peers do not retry
        in step.
        """
        attempts = self.wanted[goal]
        if attempts.retry_at > now:
            return  # it waits already, and a new offer between came to nothing
        delay = PAUSE_SECONDS
        if all(peer in attempts.tried for peer in peers):
            delay = min(RETRY_SECONDS_MIN * 2 ** min(attempts.rounds, 10), RETRY_SECONDS_MAX)
            attempts.rounds += 1
            attempts.is_exhausted = True
            if attempts.rounds >= IN_VAIN_AFTER:
                self._in_vain[goal] = None
        attempts.retry_at = now + delay * self.rng.uniform(0.5, 1.0)
        self._order += 1
        heapq.heappush(self._waiting, (attempts.retry_at, self._order, goal))
