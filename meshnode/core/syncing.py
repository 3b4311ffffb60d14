"""What is asked of other peers about catalogues: their roots, their heads, their logs.

Gossip brings most heads; asking repairs the rest (protocol/05-sync.md). Owns whom to ask when; what
the answers mean is decided by the node.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from meshnode.core import events as ev
from meshnode.core.events import LogId
from meshnode.core.fetching import FetchQueue
from meshnode.core.identifiers import CatalogueId, PeerId
from meshnode.core.log import Log

POLL_SECONDS = 30.0  # anti-entropy: repairs whatever gossip lost, for example after a partition
ASKED_AT_ONCE_MAX = 8  # requests of one kind in flight
ASKED_CATALOGUES_MAX = 1024  # in one question


@dataclass(slots=True)
class Sync:
    """Invariant: a log is wanted exactly while a newer authentic head than ours is known of it."""

    rng: random.Random
    roots: FetchQueue[CatalogueId] = field(init=False)
    logs: FetchQueue[LogId] = field(init=False)
    _targets: dict[LogId, int] = field(default_factory=dict)  # the newest seq heard of
    _roots_after: dict[CatalogueId, int] = field(default_factory=dict)  # the least version asked
    _next_poll: float = 0.0

    def __post_init__(self) -> None:
        self.roots = FetchQueue(self.rng, ASKED_AT_ONCE_MAX)
        self.logs = FetchQueue(self.rng, ASKED_AT_ONCE_MAX)

    def want_log(self, log: LogId, seq: int, offered_by: PeerId) -> None:
        """Follow a log to head `seq`, which this peer told of."""
        self._targets[log] = max(seq, self._targets.get(log, 0))
        self.logs.want(log, offered_by)

    def want_roots(self, catalogue: CatalogueId, after: int, offered_by: PeerId | None) -> None:
        """Ask for roots of a version above `after`, first the peer that told of them."""
        self._roots_after[catalogue] = min(after, self._roots_after.get(catalogue, after))
        self.roots.want(catalogue, offered_by)

    def roots_answered(self, catalogue: CatalogueId) -> None:
        """Ask no more: what is still missing the next poll tells."""
        self._roots_after.pop(catalogue, None)
        self.roots.done(catalogue)

    def extended(self, log: LogId, seq: int, source: PeerId | None) -> None:
        """The log is held up to `seq`; if that is not all, ask on, `source` first."""
        if self._targets.get(log, 0) <= seq:
            self._targets.pop(log, None)
            self.logs.done(log)
        elif source is not None:
            self.logs.again(log, source)

    def forget(self, catalogue: CatalogueId) -> None:
        self.roots_answered(catalogue)
        for log in [log for log in self._targets if log.catalogue == catalogue]:
            del self._targets[log]
            self.logs.done(log)

    def peer_joined(self) -> None:
        self.roots.peer_joined()
        self.logs.peer_joined()

    def peer_left(self, peer: PeerId) -> None:
        self.roots.peer_left(peer)
        self.logs.peer_left(peer)

    def ask_heads(self, peer: PeerId, catalogues: Sequence[CatalogueId]) -> Iterator[ev.AskHeads]:
        """Yield questions about all of these catalogues."""
        for start in range(0, len(catalogues), ASKED_CATALOGUES_MAX):
            yield ev.AskHeads(peer, tuple(catalogues[start : start + ASKED_CATALOGUES_MAX]))

    def start(
        self,
        peers: Sequence[PeerId],
        followed: Sequence[CatalogueId],
        held: Callable[[LogId], Log],
        now: float,
    ) -> Iterator[ev.Effect]:
        """Yield what to ask now; `held` returns a log as it is held, `now` monotonic seconds."""
        if now >= self._next_poll:
            self._next_poll = now + POLL_SECONDS * self.rng.uniform(0.75, 1.25)
            if peers:
                yield from self.ask_heads(self.rng.choice(peers), followed)
        for catalogue, peer in self.roots.start(peers, now):
            after, attempt = self._roots_after.get(catalogue, 0), self.roots.attempt(catalogue)
            yield ev.AskRoots(peer, catalogue, after, attempt)
        for log, peer in self.logs.start(peers, now):
            attempt = self.logs.attempt(log)
            yield ev.AskLog(peer, log, held(log).seq, held(log).size, attempt)

    def next_deadline(self) -> float:
        """Return the monotonic second at which there is something to ask, if nothing happens."""
        return min(self._next_poll, self.roots.next_retry(), self.logs.next_retry())
