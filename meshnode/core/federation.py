"""The federation as this peer knows it, and what follows from what it learns.

Owns what every event works on: the catalogues, the peers, what is asked of them and fetched from
them. Whatever brought a root or a stretch of a log, it is adopted here. What an entry means for a
catalogue is in `catalogue`, which bytes are wanted in `replica`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from meshnode.core.budgets import Budgets
from meshnode.core.catalogue import Catalogue, Changes
from meshnode.core.claims import Claims
from meshnode.core.comparisons import Comparisons
from meshnode.core.delegation import delegated_prefixes
from meshnode.core.denials import Denials
from meshnode.core.durable import AdoptRoot, ExtendLog, KeepFork, StampEntry
from meshnode.core.effects import (
    Announce,
    AskHeads,
    Effect,
    ForgetCatalogue,
    PurgeObject,
    RecallEntries,
)
from meshnode.core.entries import Entry
from meshnode.core.erasure import Erasures
from meshnode.core.events import EntriesRecalled, Now, SnapshotChecked
from meshnode.core.forks import Evidence
from meshnode.core.gossip import is_due, log_of
from meshnode.core.heads import SignedHead
from meshnode.core.holders import Holders
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.log import Extension, Log
from meshnode.core.names import LogId, SegmentKey, SegmentRef
from meshnode.core.newest import NewestRecords
from meshnode.core.notices import notice_of
from meshnode.core.peers import Peers
from meshnode.core.replica import Replica
from meshnode.core.signing import Verify
from meshnode.core.snapshot_checks import SnapshotChecks
from meshnode.core.syncing import Sync
from meshnode.core.verdicts import Topic


class Federation:
    """Invariant: of a catalogue that is not followed, nothing is asked and no object is wanted."""

    def __init__(self, rng: random.Random, check_signature: Verify, budgets: Budgets) -> None:
        self.catalogues: dict[CatalogueId, Catalogue] = {}
        self.peers = Peers()
        self.denials = Denials(self.catalogues)
        self.budgets = budgets
        self.replica = Replica(rng, self._counts, self._heirs, self.denials, budgets)
        self.sync = Sync(rng)
        self.newest = NewestRecords(self.catalogues, lambda name: self.claims.about(name))
        self.claims = Claims(self.catalogues, check_signature, self.newest.changed)
        self.holders = Holders(self.claims, self.peers, rng)
        self.comparisons = Comparisons(self.followed, self.newest, self.peers, self.sync.ask_heads)
        self.erasures = Erasures(self.catalogues)
        self.snapshots = SnapshotChecks(self.catalogues)
        self.check_signature = check_signature
        self._recalled: dict[tuple[LogId, int], None] = {}  # in work, by number of the branch

    def catalogue(self, name: CatalogueId) -> Catalogue:
        """Return a catalogue, from now on known."""
        return self.catalogues.setdefault(name, Catalogue(name))

    def followed(self) -> tuple[CatalogueId, ...]:
        return tuple([c.id for c in self.catalogues.values() if c.followed])

    def denies(self, catalogue: CatalogueId) -> bool:
        """Say whether nothing of a catalogue is told to anybody."""
        return self.denials.denies(Digest(catalogue))

    def withholds(self, name: Digest) -> bool:
        """Say whether an object, or a payload by its key, is served to nobody."""
        return self.denials.withholds(name) or self.erasures.withholds(name)

    def is_news(self, catalogue: Catalogue, offered: SignedHead, now: Now) -> bool:
        if not catalogue.followed or not is_due(offered.head, now.unix):
            return False
        return not catalogue.is_settled(offered.head.writer, offered.name)

    # --- What is asked for ------------------------------------------------------------------------
    def hear_of_head(self, offered: SignedHead, peer: PeerId, now: Now) -> None:
        """Follow a log to this head, and to the last good one if the root closes the log."""
        log = log_of(offered.head)
        catalogue = self.catalogues[log.catalogue]
        if not catalogue.followed:
            return
        if self.is_news(catalogue, offered, now):
            self.want_log(catalogue, offered, peer)
        last = catalogue.last_good(log.writer)
        if last is not None and not catalogue.log(log.writer).holds(last):
            self.sync.want_log(log, last, peer)

    def want_log(self, catalogue: Catalogue, offered: SignedHead, peer: PeerId) -> None:
        """Ask for the way to a head; from a snapshot if nothing of the log is held."""
        log, snapshot = log_of(offered.head), offered.head.snapshot
        is_known = catalogue.log(log.writer).newest_seq > 0
        is_closed = catalogue.closes(log.writer)
        if snapshot and (is_known or is_closed or self.denials.denies(snapshot.object)):
            snapshot = None
        self.sync.want_log(log, offered.name, peer, snapshot)

    def want_roots(self, catalogue: Catalogue, peer: PeerId, after: int | None = None) -> None:
        """Ask for roots of a version above `after`, or above the one in force."""
        assert catalogue.chain is not None
        if catalogue.followed:
            held = catalogue.chain.current.version
            self.sync.want_roots(catalogue.id, held if after is None else after, peer)

    def ask_all(self, catalogue: Catalogue, source: PeerId | None = None) -> Iterator[AskHeads]:
        """Ask every peer for the heads of a catalogue; or `source` alone, who told something."""
        for peer in self.peers.asked():
            if source in (None, peer):
                yield AskHeads(peer, (catalogue.id,))

    def ask(self, now: Now) -> Iterator[Effect]:
        """Yield what is due by now."""
        if self.erasures.is_due(now.unix):
            yield from self.erased(self.erasures.start(now.unix))
        if self.claims.is_due(now.unix):
            yield from self.claims.expire(now.unix)
        if self.sync.is_due(now.monotonic):
            peers = self.peers.asked()
            yield from self.sync.start(peers, self.comparisons.start, self._log, now.monotonic)
        if self.replica.is_due(now.monotonic):
            yield from self.replica.start(self.peers.asked(), now.monotonic)
            yield from self.holders.call(self.replica.lacking(), now.monotonic)

    # --- What follows -----------------------------------------------------------------------------
    def learn_roots(
        self, catalogue: Catalogue, raws: Sequence[bytes], source: PeerId | None
    ) -> Iterator[Effect]:
        """Take in roots; one that comes to a chain already known is announced to others.

        Raises:
            MalformedRecordError, UntrustedError: the roots are not this catalogue's.
        """
        before = catalogue.chain
        chain = catalogue.extended(raws, self.check_signature)
        if chain is None or chain is before:
            return
        changes = catalogue.obey(chain)
        self.newest.roots_changed(catalogue.id)
        for writer in catalogue.logs:
            log = LogId(catalogue.id, writer)
            self.sync.settle(log, partial(catalogue.is_settled, writer), None)
        self.catalogues[catalogue.id] = catalogue
        self.sync.roots_answered(catalogue.id)
        for version, record in chain.beyond(before):
            yield AdoptRoot(catalogue.id, version, record)
            if before is not None:
                yield Announce(notice_of(catalogue.id, record), Topic.STATEMENTS)
        yield from self._changed(catalogue, changes, source)
        for writer in catalogue.logs:
            yield from self.recall(LogId(catalogue.id, writer))
        if catalogue.followed:  # heads of the new root may have been ignored so far
            yield from self.ask_all(catalogue, source)
        if chain.current.delegates or (before is not None and before.current.delegates):
            yield from self.obey_delegations()

    def adopt(
        self, log: LogId, extension: Extension, source: PeerId | None, now: Now
    ) -> Iterator[Effect]:
        """Take in heads and entries that follow what is held."""
        catalogue = self.catalogues[log.catalogue]
        if extension.is_new_branch:
            yield from self.dispute(catalogue, extension.heads[0])
        changes = catalogue.adopt(log.writer, extension)
        self.newest.changed(catalogue.id)
        heads = tuple((head.head.seq, head.raw) for head in extension.heads)
        begun = extension.beginning.raw if extension.beginning else b""
        yield ExtendLog(log, heads, extension.first, extension.raws, extension.number, begun)
        newest = catalogue.log(log.writer).newest(extension)
        yield from self.stamp(catalogue, newest, now)
        yield from self._changed(catalogue, changes, source)
        self.sync.settle(log, partial(catalogue.is_settled, log.writer), source)
        yield from self.snapshots.follow(log)
        yield from self.recall(log)

    def snapshot_checked(self, event: SnapshotChecked) -> Iterator[Effect]:
        """Know whether a snapshot is true; keep in memory only what it lists if it is."""
        if event.is_true:
            self.catalogues[event.log.catalogue].fold(event.log.writer, event)
        yield from self.snapshots.checked(event)

    def recall(self, log: LogId) -> Iterator[RecallEntries]:
        """Ask for the entries that were dropped from memory, and are needed again."""
        held = self._log(log)
        for number in list(held.recall):
            branch = held.branches[number]
            if branch.dropped and (log, number) not in self._recalled:
                self._recalled[log, number] = None
                stop = branch.base_size + branch.dropped
                yield RecallEntries(log, number, branch.base_size, stop)

    def recalled(self, event: EntriesRecalled) -> Iterator[Effect]:
        del self._recalled[event.log, event.branch]
        catalogue = self.catalogues[event.log.catalogue]
        changes = catalogue.unfold(event.log.writer, event.branch, event.entries)
        yield from self._changed(catalogue, changes, None)

    def dispute(self, catalogue: Catalogue, offered: SignedHead) -> Iterator[Effect]:
        """Keep and pass on what this head proves: that its writer signed two histories."""
        evidence = catalogue.witness(offered)
        if evidence is not None:
            yield from self.keep(log_of(offered.head), evidence)
            yield Announce(evidence.raw, Topic.STATEMENTS)

    def keep(self, log: LogId, evidence: Evidence) -> Iterator[Effect]:
        self.catalogues[log.catalogue].forks[log.writer] = evidence
        self.newest.changed(log.catalogue)
        yield KeepFork(log, evidence.raw)

    def stamp(
        self, catalogue: Catalogue, entries: Iterable[tuple[Entry, Digest]], now: Now
    ) -> Iterator[StampEntry]:
        """Note when entries that erase came here: the wait before erasing begins now."""
        for entry in catalogue.unstamped(entries):
            catalogue.stamps[entry] = now.unix
            self.erasures.entries_changed()
            yield StampEntry(catalogue.id, entry, now.unix)

    def erased(self, effects: Iterable[Effect]) -> Iterator[Effect]:
        """Pass on what erases, but for objects that are not here."""
        for effect in effects:
            if isinstance(effect, PurgeObject):
                if effect.digest not in self.replica.objects:
                    continue
                self.replica.purged((effect.digest,))
            yield effect

    def resume(self, catalogue: Catalogue) -> Iterator[Effect]:
        """Want again whatever of a followed catalogue is missing."""
        if catalogue.chain is None:
            self.sync.roots.want(catalogue.id)
        else:
            yield from self.replica.resume(catalogue)

    def obey_delegations(self) -> Iterator[Effect]:
        """Follow the delegates of what is followed, and leave those that are none any more."""
        wanted = delegated_prefixes(self.catalogues, self.denies)
        known = [c for c in self.catalogues.values() if c.delegated]
        for catalogue in known:
            if catalogue.id not in wanted:
                yield from self.leave(catalogue)
        for name, prefixes in wanted.items():
            catalogue = self.catalogue(name)
            if catalogue.delegated == prefixes:
                continue
            is_new = not catalogue.followed
            catalogue.followed, catalogue.delegated = True, prefixes
            yield from self.resume(catalogue)
            if is_new:
                yield from self.ask_all(catalogue)

    def restore_delegations(self) -> None:
        """Follow again whom the roots on the disk name; what follows from it is derived later."""
        for name, prefixes in delegated_prefixes(self.catalogues, self.denies).items():
            catalogue = self.catalogue(name)
            catalogue.followed, catalogue.delegated = True, prefixes

    def leave(self, catalogue: Catalogue) -> Iterator[Effect]:
        """Follow a catalogue no longer."""
        catalogue.followed, catalogue.delegated = False, ()
        self.replica.forget(catalogue.id)
        self.sync.forget(catalogue.id)
        yield from self.claims.leave(catalogue.id)
        yield ForgetCatalogue(catalogue.id)
        yield from self.reconsider()

    def reconsider(self) -> Iterator[Effect]:
        """Want again what was over a budget: there may be room now."""
        waiting = dict.fromkeys(catalogue for catalogue, _ in self.replica.over_budget)
        for catalogue in waiting:
            yield from self.resume(self.catalogues[catalogue])

    def _changed(
        self, catalogue: Catalogue, changes: Changes, source: PeerId | None
    ) -> Iterator[Effect]:
        if changes.recounted:
            self.erasures.recounted(catalogue.id)
        if catalogue.followed:
            yield from self.replica.change(catalogue, changes, source)

    def _log(self, log: LogId) -> Log:
        return self.catalogues[log.catalogue].log(log.writer)

    def _counts(self, key: SegmentKey) -> SegmentRef | None:
        catalogue = self.catalogues.get(key.catalogue)
        if catalogue is None or not catalogue.followed or self.denials.denies(key.digest):
            return None
        if catalogue.delegated and not key.collection.startswith(catalogue.delegated):
            return None
        return catalogue.segment((key.collection, key.digest))

    def _heirs(self, key: SegmentKey) -> list[SegmentRef]:
        catalogue = self.catalogues.get(key.catalogue)
        if catalogue is None or not catalogue.followed or key.digest in catalogue.purged:
            return []
        found = map(catalogue.segment, catalogue.contents.heirs((key.collection, key.digest)))
        return [ref for ref in found if ref is not None]
