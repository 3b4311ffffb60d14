"""What is asked of other peers about catalogues: their roots, their heads, their logs.

Gossip brings most heads; asking repairs the rest (protocol/05-sync.md). Owns whom to ask when; what
the answers mean is decided by the node.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from meshnode.core.effects import AskHeads, AskLog, AskRoots, AskSnapshot, Effect
from meshnode.core.fetching import FetchQueue
from meshnode.core.heads import SNAPSHOT_SEQ, SnapshotRef
from meshnode.core.identifiers import CatalogueId, PeerId
from meshnode.core.limits import BRANCHES_MAX
from meshnode.core.log import Log
from meshnode.core.names import HeadName, LogId
from meshnode.core.snapshots import Beginning

POLL_SECONDS = 30.0  # anti-entropy: repairs whatever gossip lost, for example after a partition
ASKED_AT_ONCE_MAX = 8  # requests of one kind in flight
ASKED_CATALOGUES_MAX = 1024  # in one question
TARGETS_MAX = 2 * BRANCHES_MAX  # heads of one log that are wanted


@dataclass(slots=True)
class Sync:
    """Invariant: a log is wanted exactly while an authentic head of it is known and not held."""

    rng: random.Random
    roots: FetchQueue[CatalogueId] = field(init=False)
    logs: FetchQueue[LogId] = field(init=False)
    # With which a log may begin that is not held, until that fails; and those that came.
    _snapshots: dict[LogId, SnapshotRef] = field(default_factory=dict)
    _beginnings: dict[LogId, Beginning] = field(default_factory=dict)
    # The heads wanted of each log; the first is asked for, and after a failure the next.
    _targets: dict[LogId, dict[HeadName, None]] = field(default_factory=dict)
    _roots_after: dict[CatalogueId, int] = field(default_factory=dict)  # the least version asked
    _next_poll: float = 0.0
    _turn: list[PeerId] = field(default_factory=list)  # whom to poll, the next one first

    def __post_init__(self) -> None:
        self.roots = FetchQueue(self.rng, ASKED_AT_ONCE_MAX)
        self.logs = FetchQueue(self.rng, ASKED_AT_ONCE_MAX)

    def want_log(
        self,
        log: LogId,
        head: HeadName,
        offered_by: PeerId,
        snapshot: SnapshotRef | None = None,
    ) -> None:
        """Follow a log to this head, which this peer told of; the next poll tells of it again if
        too many are wanted already. A log that is not held may begin with `snapshot`.
        """
        if snapshot is not None and log not in self._beginnings:
            self._snapshots[log] = snapshot
        targets = self._targets.setdefault(log, {})
        if len(targets) < TARGETS_MAX:
            targets[head] = None
        self.logs.want(log, offered_by)

    def log_failed(self, log: LogId, peer: PeerId, attempt: int | None = None) -> None:
        """The answer did not bring the head that was asked for: after a pause the next is, and the
        whole log where a snapshot was tried.
        """
        if self.logs.is_in_flight(log, peer, attempt):
            self._no_snapshot(log)
            targets = self._targets[log]
            head = next(iter(targets))
            targets[head] = targets.pop(head)
        self.logs.failed(log, peer, attempt=attempt)

    def snapshot_received(self, log: LogId, peer: PeerId, beginning: Beginning) -> None:
        """Ask for what follows this snapshot, this peer first."""
        if self.logs.is_in_flight(log, peer):
            self._beginnings[log] = beginning
            self.logs.again(log, peer)

    def beginning(self, log: LogId) -> Beginning | None:
        """Return the snapshot after which a log was asked for."""
        return self._beginnings.get(log)

    def want_roots(self, catalogue: CatalogueId, after: int, offered_by: PeerId | None) -> None:
        """Ask for roots of a version above `after`, first the peer that told of them."""
        self._roots_after[catalogue] = min(after, self._roots_after.get(catalogue, after))
        self.roots.want(catalogue, offered_by)

    def roots_answered(self, catalogue: CatalogueId) -> None:
        """Ask no more: what is still missing the next poll tells."""
        self._roots_after.pop(catalogue, None)
        self.roots.done(catalogue)

    def settle(
        self, log: LogId, is_settled: Callable[[HeadName], bool], source: PeerId | None
    ) -> None:
        """Forget the heads that need not be asked for any more; if others are left, ask on,
        `source` first.
        """
        left = {h: None for h in self._targets.get(log, ()) if not is_settled(h)}
        self._no_snapshot(log)
        if not left:
            self._targets.pop(log, None)
            self.logs.done(log)
            return
        self._targets[log] = left
        if source is not None:
            self.logs.again(log, source)

    def forget(self, catalogue: CatalogueId) -> None:
        self.roots_answered(catalogue)
        for log in [log for log in self._targets if log.catalogue == catalogue]:
            self._no_snapshot(log)
            del self._targets[log]
            self.logs.done(log)

    def peer_joined(self) -> None:
        self.roots.peer_joined()
        self.logs.peer_joined()

    def peer_left(self, peer: PeerId) -> None:
        self.roots.peer_left(peer)
        self.logs.peer_left(peer)

    def ask_heads(self, peer: PeerId, catalogues: Sequence[CatalogueId]) -> Iterator[AskHeads]:
        """Yield questions about all of these catalogues."""
        for start in range(0, len(catalogues), ASKED_CATALOGUES_MAX):
            yield AskHeads(peer, tuple(catalogues[start : start + ASKED_CATALOGUES_MAX]))

    def is_due(self, now: float) -> bool:
        """Say whether `start` may have something to ask."""
        return now >= self._next_poll or self.roots.is_due(now) or self.logs.is_due(now)

    def start(
        self,
        peers: Sequence[PeerId],
        compare: Callable[[PeerId], Iterator[Effect]],
        held: Callable[[LogId], Log],
        now: float,
    ) -> Iterator[Effect]:
        """Yield what to ask now; `compare` finds out what a peer has, `held` returns a log as it is
        held, `now` is in monotonic seconds.
        """
        if now >= self._next_poll:
            self._next_poll = now + POLL_SECONDS * self.rng.uniform(0.75, 1.25)
            if peers:
                yield from compare(self._next_polled(peers))
        for catalogue, peer in self.roots.start(peers, now):
            after, attempt = self._roots_after.get(catalogue, 0), self.roots.attempt(catalogue)
            yield AskRoots(peer, catalogue, after, attempt)
        for log, peer in self.logs.start(peers, now):
            yield self._ask_log(peer, log, held(log))

    def _next_polled(self, peers: Sequence[PeerId]) -> PeerId:
        """Return whom to poll: each in turn, so that those who keep something back delay it by no
        more polls than there are of them (N-95). Newcomers come last, in random order.
        """
        waiting = [peer for peer in self._turn if peer in peers]
        new = [peer for peer in peers if peer not in waiting]
        waiting += self.rng.sample(new, len(new))
        self._turn = [*waiting[1:], waiting[0]]
        return waiting[0]

    def _ask_log(self, peer: PeerId, log: LogId, held: Log) -> Effect:
        wanted, attempt = next(iter(self._targets[log])), self.logs.attempt(log)
        beginning, known = self._beginnings.get(log), held.known()
        if beginning is not None:
            known = (HeadName(SNAPSHOT_SEQ, beginning.ref.object), *known)
        elif log in self._snapshots and not known:
            return AskSnapshot(peer, log, self._snapshots[log], attempt)
        return AskLog(peer, log, wanted, known, attempt)

    def _no_snapshot(self, log: LogId) -> None:
        self._snapshots.pop(log, None)
        self._beginnings.pop(log, None)

    def next_deadline(self) -> float:
        """Return the monotonic second at which there is something to ask, if nothing happens."""
        return min(self._next_poll, self.roots.next_retry(), self.logs.next_retry())
