"""One institution's catalogue as this peer knows it: root, logs, contents.

Owns what it means to learn something new about a catalogue. Whom to ask is decided by the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from meshnode.core.branches import Branch
from meshnode.core.contents import Contents, Erasing
from meshnode.core.entries import (
    Blueprint,
    CollectionAdded,
    Entry,
    ItemsRemoved,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    ReleaseAdded,
    SegmentRemoved,
    UnknownEntry,
)
from meshnode.core.events import SnapshotChecked
from meshnode.core.forks import Evidence, evidence_of
from meshnode.core.heads import Head, SignedHead
from meshnode.core.identifiers import CatalogueId, Digest, Kid, catalogue_text
from meshnode.core.live_segments import SegmentName
from meshnode.core.log import Extension, Log, LogFault
from meshnode.core.names import HeadName, LogId, SegmentKey, SegmentRef, segment_key
from meshnode.core.notices import Notice
from meshnode.core.roots import Closing
from meshnode.core.signed import encode_signed
from meshnode.core.signing import Verify
from meshnode.core.snapshots import Beginning
from meshnode.core.trust import RootChain, UntrustedError, first_of


@dataclass(frozen=True, slots=True)
class Changes:
    """What adopted entries, or a new root, changed for the index and the object store.

    `recounted`: entries may count no longer, so that all withdrawals are told anew.
    """

    segments: tuple[SegmentName, ...] = ()  # whose standing may have changed
    hidden: tuple[ItemsRemoved, ...] = ()
    objects: tuple[ObjectRef, ...] = ()  # collections, file lists, torrents
    recounted: bool = False


@dataclass(slots=True)
class Catalogue:
    """Invariant: `contents` is the state of those entries in `logs` that count under `chain`.

    `delegated`: prefixes of the collections for whose sake alone it is followed, as the delegate of
    a catalogue that the operator follows; empty if he follows it himself.
    """

    id: CatalogueId
    followed: bool = False
    delegated: tuple[str, ...] = ()
    chain: RootChain | None = None
    logs: dict[Kid, Log] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)
    forks: dict[Kid, Evidence] = field(default_factory=dict)  # the one that counts of each log
    purged: dict[Digest, None] = field(default_factory=dict)  # objects, and keys of payloads
    purged_items: dict[tuple[str, str], None] = field(default_factory=dict)
    stamps: dict[Digest, int] = field(default_factory=dict)  # entry that erases -> when it came

    def log(self, writer: Kid) -> Log:
        log = self.logs.get(writer)
        if log is None:  # not by setdefault: this is asked at each step, and a log is many objects
            log = self.logs[writer] = Log()
        return log

    @property
    def disputed(self) -> dict[Kid, int]:
        """Return the seq from which on the histories of a log differ, of logs that are not closed:
        a closing settles which of them counts.
        """
        return {kid: found.seq for kid, found in self.forks.items() if self._closing(kid) is None}

    def closes(self, writer: Kid) -> bool:
        """Say whether the root closes this writer's log."""
        return self._closing(writer) is not None

    def last_good(self, writer: Kid) -> HeadName | None:
        """Return the head at which the root closes this writer's log, if it closes it at one."""
        closed = self._closing(writer)
        return HeadName(closed.seq, closed.head) if closed else None

    def is_void(self, writer: Kid, name: HeadName) -> bool:
        """Say whether the root has closed the log before this head (L-60).

        Of a head that may lead to the last good one, while that one is not held, nothing is said.
        """
        closed = self._closing(writer)
        if not closed:
            return closed is False
        last = HeadName(closed.seq, closed.head)
        log = self.logs.get(writer)
        branch = log.find(last) if log else None
        if branch is not None:
            return name.seq > last.seq or not branch.holds_at(name.seq, name.digest)
        return name.seq >= last.seq and name != last

    def is_settled(self, writer: Kid, name: HeadName) -> bool:
        """Say whether nothing is to be asked about this head: it is held, void, or one too many."""
        log = self.log(writer)
        return log.holds(name) or name in log.refused or self.is_void(writer, name)

    def consider(
        self,
        writer: Kid,
        heads: Sequence[SignedHead],
        first: int,
        entries: Sequence[bytes],
        beginning: Beginning | None = None,
    ) -> Extension | LogFault:
        """Say what of this the log can adopt; heads that a closing voids are left out."""
        counted = [head for head in heads if not self.is_void(writer, head.name)]
        last = self.last_good(writer)
        good = last.digest if last else None
        return self.log(writer).consider(counted, first, entries, good, beginning)

    def witness(self, offered: SignedHead) -> Evidence | None:
        """Return evidence that this authentic head makes with one that is held, if it counts."""
        rival = next(self.log(offered.head.writer).rivals(offered.name), None)
        if rival is None or not self.is_earlier(offered.head):
            return None
        return evidence_of(rival, offered.raw)

    def is_earlier(self, head: Head) -> bool:
        """Say whether a fork at this head is one before that of which evidence is held (L-39)."""
        known = self.forks.get(head.writer)
        return known is None or head.seq < known.seq

    def adopt(self, writer: Kid, extension: Extension) -> Changes:
        log = self.log(writer)
        log.adopt(extension)
        last = self.last_good(writer)
        if last is not None and (len(log.branches) > 1 or log.seq >= last.seq):
            return self._recount()  # now it may be known which branch the last good head is on
        valid: list[Entry] = []
        touched: list[SegmentName] = []
        for entry, digest in self._admitted(writer, log.newest(extension)):
            valid.append(entry)
            touched += self.contents.apply(writer, entry, digest)
        return Changes(
            segments=tuple(dict.fromkeys(touched)),
            hidden=tuple(entry for entry in valid if isinstance(entry, ItemsRemoved)),
            objects=self._without_purged(ref for entry in valid for ref in objects_of(entry)),
        )

    def fold(self, writer: Kid, event: SnapshotChecked) -> None:
        """Drop from memory what a true snapshot of a log does not list."""
        log = self.log(writer)
        if not self.closes(writer) and log.fold(event.ref, event.frontier, event.listed):
            self._recount()  # what counts stays as it is

    def unfold(self, writer: Kid, number: int, raws: Sequence[bytes]) -> Changes:
        """Take back the entries of a branch that were dropped."""
        self.log(writer).unfold(number, raws)
        return self._recount()

    def extended(self, raws: Sequence[bytes], check_signature: Verify) -> RootChain | None:
        """Return the chain with these roots and purges; None if there is none, and nothing new.

        Raises:
            MalformedRecordError, UntrustedError: they are not this catalogue's.
        """
        if self.chain is not None:
            return self.chain.extend(raws, check_signature)
        if not raws:
            return None
        chain = RootChain.begin(first_of(self.id, raws), check_signature)
        if chain.catalogue != self.id:
            raise UntrustedError(f"the root is that of {catalogue_text(chain.catalogue)}")
        return chain.extend(raws, check_signature)

    def learns(self, notice: Notice, check_signature: Verify) -> bool:
        """Say whether a notice tells something new that is authentic.

        Raises:
            MalformedRecordError, UntrustedError: it is not this catalogue's.
        """
        assert self.chain is not None
        return self.chain.extend([encode_signed(notice.signed)], check_signature) is not self.chain

    def obey(self, chain: RootChain) -> Changes:
        """Take over a chain of roots, and count all entries anew if it grants something else."""
        before, self.chain = self.chain, chain
        if before is None:
            self._take_purges(chain)
            return Changes()
        if before.current.writers == chain.current.writers and before.purging == chain.purging:
            return Changes()
        purged = self.purged
        self._take_purges(chain)
        changes = self._recount()
        purging = (n for n in self.contents.segments if (n[1] in purged) != (n[1] in self.purged))
        segments = dict.fromkeys([*changes.segments, *purging])
        return replace(changes, segments=tuple(segments))

    def _recount(self) -> Changes:
        """Count all entries anew."""
        old, new = self.contents, Contents()
        for writer in self.logs:
            for entry, digest in self._counted(writer):
                new.apply(writer, entry, digest)
        self.contents = new
        return Changes(new.differing_segments(old), (), self.objects(), recounted=True)

    def _take_purges(self, chain: RootChain) -> None:
        purges = [signed.purge for signed in chain.purging]
        self.purged = {digest: None for purge in purges for digest in purge.objects}
        self.purged_items = {(i.collection, i.id): None for p in purges for i in p.items}

    def objects(self) -> tuple[ObjectRef, ...]:
        """Return the collection documents, file lists and torrents that count."""
        return self._without_purged(self.contents.objects())

    def _without_purged(self, refs: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
        return tuple(ref for ref in refs if ref.digest not in self.purged)

    def withdraws(self, name: Digest) -> bool:
        """Say whether an object, or a payload by its key, is purged or withdrawn to be erased."""
        if name in self.purged:
            return True
        for entry in self.contents.erasing.values():
            match entry:
                case SegmentRemoved():
                    named = [entry.segment]
                case PayloadRemoved():
                    payloads = self.contents.payloads_named(entry.key)
                    refs = [ref.digest for p in payloads for ref in (p.files, p.torrent)]
                    named = [entry.key, *refs]
                case _:
                    named = []
            if name in named:
                return True
        return False

    def counts(self, name: Digest) -> bool:
        """Say whether an object, or a payload by its key, is one that this catalogue holds."""
        segments = (key for key in self.contents.segments if key[1] == name)
        if any(self.segment(key) is not None for key in segments):
            return True
        payloads = (key for _, key in self.contents.live_payloads())
        refs = (ref.digest for ref in self.contents.objects())
        return name not in self.purged and (name in payloads or name in refs)

    def unstamped(self, entries: Iterable[tuple[Entry, Digest]]) -> tuple[Digest, ...]:
        """Return the entries that erase and of which no time is known."""
        return tuple(
            digest
            for entry, digest in entries
            if isinstance(entry, Erasing) and entry.reason.erases and digest not in self.stamps
        )

    def segment(self, name: SegmentName) -> SegmentRef | None:
        """Return the segment as the log names it, if it counts."""
        live = self.contents.live_segment(name)
        if live is None or name[1] in self.purged:
            return None
        writer, entry = live
        return SegmentRef.of(LogId(self.id, writer), entry)

    def key(self, name: SegmentName) -> SegmentKey:
        return segment_key(self.id, *name)

    def _closing(self, writer: Kid) -> Closing | None:
        """Return how the root closes a writer's log: False, if nothing of it counts."""
        grant = self.chain.writer(writer) if self.chain else None
        return grant.closed if grant else False

    def _counted(self, writer: Kid) -> Iterator[tuple[Entry, Digest]]:
        """Yield the entries that count: what its closing leaves of a log (L-60), within the
        writer's prefixes. The others are void: kept in the log, without effect on the state.

        While the last good head is not held, a shorter branch may lead to it, and counts.
        """
        log, closed = self.log(writer), self._closing(writer)
        last = self.last_good(writer)
        branch = log.find(last) if last else None
        if last and branch:
            ends = [(branch, last.seq)]
        else:
            ends = [(b, b.seq) for b in log.branches if not self._is_beyond(b, closed)]
        yield from self._admitted(writer, log.entries(ends))

    def _is_beyond(self, branch: Branch, closed: Closing | None) -> bool:
        return closed is False or (closed is not None and branch.seq >= closed.seq)

    def _admitted(
        self, writer: Kid, entries: Iterable[tuple[Entry, Digest]]
    ) -> Iterator[tuple[Entry, Digest]]:
        """Yield the entries within the writer's prefixes, if the root lists him and his log."""
        assert self.chain is not None
        grant = self.chain.writer(writer)
        if grant is None or grant.closed is False:
            return
        if grant.prefixes is None:
            yield from entries
            return
        for entry, digest in entries:
            if isinstance(entry, UnknownEntry) or self.chain.admits(grant, entry.collection):
                yield entry, digest


def objects_of(entry: Entry) -> tuple[ObjectRef, ...]:
    """Return the objects beside segments that a peer needs to make sense of the entry."""
    match entry:
        case CollectionAdded():
            return (entry.object,)
        case PayloadAdded():
            return (entry.files, entry.torrent)
        case ReleaseAdded(blueprint=Blueprint(manifest, environment)):
            return (manifest, environment)
        case _:
            return ()
