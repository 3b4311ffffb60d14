"""The peer as a state machine: events in, effects out. Everything a peer decides is decided here.

    effects = node.handle(events, now)

The runtime drives it under trio, libp2p and libtorrent; simulations drive the same class, by the
thousand, under a simulated clock and network. This file dispatches: what an entry means for a
catalogue is in `catalogue`, what may pass in `gossip` and `submission`, which bytes are wanted in
`replica`, what is asked of whom in `syncing`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import assert_never

from meshnode.core import events as ev
from meshnode.core.catalogue import Catalogue
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import Check, LogId, Now, SegmentKey, SegmentRef, Verdict
from meshnode.core.gossip import Gate, Refusal, announce, is_due, log_of
from meshnode.core.heads import AnnouncedHead, SignedHead, decode_announcement
from meshnode.core.identifiers import CatalogueId, PeerId, catalogue_text
from meshnode.core.log import Extension, Log, LogFault
from meshnode.core.overview import CatalogueOverview, Overview, RefusedSegment, describe
from meshnode.core.peers import Peers
from meshnode.core.replica import Replica
from meshnode.core.signing import Verify, verify
from meshnode.core.submission import examine
from meshnode.core.syncing import Sync
from meshnode.core.trust import RootChain, UntrustedError
from meshnode.errors import StorageError


class Node:
    """One catalogue peer.

    Args:
        rng: the only source of randomness.
        check_signature: injected so that simulations can memoise it.
    """

    def __init__(self, rng: random.Random, check_signature: Verify = verify) -> None:
        self.catalogues: dict[CatalogueId, Catalogue] = {}
        self.peers = Peers()
        self.replica = Replica(rng, self._counts)
        self.sync = Sync(rng)
        self.read_only = ""  # why nothing is written any more
        self._check_signature = check_signature
        self._gate = Gate(self.catalogues, check_signature)

    def handle(self, batch: Sequence[ev.Event], now: Now) -> list[ev.Effect]:
        """React to a batch of events. Never blocks, never raises on bad input from peers: such
        input becomes a `Blame` effect.
        """
        effects: list[ev.Effect] = []
        for event in batch:
            effects += self._refuse(event) if self.read_only else self._react(event, now)
        if not self.read_only:
            effects += self._ask(now)
        return effects

    def next_deadline(self) -> float:
        """Return the monotonic second at which to call `handle` if nothing happens before."""
        if self.read_only:
            return float("inf")
        return min(self.sync.next_deadline(), self.replica.fetches.next_retry())

    def judge(self, raw: bytes, now: Now) -> Refusal | None:
        """Give the gossip verdict on an announcement: None to accept and forward it."""
        return self._gate.judge(raw, now.unix)

    def followed(self) -> tuple[CatalogueId, ...]:
        return tuple(c.id for c in self.catalogues.values() if c.followed)

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

    def restore(self, restored: ev.Restored, now: Now) -> list[ev.Effect]:
        """Take over what the disk remembers and derive what has to follow from it.

        Raises:
            StorageError: what is on disk is not what this peer once checked.
        """
        for catalogue_id, roots in restored.roots:
            self._restore_chain(self._catalogue(catalogue_id), roots)
        for catalogue_id in restored.followed:
            self._catalogue(catalogue_id).followed = True
        for stored in restored.logs:
            self._restore_log(self._catalogue(stored.log.catalogue), stored)
        effects = list(self.replica.restore(restored))
        for catalogue_id in self.followed():
            effects += self._resume(self.catalogues[catalogue_id])
        return effects + list(self._ask(now))

    def _restore_chain(self, catalogue: Catalogue, raws: Sequence[bytes]) -> None:
        try:
            catalogue.chain = self._checked_chain(catalogue.id, raws)
        except (MalformedRecordError, UntrustedError) as error:
            raise _damaged(catalogue.id, "root") from error

    def _restore_log(self, catalogue: Catalogue, stored: ev.StoredLog) -> None:
        heads = [self._gate.read(raw) for raw in stored.heads]
        authentic = [
            head
            for head in heads
            if isinstance(head, SignedHead) and log_of(head.head) == stored.log
        ]
        if not authentic or len(authentic) != len(heads):
            raise _damaged(catalogue.id, "log")
        result = catalogue.consider(stored.log.writer, authentic, 0, stored.entries)
        held = (len(stored.heads), len(stored.entries))
        if isinstance(result, LogFault) or (len(result.heads), len(result.raws)) != held:
            raise _damaged(catalogue.id, "log")
        catalogue.adopt(stored.log.writer, result)

    # --- Events -----------------------------------------------------------------------------------
    def _react(  # noqa: C901, PLR0912 - one branch an event
        self, event: ev.Event, now: Now
    ) -> Iterator[ev.Effect]:
        match event:
            case ev.PeerConnected(peer):
                yield from self._on_connected(peer)
            case ev.PeerDisconnected(peer):
                self._on_disconnected(peer)
            case ev.AnnouncementReceived(peer, raw):
                yield from self._on_announcement(peer, raw, now)
            case ev.HeadsReceived(peer, raws):
                yield from self._on_heads(peer, raws, now)
            case ev.RootsReceived(peer, catalogue, raws):
                yield from self._on_roots(peer, catalogue, raws)
            case ev.LogReceived():
                yield from self._on_log(event, now)
            case ev.RequestFailed():
                yield from self._on_failed(event)
            case ev.ObjectStored(digest):
                yield from self.replica.stored(digest)
            case ev.SegmentIndexed(ref):
                yield from self.replica.segment_indexed(ref)
            case ev.SegmentRefused():
                yield from self.replica.segment_refused(event)
            case ev.Followed():
                yield from self._on_followed(event)
            case ev.Unfollowed():
                yield from self._on_unfollowed(event)
            case ev.Submitted():
                yield from self._on_submitted(event, now)
            case ev.StorageFailed(reason):
                self.read_only = reason
            case _:
                assert_never(event)

    def _refuse(self, event: ev.Event) -> Iterator[ev.Effect]:
        """React while the disk takes nothing: what is held is still served, nothing is added."""
        match event:
            case ev.PeerConnected(peer):
                self.peers.joined(peer)
            case ev.PeerDisconnected(peer):
                self._on_disconnected(peer)
            case ev.Followed(ticket) | ev.Unfollowed(ticket) | ev.Submitted(ticket):
                yield ev.Answer(ticket, f"this peer is read-only: {self.read_only}")
            case _:
                pass  # the next start learns it again

    # --- Peers ------------------------------------------------------------------------------------
    def _on_connected(self, peer: PeerId) -> Iterator[ev.Effect]:
        self.peers.joined(peer)
        self.sync.peer_joined()
        self.replica.fetches.peer_joined()
        yield from self.sync.ask_heads(peer, self.followed())

    def _on_disconnected(self, peer: PeerId) -> None:
        self.peers.left(peer)
        self.sync.peer_left(peer)
        self.replica.fetches.peer_left(peer)

    def _on_announcement(self, peer: PeerId, raw: bytes, now: Now) -> Iterator[ev.Effect]:
        """Take what was gossiped. Its forwarder answers for authenticity alone: if the entries do
        not fit, the log is asked for, and nobody is blamed.
        """
        try:
            announcement = decode_announcement(raw)
        except MalformedRecordError as error:
            yield from self._blame(peer, Check.ENCODING, str(error))
            return
        for announced in announcement.items:
            offered = self._gate.authenticate(announced.head)
            if isinstance(offered, SignedHead):
                yield from self._on_announced(peer, offered, announced, now)
            elif offered.verdict is Verdict.REJECT:
                yield from self._blame(peer, offered.check, offered.reason)
                return

    def _on_announced(
        self, peer: PeerId, offered: SignedHead, announced: AnnouncedHead, now: Now
    ) -> Iterator[ev.Effect]:
        log = log_of(offered.head)
        catalogue = self.catalogues[log.catalogue]
        if not self._is_news(catalogue, offered, now):
            return
        result = catalogue.consider(log.writer, [offered], announced.first, announced.entries)
        if isinstance(result, Extension) and result.heads:
            yield from self._adopt(log, result, peer)
        else:
            self.sync.want_log(log, offered.head.seq, peer)

    def _on_heads(self, peer: PeerId, raws: Sequence[bytes], now: Now) -> Iterator[ev.Effect]:
        for raw in raws:
            offered = self._gate.read(raw)
            if isinstance(offered, SignedHead):
                log = log_of(offered.head)
                if self._is_news(self.catalogues[log.catalogue], offered, now):
                    self.sync.want_log(log, offered.head.seq, peer)
            elif offered.verdict is Verdict.REJECT:
                yield from self._blame(peer, offered.check, offered.reason)
                return

    def _on_roots(
        self, peer: PeerId, catalogue_id: CatalogueId, raws: Sequence[bytes]
    ) -> Iterator[ev.Effect]:
        if self.sync.roots.in_flight.get(catalogue_id) != peer:
            return  # it was not asked, or answered too late
        if len(raws) != 1:
            # None, or a chain with later roots, which this version cannot follow: no fault.
            self.sync.roots.failed(catalogue_id, peer)
            return
        try:
            yield from self._adopt_roots(self.catalogues[catalogue_id], raws)
        except (MalformedRecordError, UntrustedError) as error:
            yield from self._blame(peer, Check.ROOT, str(error))
            self.sync.roots.failed(catalogue_id, peer)
            return
        yield ev.AskHeads(peer, (catalogue_id,))

    def _on_log(self, event: ev.LogReceived, now: Now) -> Iterator[ev.Effect]:
        if self.sync.logs.in_flight.get(event.log) != event.peer:
            return  # it was not asked, or answered too late
        catalogue = self.catalogues[event.log.catalogue]
        heads = self._heads_of(event, now)
        if isinstance(heads, LogFault):
            yield from self._log_refused(event, heads)
            return
        result = catalogue.consider(event.log.writer, heads, event.first, event.entries)
        if isinstance(result, LogFault):
            yield from self._log_refused(event, result)
        elif result.heads:
            yield from self._caught_up(event, catalogue, result)
        else:
            self.sync.logs.failed(event.log, event.peer)

    def _heads_of(self, event: ev.LogReceived, now: Now) -> list[SignedHead] | LogFault:
        """Return the answer's heads up to the first that cannot count yet."""
        heads: list[SignedHead] = []
        for raw in event.heads:
            offered = self._gate.read(raw)
            if isinstance(offered, Refusal):
                if offered.verdict is Verdict.REJECT:
                    return LogFault(offered.check, offered.reason)
                break
            if log_of(offered.head) != event.log:
                return LogFault(Check.CHAIN, "a head of another log")
            if not is_due(offered.head, now.unix):
                break
            heads.append(offered)
        return heads

    def _log_refused(self, event: ev.LogReceived, fault: LogFault) -> Iterator[ev.Effect]:
        if fault.forked_at is None:
            yield from self._blame(event.peer, fault.check, fault.reason)
        self.sync.logs.failed(event.log, event.peer)

    def _caught_up(
        self, event: ev.LogReceived, catalogue: Catalogue, extension: Extension
    ) -> Iterator[ev.Effect]:
        """Adopt what was asked for. What gossip did not bring here it may not have brought to
        others either, so a log that was already known is announced again.
        """
        was_known = catalogue.log(event.log.writer).seq > 0
        yield from self._adopt(event.log, extension, event.peer)
        if was_known:
            yield ev.Announce(announce(extension.heads[-1], extension.frontier.size, ()))

    def _on_failed(self, event: ev.RequestFailed) -> Iterator[ev.Effect]:
        match event.request:
            case ev.AskHeads():
                pass  # the next poll asks again
            case ev.AskRoots(peer, catalogue):
                self.sync.roots.failed(catalogue, peer)
            case ev.AskLog(peer, log):
                self.sync.logs.failed(log, peer)
            case ev.FetchObject():
                self.replica.fetch_failed(event.request)
            case _:
                assert_never(event.request)
        if event.check is not None:
            yield from self._blame(event.request.peer, event.check, event.reason)

    # --- The operator -----------------------------------------------------------------------------
    def _on_followed(self, event: ev.Followed) -> Iterator[ev.Effect]:
        known = self.catalogues.get(event.catalogue)
        catalogue = known or Catalogue(event.catalogue)
        if event.roots and catalogue.chain is None:
            try:
                yield from self._adopt_roots(catalogue, event.roots)
            except (MalformedRecordError, UntrustedError) as error:
                yield ev.Answer(event.ticket, str(error))
                return
        if not catalogue.followed:
            self.catalogues[catalogue.id] = catalogue
            catalogue.followed = True
            yield ev.SetFollowed(catalogue.id, followed=True)
            yield from self._resume(catalogue)
            for peer in self.peers.asked():
                yield ev.AskHeads(peer, (catalogue.id,))
        yield ev.Answer(event.ticket)

    def _on_unfollowed(self, event: ev.Unfollowed) -> Iterator[ev.Effect]:
        catalogue = self.catalogues.get(event.catalogue)
        if catalogue is None or not catalogue.followed:
            yield ev.Answer(event.ticket, "this catalogue is not followed")
            return
        catalogue.followed = False
        self.replica.forget(catalogue.id)
        self.sync.forget(catalogue.id)
        yield ev.SetFollowed(catalogue.id, followed=False)
        yield ev.ForgetCatalogue(catalogue.id)
        yield ev.Answer(event.ticket)

    def _on_submitted(self, event: ev.Submitted, now: Now) -> Iterator[ev.Effect]:
        result = examine(event, self.catalogues, self._gate, now.unix)
        if isinstance(result, str):
            yield ev.Answer(event.ticket, result)
            return
        if result is not None:
            newest = result.heads[-1]
            yield from self._adopt(log_of(newest.head), result, None)
            yield ev.Announce(announce(newest, result.first, result.raws))
        yield ev.Answer(event.ticket)

    # --- What follows -----------------------------------------------------------------------------
    def _catalogue(self, catalogue: CatalogueId) -> Catalogue:
        return self.catalogues.setdefault(catalogue, Catalogue(catalogue))

    def _log(self, log: LogId) -> Log:
        return self.catalogues[log.catalogue].log(log.writer)

    def _counts(self, key: SegmentKey) -> SegmentRef | None:
        catalogue = self.catalogues.get(key.catalogue)
        if catalogue is None or not catalogue.followed:
            return None
        return catalogue.segment((key.collection, key.digest))

    def _resume(self, catalogue: Catalogue) -> Iterator[ev.Effect]:
        if catalogue.chain is None:
            self.sync.roots.want(catalogue.id)
        else:
            yield from self.replica.resume(catalogue)

    def _adopt_roots(self, catalogue: Catalogue, raws: Sequence[bytes]) -> Iterator[ev.Effect]:
        """Raises MalformedRecordError, UntrustedError: the roots are not this catalogue's."""
        catalogue.chain = self._checked_chain(catalogue.id, raws)
        self.catalogues[catalogue.id] = catalogue
        self.sync.roots.done(catalogue.id)
        for version, raw in enumerate(catalogue.chain.raws, 1):
            yield ev.AdoptRoot(catalogue.id, version, raw)

    def _checked_chain(self, catalogue: CatalogueId, raws: Sequence[bytes]) -> RootChain:
        if len(raws) != 1:
            raise UntrustedError("later roots are in force, which this version cannot follow")
        chain = RootChain.begin(raws[0], self._check_signature)
        if chain.catalogue != catalogue:
            raise UntrustedError(f"the root is that of {catalogue_text(chain.catalogue)}")
        return chain

    def _is_news(self, catalogue: Catalogue, offered: SignedHead, now: Now) -> bool:
        if not catalogue.followed or not is_due(offered.head, now.unix):
            return False
        log = catalogue.log(offered.head.writer)
        if log.disputes(offered):
            catalogue.dispute(offered.head.writer, offered.head.seq)
        return log.is_behind(offered.head)

    def _adopt(
        self, log: LogId, extension: Extension, source: PeerId | None
    ) -> Iterator[ev.Effect]:
        catalogue = self.catalogues[log.catalogue]
        changes = catalogue.adopt(log.writer, extension)
        heads = tuple((head.head.seq, head.raw) for head in extension.heads)
        yield ev.ExtendLog(log, heads, extension.first, extension.raws)
        yield from self.replica.change(catalogue, changes, source)
        self.sync.extended(log, catalogue.log(log.writer).seq, source)

    def _blame(self, peer: PeerId, check: Check, reason: str) -> Iterator[ev.Effect]:
        self.peers.blame(peer)
        yield ev.Blame(peer, check, reason)

    def _ask(self, now: Now) -> Iterator[ev.Effect]:
        peers = self.peers.asked()
        yield from self.sync.start(peers, self.followed(), self._log, now.monotonic)
        yield from self.replica.start(peers, now.monotonic)


def _damaged(catalogue: CatalogueId, what: str) -> StorageError:
    return StorageError(
        f"the {what} of {catalogue_text(catalogue)} on this disk is damaged",
        hint=f"move the data directory away and start anew: peers still have the {what}",
    )
