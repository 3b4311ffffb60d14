"""The peer as a state machine: events in, effects out. Everything a peer decides is decided here.

    effects = node.handle(events, now)

The runtime drives it under trio, libp2p and libtorrent; simulations drive the same class, by the
thousand, under a simulated clock and network. This file dispatches: what an entry means for a
catalogue is in `catalogue`, what may pass in `gossip` and `submission`, which bytes are wanted in
`replica`, what is asked of whom in `syncing`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import assert_never

from meshnode.core import events as ev
from meshnode.core.catalogue import Catalogue, Changes
from meshnode.core.denials import Denials
from meshnode.core.denylist import parse_deny_list
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import Entry
from meshnode.core.erasure import Erasures
from meshnode.core.events import (
    Check,
    HeadName,
    LogId,
    Now,
    SegmentKey,
    SegmentRef,
    Stretch,
    Verdict,
)
from meshnode.core.forks import Evidence, is_fork
from meshnode.core.gossip import Gate, Refusal, announce, is_due, log_of
from meshnode.core.heads import AnnouncedHead, SignedHead, decode_announcement
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.log import Extension, Log, LogFault
from meshnode.core.notices import decode_notice, is_notice, notice_of
from meshnode.core.overview import CatalogueOverview, Overview, RefusedSegment, describe
from meshnode.core.peers import Peers
from meshnode.core.replica import Replica
from meshnode.core.restoring import restore_chain, restore_log
from meshnode.core.signed import encode_signed
from meshnode.core.signing import Verify, verify
from meshnode.core.submission import examine
from meshnode.core.syncing import Sync
from meshnode.core.trust import UntrustedError


class Node:
    """One catalogue peer.

    Args:
        rng: the only source of randomness.
        check_signature: injected so that simulations can memoise it.
    """

    def __init__(self, rng: random.Random, check_signature: Verify = verify) -> None:
        self.catalogues: dict[CatalogueId, Catalogue] = {}
        self.peers = Peers()
        self.denials = Denials(self.catalogues)
        self.replica = Replica(rng, self._counts, self._heirs, self.denials)
        self.sync = Sync(rng)
        self.erasures = Erasures(self.catalogues)
        self.read_only = ""  # why nothing is written any more
        self._check_signature = check_signature
        self._gate = Gate(self.catalogues, check_signature, self.denies)

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

    def withholds(self, name: Digest) -> bool:
        """Say whether an object, or a payload by its key, is served to nobody."""
        return self.denials.withholds(name) or self.erasures.withholds(name)

    def expects(self, name: Digest) -> bool:
        """Say whether an object is being fetched now, and will be served when it is here."""
        return name in self.replica.fetches.in_flight and not self.withholds(name)

    def denies(self, catalogue: CatalogueId) -> bool:
        """Say whether nothing of a catalogue is told to anybody."""
        return self.denials.denies(Digest(catalogue))

    def newest_roots(self, catalogues: Sequence[CatalogueId]) -> tuple[ev.RootName, ...]:
        """Name what others need to agree on whom to trust: the newest root, if it is not the first,
        its rivals, and the purges that count.
        """
        told = (c for c in catalogues if c in self.catalogues and not self.denies(c))
        known = (self.catalogues[c].chain for c in told)
        return tuple(
            ev.RootName(chain.catalogue, version, digest)
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
            restore_chain(self._catalogue(catalogue_id), roots, self._check_signature)
        self._restore_denials(restored)
        for stored in restored.logs:
            restore_log(self._catalogue(stored.log.catalogue), stored, self._check_signature)
        for raw in restored.forks:
            self._restore_fork(raw)
        effects: list[ev.Effect] = list(self.replica.restore(restored))
        effects += self._restore_stamps(restored.stamps, now)
        for catalogue_id in self.followed():
            effects += self._resume(self.catalogues[catalogue_id])
        effects += map(ev.StopPayload, self.denials.stopped())
        return effects + list(self._ask(now))

    def _restore_denials(self, restored: ev.Restored) -> None:
        for kept in restored.deny_lists:
            self.denials.change(kept.name, parse_deny_list(kept.raw))
        for catalogue_id in restored.followed:
            if self.denies(catalogue_id):
                self.denials.suspended[catalogue_id] = None
            self._catalogue(catalogue_id).followed = not self.denies(catalogue_id)

    def _restore_stamps(self, stamps: Sequence[ev.StampEntry], now: Now) -> Iterator[ev.StampEntry]:
        """Take over when entries that erase came; one whose stamp was lost came now."""
        for stamp in stamps:
            self._catalogue(stamp.catalogue).stamps[stamp.entry] = stamp.stored
        for catalogue in self.catalogues.values():
            for log in catalogue.logs.values():
                for branch in log.branches:
                    yield from self._stamp(catalogue, branch.entries, now)

    def _restore_fork(self, raw: bytes) -> None:
        found = self._gate.read_fork(raw)
        if not isinstance(found, Refusal):
            head = found[0].head
            self.catalogues[head.catalogue].forks[head.writer] = Evidence(head.seq, raw)

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
            case ev.HeadsReceived():
                yield from self._on_heads(event, now)
            case ev.RootsReceived():
                yield from self._on_roots(event)
            case ev.LogReceived():
                yield from self._on_log(event, now)
            case ev.RequestFailed():
                yield from self._on_failed(event)
            case ev.ObjectStored(digest):
                yield from self._on_stored(digest)
            case ev.ObjectsPurged(digests):
                self.replica.purged(digests)
            case ev.ObjectLost(digest):
                self._on_lost(digest)
            case ev.SegmentIndexed(ref):
                self.erasures.indexed(ref)
                yield from self.replica.segment_indexed(ref)
            case ev.SegmentRefused():
                yield from self.replica.segment_refused(event)
            case ev.Followed():
                yield from self._on_followed(event)
            case ev.Unfollowed():
                yield from self._on_unfollowed(event)
            case ev.Submitted():
                yield from self._on_submitted(event, now)
            case ev.DenyListChanged():
                yield from self._on_deny_list(event)
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
            case (
                ev.Followed(ticket)
                | ev.Unfollowed(ticket)
                | ev.Submitted(ticket)
                | ev.DenyListChanged(ticket)
            ):
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
        if is_notice(raw):
            yield from self._on_notice(peer, raw)
            return
        if is_fork(raw):
            yield from self._on_fork(peer, raw, now)
            return
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
        yield from self._dispute(catalogue, offered)
        result = catalogue.consider(log.writer, [offered], announced.first, announced.entries)
        if isinstance(result, Extension) and result.heads:
            yield from self._adopt(log, result, peer, now)
        elif isinstance(result, LogFault) and result.is_excess:
            catalogue.log(log.writer).refuse(offered.name)
        else:
            self.sync.want_log(log, offered.name, peer)

    def _on_fork(self, peer: PeerId, raw: bytes, now: Now) -> Iterator[ev.Effect]:
        """Keep evidence of a fork, and follow both its sides."""
        found = self._gate.read_fork(raw)
        if isinstance(found, Refusal):
            if found.verdict is Verdict.REJECT:
                yield from self._blame(peer, found.check, found.reason)
            return
        yield from self._keep(log_of(found[0].head), Evidence(found[0].head.seq, raw))
        for offered in found:
            self._hear_of_head(offered, peer, now)

    def _dispute(self, catalogue: Catalogue, offered: SignedHead) -> Iterator[ev.Effect]:
        """Keep and pass on what this head proves: that its writer signed two histories."""
        evidence = catalogue.witness(offered)
        if evidence is not None:
            yield from self._keep(log_of(offered.head), evidence)
            yield ev.Announce(evidence.raw, ev.Topic.STATEMENTS)

    def _keep(self, log: LogId, evidence: Evidence) -> Iterator[ev.Effect]:
        self.catalogues[log.catalogue].forks[log.writer] = evidence
        yield ev.KeepFork(log, evidence.raw)

    def _on_notice(self, peer: PeerId, raw: bytes) -> Iterator[ev.Effect]:
        refusal = self._gate.judge_notice(raw)
        if refusal is None:
            notice = decode_notice(raw)
            catalogue = self.catalogues[notice.catalogue]
            yield from self._learn_roots(catalogue, [encode_signed(notice.signed)], peer)
        elif refusal.verdict is Verdict.REJECT:
            yield from self._blame(peer, refusal.check, refusal.reason)

    def _on_heads(self, event: ev.HeadsReceived, now: Now) -> Iterator[ev.Effect]:
        for name in event.roots:
            self._hear_of_root(name, event.peer)
        for raw in event.raws:
            offered = self._gate.read(raw)
            if isinstance(offered, SignedHead):
                self._hear_of_head(offered, event.peer, now)
                if self._is_news(
                    catalogue := self.catalogues[offered.head.catalogue], offered, now
                ):
                    yield from self._dispute(catalogue, offered)
            elif offered.verdict is Verdict.REJECT:
                yield from self._blame(event.peer, offered.check, offered.reason)
                return
            elif offered.lacks_roots is not None:
                self._want_roots(self.catalogues[offered.lacks_roots], event.peer)

    def _hear_of_head(self, offered: SignedHead, peer: PeerId, now: Now) -> None:
        """Follow a log to this head, and to the last good one if the root closes the log."""
        log = log_of(offered.head)
        catalogue = self.catalogues[log.catalogue]
        if not catalogue.followed:
            return
        if self._is_news(catalogue, offered, now):
            self.sync.want_log(log, offered.name, peer)
        last = catalogue.last_good(log.writer)
        if last is not None and not catalogue.log(log.writer).holds(last):
            self.sync.want_log(log, last, peer)

    def _hear_of_root(self, name: ev.RootName, peer: PeerId) -> None:
        catalogue = self.catalogues.get(name.catalogue)
        if catalogue is None or catalogue.chain is None or catalogue.chain.holds(name.digest):
            return
        self._want_roots(catalogue, peer, min(name.version - 1, catalogue.chain.current.version))

    def _want_roots(self, catalogue: Catalogue, peer: PeerId, after: int | None = None) -> None:
        assert catalogue.chain is not None
        if catalogue.followed:
            held = catalogue.chain.current.version
            self.sync.want_roots(catalogue.id, held if after is None else after, peer)

    def _on_roots(self, event: ev.RootsReceived) -> Iterator[ev.Effect]:
        peer, catalogue = event.peer, self.catalogues.get(event.catalogue)
        if catalogue is None or not self.sync.roots.is_in_flight(catalogue.id, peer):
            return  # it was not asked, or answered too late
        try:
            yield from self._learn_roots(catalogue, event.raws, peer)
        except MalformedRecordError as error:
            yield from self._blame(peer, Check.ENCODING, str(error))
        except UntrustedError as error:
            yield from self._blame(peer, Check.ROOT, str(error))
        self._roots_asked(catalogue, peer)

    def _roots_asked(self, catalogue: Catalogue, peer: PeerId) -> None:
        """A peer was asked for roots, in vain or not: only the first is asked for until found."""
        if catalogue.chain is None:
            self.sync.roots.failed(catalogue.id, peer)
        else:
            self.sync.roots_answered(catalogue.id)

    def _on_log(self, event: ev.LogReceived, now: Now) -> Iterator[ev.Effect]:
        if not self.sync.logs.is_in_flight(event.log, event.peer):
            return  # it was not asked, or answered too late
        catalogue = self.catalogues[event.log.catalogue]
        heads = self._heads_of(event, now)
        if isinstance(heads, LogFault):
            yield from self._log_refused(event, (), heads)
            return
        result = catalogue.consider(event.log.writer, heads, event.first, event.entries)
        if isinstance(result, LogFault):
            yield from self._log_refused(event, heads, result)
        elif result.heads:
            yield from self._caught_up(event, catalogue, result, now)
        else:
            self.sync.log_failed(event.log, event.peer)

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

    def _log_refused(
        self, event: ev.LogReceived, heads: Sequence[SignedHead], fault: LogFault
    ) -> Iterator[ev.Effect]:
        if not fault.is_excess:
            yield from self._blame(event.peer, fault.check, fault.reason)
            self.sync.log_failed(event.log, event.peer)
            return
        catalogue = self.catalogues[event.log.catalogue]
        for head in heads:
            yield from self._dispute(catalogue, head)
        catalogue.log(event.log.writer).refuse(heads[-1].name)
        self.sync.settle(event.log, partial(catalogue.is_settled, event.log.writer), event.peer)

    def _caught_up(
        self, event: ev.LogReceived, catalogue: Catalogue, extension: Extension, now: Now
    ) -> Iterator[ev.Effect]:
        """Adopt what was asked for. What gossip did not bring here it may not have brought to
        others either, so a log that was already known is announced again.
        """
        was_known = catalogue.log(event.log.writer).newest_seq > 0
        yield from self._adopt(event.log, extension, event.peer, now)
        if was_known:
            newest = extension.heads[-1]
            yield ev.Announce(announce(newest, newest.head.size, ()))

    def _on_failed(self, event: ev.RequestFailed) -> Iterator[ev.Effect]:
        match event.request:
            case ev.AskHeads():
                pass  # the next poll asks again
            case ev.AskRoots(peer, catalogue, attempt=attempt):
                if self.sync.roots.is_in_flight(catalogue, peer, attempt):
                    self._roots_asked(self.catalogues[catalogue], peer)
            case ev.AskLog(peer, log, attempt=attempt):
                self.sync.log_failed(log, peer, attempt)
            case ev.FetchObject():
                self.replica.fetch_failed(event.request, at_fault=event.check is not None)
            case _:
                assert_never(event.request)
        if event.check is not None:
            yield from self._blame(event.request.peer, event.check, event.reason)

    def _on_stored(self, digest: Digest) -> Iterator[ev.Effect]:
        """Take in an object; one that was denied while it came does not stay."""
        if self.denials.denies(digest) and digest not in self.replica.objects:
            yield ev.PurgeObject(digest)
        else:
            yield from self.replica.stored(digest)

    def _on_lost(self, digest: Digest) -> None:
        """Fetch it again for all that counts it, unless it is withdrawn so that nobody gets it."""
        self.replica.lost(digest)
        if not self.withholds(digest):
            for catalogue in self.followed():
                self.replica.want_again(self.catalogues[catalogue], digest)

    # --- The operator -----------------------------------------------------------------------------
    def _on_followed(self, event: ev.Followed) -> Iterator[ev.Effect]:
        known = self.catalogues.get(event.catalogue)
        catalogue = known or Catalogue(event.catalogue)
        if self.denies(event.catalogue):
            yield ev.Answer(event.ticket, "this catalogue is on this peer's deny list")
            return
        if event.roots:
            try:
                yield from self._learn_roots(catalogue, event.roots, None)
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
        was_suspended = event.catalogue in self.denials.suspended
        if catalogue is None or not (catalogue.followed or was_suspended):
            yield ev.Answer(event.ticket, "this catalogue is not followed")
            return
        self.denials.suspended.pop(event.catalogue, None)
        yield ev.SetFollowed(catalogue.id, followed=False)
        if catalogue.followed:
            yield from self._leave(catalogue)
        yield ev.Answer(event.ticket)

    def _leave(self, catalogue: Catalogue) -> Iterator[ev.Effect]:
        catalogue.followed = False
        self.replica.forget(catalogue.id)
        self.sync.forget(catalogue.id)
        yield ev.ForgetCatalogue(catalogue.id)

    def _on_deny_list(self, event: ev.DenyListChanged) -> Iterator[ev.Effect]:
        """Put a list in force: what it denies goes, and what none denies any more comes back."""
        hidden, stopped = self.denials.items(), self.denials.stopped()
        yield ev.KeepDenyList(event.name, event.raw)
        self.denials.change(event.name, event.deny_list if event.raw else None)
        self.replica.drop_denied()
        shown = hidden.keys() - self.denials.items().keys()
        for catalogue_id, collection, _ in sorted(shown):
            if (catalogue := self.catalogues.get(catalogue_id)) is not None:
                self.replica.index_anew(catalogue, collection)
        for catalogue in list(self.catalogues.values()):
            yield from self._obey_lists(catalogue)
        stops = self.denials.stopped()
        yield from (ev.StopPayload(key) for key in stops if key not in stopped)
        for key in stopped:
            if key not in stops and not self.withholds(key):
                yield ev.ServePayload(key)
        if event.erase:
            yield from self._erased(self.denials.erasing(dict(self.replica.objects)))
        yield ev.Answer(event.ticket)

    def _obey_lists(self, catalogue: Catalogue) -> Iterator[ev.Effect]:
        is_denied = self.denies(catalogue.id)
        if catalogue.followed and is_denied:
            self.denials.suspended[catalogue.id] = None
            yield from self._leave(catalogue)
        elif catalogue.followed:
            yield from self._resume(catalogue)
        elif catalogue.id in self.denials.suspended and not is_denied:
            del self.denials.suspended[catalogue.id]
            catalogue.followed = True
            yield from self._resume(catalogue)
            for peer in self.peers.asked():
                yield ev.AskHeads(peer, (catalogue.id,))

    def _on_submitted(self, event: ev.Submitted, now: Now) -> Iterator[ev.Effect]:
        result = examine(event, self.catalogues, self._gate, now.unix)
        if isinstance(result, str):
            yield ev.Answer(event.ticket, result)
            return
        if result is not None:
            newest = result.heads[-1]
            yield from self._adopt(log_of(newest.head), result, None, now)
            yield ev.Announce(announce(newest, result.first, result.raws))
        yield ev.Answer(event.ticket)

    # --- What follows -----------------------------------------------------------------------------
    def _catalogue(self, catalogue: CatalogueId) -> Catalogue:
        return self.catalogues.setdefault(catalogue, Catalogue(catalogue))

    def _log(self, log: LogId) -> Log:
        return self.catalogues[log.catalogue].log(log.writer)

    def _counts(self, key: SegmentKey) -> SegmentRef | None:
        catalogue = self.catalogues.get(key.catalogue)
        if catalogue is None or not catalogue.followed or self.denials.denies(key.digest):
            return None
        return catalogue.segment((key.collection, key.digest))

    def _heirs(self, key: SegmentKey) -> list[SegmentRef]:
        catalogue = self.catalogues.get(key.catalogue)
        if catalogue is None or not catalogue.followed or key.digest in catalogue.purged:
            return []
        found = map(catalogue.segment, catalogue.contents.heirs((key.collection, key.digest)))
        return [ref for ref in found if ref is not None]

    def _resume(self, catalogue: Catalogue) -> Iterator[ev.Effect]:
        if catalogue.chain is None:
            self.sync.roots.want(catalogue.id)
        else:
            yield from self.replica.resume(catalogue)

    def _learn_roots(
        self, catalogue: Catalogue, raws: Sequence[bytes], source: PeerId | None
    ) -> Iterator[ev.Effect]:
        """Take in roots; one that comes to a chain already known is announced to others.

        Raises:
            MalformedRecordError, UntrustedError: the roots are not this catalogue's.
        """
        before = catalogue.chain
        chain = catalogue.extended(raws, self._check_signature)
        if chain is None or chain is before:
            return
        changes = catalogue.obey(chain)
        for writer in catalogue.logs:
            log = LogId(catalogue.id, writer)
            self.sync.settle(log, partial(catalogue.is_settled, writer), None)
        self.catalogues[catalogue.id] = catalogue
        self.sync.roots_answered(catalogue.id)
        for version, record in chain.beyond(before):
            yield ev.AdoptRoot(catalogue.id, version, record)
            if before is not None:
                yield ev.Announce(notice_of(catalogue.id, record), ev.Topic.STATEMENTS)
        yield from self._changed(catalogue, changes, source)
        if catalogue.followed:
            for peer in self.peers.asked():
                if source in (None, peer):  # heads of the new root may have been ignored so far
                    yield ev.AskHeads(peer, (catalogue.id,))

    def _is_news(self, catalogue: Catalogue, offered: SignedHead, now: Now) -> bool:
        if not catalogue.followed or not is_due(offered.head, now.unix):
            return False
        return not catalogue.is_settled(offered.head.writer, offered.name)

    def _adopt(
        self, log: LogId, extension: Extension, source: PeerId | None, now: Now
    ) -> Iterator[ev.Effect]:
        catalogue = self.catalogues[log.catalogue]
        if extension.is_new_branch:
            yield from self._dispute(catalogue, extension.heads[0])
        changes = catalogue.adopt(log.writer, extension)
        heads = tuple((head.head.seq, head.raw) for head in extension.heads)
        yield ev.ExtendLog(log, heads, extension.first, extension.raws, extension.number)
        newest = catalogue.log(log.writer).newest(extension)
        yield from self._stamp(catalogue, newest, now)
        yield from self._changed(catalogue, changes, source)
        self.sync.settle(log, partial(catalogue.is_settled, log.writer), source)

    def _changed(
        self, catalogue: Catalogue, changes: Changes, source: PeerId | None
    ) -> Iterator[ev.Effect]:
        if changes.recounted:
            self.erasures.recounted(catalogue.id)
        if catalogue.followed:
            yield from self.replica.change(catalogue, changes, source)

    def _stamp(
        self, catalogue: Catalogue, entries: Iterable[tuple[Entry, Digest]], now: Now
    ) -> Iterator[ev.StampEntry]:
        """Note when entries that erase came here: the wait before erasing begins now."""
        for entry in catalogue.unstamped(entries):
            catalogue.stamps[entry] = now.unix
            self.erasures.entries_changed()
            yield ev.StampEntry(catalogue.id, entry, now.unix)

    def _erase(self, now: Now) -> Iterator[ev.Effect]:
        yield from self._erased(self.erasures.start(now.unix))

    def _erased(self, effects: Iterable[ev.Effect]) -> Iterator[ev.Effect]:
        for effect in effects:
            if isinstance(effect, ev.PurgeObject):
                if effect.digest not in self.replica.objects:
                    continue
                self.replica.purged((effect.digest,))
            yield effect

    def _blame(self, peer: PeerId, check: Check, reason: str) -> Iterator[ev.Effect]:
        self.peers.blame(peer)
        yield ev.Blame(peer, check, reason)

    def _ask(self, now: Now) -> Iterator[ev.Effect]:
        yield from self._erase(now)
        peers = self.peers.asked()
        yield from self.sync.start(peers, self.followed(), self._log, now.monotonic)
        yield from self.replica.start(peers, now.monotonic)
