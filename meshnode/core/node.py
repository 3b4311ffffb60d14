"""The peer as a state machine: events in, effects out. Everything a peer decides is decided here.

    effects = node.handle(events, now)

The runtime drives it under trio, libp2p and libtorrent; simulations drive the same class, by the
thousand, under a simulated clock and network. This file dispatches: what is gossiped is in
`announcements`, what peers answer in `answers`, what is asked by the `operator`, and what follows
from all of it in `federation`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import assert_never

from meshnode.core.announcements import Announcements
from meshnode.core.answers import Answers
from meshnode.core.budgets import Budgets
from meshnode.core.denylist import parse_deny_list
from meshnode.core.disclosure import Disclosure
from meshnode.core.durable import Restored, StampEntry
from meshnode.core.effects import Answer, Effect, PurgeObject, StopPayload
from meshnode.core.events import (
    AnnouncementReceived,
    BudgetsChanged,
    DenyListChanged,
    EntriesRecalled,
    Event,
    Followed,
    HeadsReceived,
    HolderCalled,
    LogReceived,
    Now,
    ObjectLost,
    ObjectsPurged,
    ObjectStored,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
    RootsReceived,
    SegmentIndexed,
    SegmentRefused,
    SnapshotChecked,
    SnapshotReceived,
    Stated,
    StorageFailed,
    Submitted,
    Unfollowed,
)
from meshnode.core.exchange import HelloReceived, ReconReceived, RecordsReceived
from meshnode.core.federation import Federation
from meshnode.core.forks import Evidence
from meshnode.core.gossip import Gate, Refusal
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.names import HeadName, LogId, RootName, Stretch
from meshnode.core.operator import Operator
from meshnode.core.overview import CatalogueOverview, Overview, RefusedSegment, describe
from meshnode.core.restoring import restore_chain, restore_log
from meshnode.core.signing import Verify, verify


class Node:
    """One catalogue peer.

    Args:
        rng: the only source of randomness.
        check_signature: injected so that simulations can memoise it.
        budgets: how much of other people's catalogues it holds; without, as much as there is.
    """

    def __init__(
        self,
        rng: random.Random,
        check_signature: Verify = verify,
        budgets: Budgets | None = None,
    ) -> None:
        self.budgets = budgets or Budgets()
        self._federation = federation = Federation(rng, check_signature, self.budgets)
        self.catalogues = federation.catalogues
        self.peers = federation.peers
        self.denials = federation.denials
        self.replica = federation.replica
        self.sync = federation.sync
        self.disclosure = Disclosure(federation.followed, federation.newest)
        self.read_only = ""  # why nothing is written any more
        self.claims = federation.claims
        self.holders = federation.holders
        self._gate = Gate(
            federation.catalogues, check_signature, federation.denies, self.claims.judge
        )
        self._announcements = Announcements(federation, self._gate)
        self._answers = Answers(federation, self._gate)
        self._operator = Operator(federation, self._gate)

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        """React to a batch of events. Never blocks, never raises on bad input from peers: such
        input becomes a `Blame` effect.
        """
        effects: list[Effect] = []
        for event in batch:
            effects += self._refuse(event) if self.read_only else self._react(event, now)
        if not self.read_only:
            effects += self._federation.ask(now)
        return effects

    def next_deadline(self) -> float:
        """Return the monotonic second at which to call `handle` if nothing happens before."""
        if self.read_only:
            return float("inf")
        return min(self.sync.next_deadline(), self.replica.fetches.next_retry())

    def judge(self, raw: bytes, now: Now) -> Refusal | None:
        """Give the gossip verdict on an announcement: None to accept and forward it."""
        return self._gate.judge(raw, now.unix)

    def withholds(self, name: Digest) -> bool:
        """Say whether an object, or a payload by its key, is served to nobody."""
        return self._federation.withholds(name)

    def expects(self, name: Digest) -> bool:
        """Say whether an object is being fetched now, and will be served when it is here."""
        return name in self.replica.fetches.in_flight and not self.withholds(name)

    def denies(self, catalogue: CatalogueId) -> bool:
        """Say whether nothing of a catalogue is told to anybody."""
        return self._federation.denies(catalogue)

    def newest_roots(self, catalogues: Sequence[CatalogueId]) -> tuple[RootName, ...]:
        """Name what others need to agree on whom to trust: the newest root, if it is not the first,
        its rivals, and the purges that count.
        """
        told = (c for c in catalogues if c in self.catalogues and not self.denies(c))
        known = (self.catalogues[c].chain for c in told)
        return tuple(
            RootName(chain.catalogue, version, digest)
            for chain in known
            if chain is not None
            for version, digest in chain.newest
        )

    def stretches(
        self, log: LogId, wanted: HeadName, known: Sequence[HeadName]
    ) -> tuple[Stretch, ...]:
        """Return where the way to a head lies on this disk, from the newest of `known` on it."""
        catalogue = self.catalogues.get(log.catalogue)
        held = catalogue.logs.get(log.writer) if catalogue else None
        return held.stretches(wanted, known) if held else ()

    def followed(self) -> tuple[CatalogueId, ...]:
        return self._federation.followed()

    def describe(self, catalogue: CatalogueId) -> CatalogueOverview | None:
        """Return how one catalogue stands, None if it is not known."""
        known = self.catalogues.get(catalogue)
        return describe(known) if known else None

    def overview(self) -> Overview:
        """Return how the peer stands, with the catalogues that it follows."""
        refused = self.replica.refused.values()
        return Overview(
            catalogues=tuple(describe(self.catalogues[name]) for name in self.followed()),
            read_only=self.read_only,
            backlog=self.replica.backlog,
            refused=tuple(RefusedSegment(event.ref, event.reason) for event in refused),
        )

    def restore(self, restored: Restored, now: Now) -> list[Effect]:
        """Take over what the disk remembers and derive what has to follow from it.

        Raises:
            StorageError: what is on disk is not what this peer once checked.
        """
        for catalogue_id, roots in restored.roots:
            restore_chain(
                self._federation.catalogue(catalogue_id), roots, self._federation.check_signature
            )
        self._restore_denials(restored)
        self._federation.restore_delegations()
        for stored in restored.logs:
            restore_log(
                self._federation.catalogue(stored.log.catalogue),
                stored,
                self._federation.check_signature,
            )
        for raw in restored.forks:
            self._restore_fork(raw)
        effects: list[Effect] = list(self.claims.restore(restored.statements))
        effects += self.replica.restore(restored)
        effects += self._restore_stamps(restored.stamps, now)
        for catalogue_id in self.followed():  # all that is here, before anything more is wanted
            self.replica.account(self.catalogues[catalogue_id])
        for catalogue_id in self.followed():
            effects += self._federation.resume(self.catalogues[catalogue_id])
        for stored in restored.logs:
            effects += self._federation.snapshots.follow(stored.log)
        effects += map(StopPayload, self.denials.stopped())
        return effects + list(self._federation.ask(now))

    def _restore_denials(self, restored: Restored) -> None:
        for kept in restored.deny_lists:
            self.denials.change(kept.name, parse_deny_list(kept.raw))
        for catalogue_id in restored.followed:
            if self.denies(catalogue_id):
                self.denials.suspended[catalogue_id] = None
            self._federation.catalogue(catalogue_id).followed = not self.denies(catalogue_id)

    def _restore_stamps(self, stamps: Sequence[StampEntry], now: Now) -> Iterator[StampEntry]:
        """Take over when entries that erase came; one whose stamp was lost came now."""
        for stamp in stamps:
            self._federation.catalogue(stamp.catalogue).stamps[stamp.entry] = stamp.stored
        for catalogue in self.catalogues.values():
            for log in catalogue.logs.values():
                for branch in log.branches:
                    yield from self._federation.stamp(
                        catalogue, (*branch.listed.values(), *branch.entries), now
                    )

    def _restore_fork(self, raw: bytes) -> None:
        found = self._gate.read_fork(raw)
        if not isinstance(found, Refusal):
            head = found[0].head
            self.catalogues[head.catalogue].forks[head.writer] = Evidence(head.seq, raw)

    # --- Events -----------------------------------------------------------------------------------
    def _react(  # noqa: C901, PLR0912, PLR0915 - one branch an event
        self, event: Event, now: Now
    ) -> Iterator[Effect]:
        match event:
            case PeerConnected(peer):
                yield from self._on_connected(peer)
            case PeerDisconnected(peer):
                self._on_disconnected(peer)
            case AnnouncementReceived():
                yield from self._announcements.received(event, now)
            case HeadsReceived():
                yield from self._answers.heads(event, now)
            case HelloReceived():
                yield from self._federation.comparisons.hello(event)
            case ReconReceived():
                yield from self._federation.comparisons.recon(event)
            case RecordsReceived():
                yield from self._answers.records(event, now)
            case RootsReceived():
                yield from self._answers.roots(event)
            case LogReceived():
                yield from self._answers.log(event, now)
            case SnapshotReceived():
                self._answers.snapshot(event)
            case SnapshotChecked():
                yield from self._federation.snapshot_checked(event)
            case EntriesRecalled():
                yield from self._federation.recalled(event)
            case RequestFailed():
                yield from self._answers.failed(event, now)
            case ObjectStored(digest):
                yield from self._on_stored(digest)
            case ObjectsPurged(digests):
                self.replica.purged(digests)
            case ObjectLost(digest):
                self._on_lost(digest)
            case SegmentIndexed(ref):
                self._federation.erasures.indexed(ref)
                yield from self.replica.segment_indexed(ref)
            case SegmentRefused():
                yield from self.replica.segment_refused(event)
            case Followed():
                yield from self._operator.followed(event)
            case Unfollowed():
                yield from self._operator.unfollowed(event)
            case Submitted():
                yield from self._operator.submitted(event, now)
            case BudgetsChanged():
                yield from self._operator.budgets_changed(event)
            case DenyListChanged():
                yield from self._operator.deny_list_changed(event)
            case Stated():
                yield from self._operator.stated(event, now)
            case HolderCalled():
                self.holders.called(event, now.monotonic)
            case StorageFailed(reason):
                self.read_only = reason
            case _:
                assert_never(event)

    def _refuse(self, event: Event) -> Iterator[Effect]:
        """React while the disk takes nothing: what is held is still served, nothing is added."""
        match event:
            case PeerConnected(peer):
                self.peers.joined(peer)
            case PeerDisconnected(peer):
                self._on_disconnected(peer)
            case (
                Followed(ticket)
                | Unfollowed(ticket)
                | Submitted(ticket)
                | BudgetsChanged(ticket)
                | DenyListChanged(ticket)
                | Stated(ticket)
            ):
                yield Answer(ticket, f"this peer is read-only: {self.read_only}")
            case _:
                pass  # the next start learns it again

    # --- Peers ------------------------------------------------------------------------------------
    def _on_connected(self, peer: PeerId) -> Iterator[Effect]:
        self.peers.joined(peer)
        self.sync.peer_joined()
        self.replica.fetches.peer_joined()
        yield from self._federation.comparisons.start(peer)

    def _on_disconnected(self, peer: PeerId) -> None:
        self.peers.left(peer)
        self.sync.peer_left(peer)
        self._federation.comparisons.left(peer)
        self.replica.fetches.peer_left(peer)

    # --- Objects ----------------------------------------------------------------------------------
    def _on_stored(self, digest: Digest) -> Iterator[Effect]:
        """Take in an object; one that was denied while it came does not stay."""
        if (giver := self.replica.fetches.in_flight.get(digest)) is not None:
            self.holders.gave(giver)
        if self.denials.denies(digest) and digest not in self.replica.objects:
            yield PurgeObject(digest)
        else:
            yield from self.replica.stored(digest)

    def _on_lost(self, digest: Digest) -> None:
        """Fetch it again for all that counts it, unless it is withdrawn so that nobody gets it."""
        self.replica.lost(digest)
        if not self.withholds(digest):
            for catalogue in self.followed():
                self.replica.want_again(self.catalogues[catalogue], digest)
