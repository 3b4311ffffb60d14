"""One institution's catalogue as this peer knows it: root, logs, contents.

Owns what it means to learn something new about a catalogue. Whom to ask is decided by the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from meshnode.core.contents import Contents, Erasing, SegmentName
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    ItemsRemoved,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    SegmentRemoved,
    UnknownEntry,
)
from meshnode.core.events import LogId, SegmentKey, SegmentRef
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.log import Extension, Log, LogFault
from meshnode.core.notices import Notice
from meshnode.core.roots import Writer
from meshnode.core.signed import encode_signed
from meshnode.core.signing import Verify
from meshnode.core.trust import RootChain


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
    """Invariant: `contents` is the state of those entries in `logs` that count under `chain`."""

    id: CatalogueId
    followed: bool = False
    chain: RootChain | None = None
    logs: dict[Kid, Log] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)
    disputed: dict[Kid, int] = field(default_factory=dict)  # writer -> first seq that differs
    purged: dict[Digest, None] = field(default_factory=dict)  # objects, and keys of payloads
    purged_items: dict[tuple[str, str], None] = field(default_factory=dict)
    stamps: dict[Digest, int] = field(default_factory=dict)  # entry that erases -> when it came

    def log(self, writer: Kid) -> Log:
        return self.logs.setdefault(writer, Log())

    def last_seq(self, writer: Kid) -> int | None:
        """Return the greatest seq at which heads of this writer may count, None without end."""
        assert self.chain is not None
        grant = self.chain.writer(writer)
        if grant is None or grant.closed is False:
            return 0
        return None if grant.closed is None else grant.closed.seq

    def is_void(self, offered: SignedHead) -> bool:
        """Say whether the root has closed the log before this head (L-60)."""
        assert self.chain is not None
        grant = self.chain.writer(offered.head.writer)
        if grant is None or grant.closed is False:
            return True
        if grant.closed is None or offered.head.seq < grant.closed.seq:
            return False
        return offered.signed.digest != grant.closed.head

    def consider(
        self, writer: Kid, heads: Sequence[SignedHead], first: int, entries: Sequence[bytes]
    ) -> Extension | LogFault:
        """Say what of this the log can adopt; heads beyond a closing are left out."""
        counted = [head for head in heads if not self.is_void(head)]
        result = self.log(writer).consider(counted, first, entries)
        if isinstance(result, LogFault) and result.forked_at is not None:
            self.dispute(writer, result.forked_at)
        return result

    def dispute(self, writer: Kid, seq: int) -> None:
        """Remember that the writer signed two histories from about `seq` on."""
        self.disputed[writer] = min(seq, self.disputed.get(writer, seq))

    def adopt(self, writer: Kid, extension: Extension) -> Changes:
        log = self.log(writer)
        log.adopt(extension)
        valid: list[Entry] = []
        touched: dict[SegmentName, None] = {}
        for entry, digest in self._counted(writer, log, extension.first):
            valid.append(entry)
            touched |= dict.fromkeys(self.contents.apply(writer, entry, digest))
        return Changes(
            segments=tuple(touched),
            hidden=tuple(entry for entry in valid if isinstance(entry, ItemsRemoved)),
            objects=self._without_purged(ref for entry in valid for ref in objects_of(entry)),
        )

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
        old, new = self.contents, Contents()
        for writer, log in self.logs.items():
            for entry, digest in self._counted(writer, log):
                new.apply(writer, entry, digest)
        self.contents = new
        differing = dict.fromkeys(new.differing_segments(old))
        differing |= {n: None for n in new.segments if (n[1] in purged) != (n[1] in self.purged)}
        return Changes(tuple(differing), (), self.objects(), recounted=True)

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

    def unstamped(self, writer: Kid, first: int = 0) -> tuple[Digest, ...]:
        """Return the entries from index `first` that erase and of which no time is known."""
        return tuple(
            digest
            for entry, digest in self.log(writer).entries[first:]
            if isinstance(entry, Erasing) and entry.reason.erases and digest not in self.stamps
        )

    def segment(self, name: SegmentName) -> SegmentRef | None:
        """Return the segment as the log names it, if it counts."""
        live = self.contents.live_segment(name)
        if live is None or name[1] in self.purged:
            return None
        writer, entry = live
        return SegmentRef(
            log=LogId(self.id, writer),
            collection=entry.collection,
            digest=entry.segment,
            size_bytes=entry.size_bytes,
            rows=entry.rows,
            format=entry.format,
            clock=entry.clock,
            bbox=entry.bbox,
            span=entry.span,
        )

    def key(self, name: SegmentName) -> SegmentKey:
        return SegmentKey(self.id, *name)

    def _counted(self, writer: Kid, log: Log, first: int = 0) -> Iterator[tuple[Entry, Digest]]:
        """Yield the entries from index `first` that count: not beyond a closing, and within the
        writer's prefixes. The others are void: kept in the log, without effect on the state.
        """
        assert self.chain is not None
        grant = self.chain.writer(writer)
        if grant is None:
            return
        for entry, digest in log.entries[first : _size_counted(log, grant)]:
            if isinstance(entry, UnknownEntry) or self.chain.admits(grant, entry.collection):
                yield entry, digest


def _size_counted(log: Log, grant: Writer) -> int:
    """Return how many entries of the log its closing leaves (L-60).

    A log that has another head than the last good one at its seq is a branch of which nobody here
    can tell how far it is common: nothing of it counts.
    """
    closed = grant.closed
    if closed is None:
        return log.size
    if closed is False:
        return 0
    if log.seq < closed.seq:
        return log.size
    return log.size_at(closed.seq) if log.holds_at(closed.seq, closed.head) else 0


def objects_of(entry: Entry) -> tuple[ObjectRef, ...]:
    """Return the objects beside segments that a peer needs to make sense of the entry."""
    match entry:
        case CollectionAdded():
            return (entry.object,)
        case PayloadAdded():
            return (entry.files, entry.torrent)
        case _:
            return ()
