"""What to ask for next, and whom: each goal at one peer at a time, each peer once a round.

A goal is whatever can be asked for (a log, a catalogue's roots, an object). Most failures mean "I
do not hold it yet", since news outrun the bytes. Bytes follow the way that the news took, so the
peer that offered a goal is asked again, a few times, before any other is. After each failure the
goal pauses, and when all peers were tried, it waits longer with every round.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from meshnode.core.identifiers import PeerId

PAUSE_SECONDS = 1.0  # after a failure: time in which the one asked may itself get it
PROMPT_SECONDS = 5.0  # whoever says no within this time is alive, and worth asking again
RETRY_SECONDS_MIN = 2.0  # after the first round
RETRY_SECONDS_MAX = 60.0  # a holder that comes back unnoticed is found within a minute

Goal = TypeVar("Goal", bound=Hashable)


@dataclass(slots=True)
class Attempts:
    """How one goal was pursued so far."""

    offered_by: PeerId | None = None  # asked first: it said that it has it
    offerer_failures: int = 0  # since it offered
    asked_at: float = 0.0  # monotonic second of the newest attempt
    number: int = 0  # of the newest attempt: no other of the queue has it
    tried: dict[PeerId, None] = field(default_factory=dict)  # in this round
    rounds: int = 0  # how often every peer was tried without success
    retry_at: float = -1.0  # monotonic second at which it is tried again, while it waits
    is_exhausted: bool = False  # every peer was tried: what it waits for is a new round


@dataclass(slots=True)
class FetchQueue(Generic[Goal]):
    """Goals that are wanted. Invariant: a wanted goal is ready, failed, waiting or in flight.

    `offerer_attempts` is how often the offerer of a goal is asked before others are.
    """

    rng: random.Random
    in_flight_max: int
    offerer_attempts: int = 1
    wanted: dict[Goal, Attempts] = field(default_factory=dict)
    in_flight: dict[Goal, PeerId] = field(default_factory=dict)
    _ready: dict[Goal, None] = field(default_factory=dict)
    _failed: dict[Goal, PeerId] = field(default_factory=dict)  # since the last start, by whom
    # By time; an entry counts while its goal still waits for that very time.
    _waiting: list[tuple[float, int, Goal]] = field(default_factory=list)
    _order: int = 0  # breaks ties in the heap by age, never by comparing goals
    _attempts: int = 0  # of all goals, so far

    def want(self, goal: Goal, offered_by: PeerId | None = None) -> None:
        """Add a goal; a new offer makes one that waits ready again."""
        is_new = goal not in self.wanted
        attempts = self.wanted.setdefault(goal, Attempts())
        if offered_by is not None:
            attempts.offered_by, attempts.offerer_failures = offered_by, 0
            attempts.tried.pop(offered_by, None)
        if (is_new or offered_by is not None) and goal not in self.in_flight:
            self._ready[goal] = None

    def done(self, goal: Goal) -> None:
        """Forget a goal: it is reached, or not wanted any more."""
        self.wanted.pop(goal, None)
        self.in_flight.pop(goal, None)
        self._ready.pop(goal, None)
        self._failed.pop(goal, None)

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
        del self.in_flight[goal]
        attempts = self.wanted[goal]
        attempts.tried[peer] = None
        if at_fault and attempts.offered_by == peer:
            attempts.offered_by = None  # its word counts for nothing any more
        self._failed[goal] = peer

    def again(self, goal: Goal, peer: PeerId) -> None:
        """The answer brought some of it: ask on, the same peer first."""
        if self.in_flight.get(goal) == peer:
            del self.in_flight[goal]
            self.want(goal, offered_by=peer)

    def peer_joined(self) -> None:
        """Stop backing off: the peer may have what all the others lacked."""
        for goal, attempts in self.wanted.items():
            attempts.rounds = 0
            if attempts.is_exhausted:
                attempts.retry_at, attempts.is_exhausted = -1.0, False
                if goal not in self.in_flight:  # a new offer may have been taken up meanwhile
                    self._ready[goal] = None

    def peer_left(self, peer: PeerId) -> None:
        for goal in [goal for goal, asked in self.in_flight.items() if asked == peer]:
            self.failed(goal, peer)

    def start(self, peers: Sequence[PeerId], now: float) -> Iterator[tuple[Goal, PeerId]]:
        """Yield what to ask whom now; `now` is monotonic seconds."""
        self._wake(now)
        if not peers:
            return
        for goal, asked in self._failed.items():
            self._forgive(self.wanted[goal], asked, now)
            self._wait(goal, peers, now)
        self._failed.clear()
        while self._ready and len(self.in_flight) < self.in_flight_max:
            goal = next(iter(self._ready))
            del self._ready[goal]
            peer = self._choose(self.wanted[goal], peers)
            if peer is None:
                self._wait(goal, peers, now)
            else:
                self.in_flight[goal] = peer
                self._attempts += 1
                self.wanted[goal].asked_at, self.wanted[goal].number = now, self._attempts
                yield goal, peer

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
                self._ready[goal] = None

    def _is_awaited(self, until: float, _: int, goal: Goal) -> bool:
        return goal in self.wanted and self.wanted[goal].retry_at == until

    def _forgive(self, attempts: Attempts, peer: PeerId, now: float) -> None:
        """Let the offerer be asked again, if it is alive and was not asked too often."""
        if peer != attempts.offered_by:
            return
        attempts.offerer_failures += 1
        is_prompt = now - attempts.asked_at <= PROMPT_SECONDS
        if is_prompt and attempts.offerer_failures < self.offerer_attempts:
            attempts.tried.pop(peer, None)

    def _choose(self, attempts: Attempts, peers: Sequence[PeerId]) -> PeerId | None:
        if attempts.offered_by in peers and attempts.offered_by not in attempts.tried:
            return attempts.offered_by
        untried = [peer for peer in peers if peer not in attempts.tried]
        return self.rng.choice(untried) if untried else None

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
        attempts.retry_at = now + delay * self.rng.uniform(0.5, 1.0)
        self._order += 1
        heapq.heappush(self._waiting, (attempts.retry_at, self._order, goal))
