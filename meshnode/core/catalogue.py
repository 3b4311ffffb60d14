"""One institution's catalogue as this peer knows it: root, logs, contents.

Owns what it means to learn something new about a catalogue. Whom to ask is decided by the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meshnode.core.contents import Contents, SegmentName
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    ItemsRemoved,
    ObjectRef,
    PayloadAdded,
    UnknownEntry,
)
from meshnode.core.events import LogId, SegmentKey, SegmentRef
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import CatalogueId, Kid, sha256
from meshnode.core.log import Extension, Log, LogFault
from meshnode.core.trust import RootChain


@dataclass(frozen=True, slots=True)
class Changes:
    """What adopted entries changed, for the index and the object store."""

    segments: tuple[SegmentName, ...]  # whose standing may have changed
    hidden: tuple[ItemsRemoved, ...]
    objects: tuple[ObjectRef, ...]  # collections, file lists, torrents


@dataclass(slots=True)
class Catalogue:
    """Invariant: everything in `contents` is in one of `logs`, under `chain`."""

    id: CatalogueId
    followed: bool = False
    chain: RootChain | None = None
    logs: dict[Kid, Log] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)
    disputed: dict[Kid, int] = field(default_factory=dict)  # writer -> first seq that differs

    def log(self, writer: Kid) -> Log:
        """Return the writer's log; the writer must be in the root."""
        assert self.chain is not None
        assert self.chain.writer(writer) is not None
        return self.logs.setdefault(writer, Log())

    def consider(
        self, writer: Kid, heads: Sequence[SignedHead], first: int, entries: Sequence[bytes]
    ) -> Extension | LogFault:
        result = self.log(writer).consider(heads, first, entries)
        if isinstance(result, LogFault) and result.forked_at is not None:
            self.dispute(writer, result.forked_at)
        return result

    def dispute(self, writer: Kid, seq: int) -> None:
        """Remember that the writer signed two histories from about `seq` on."""
        self.disputed[writer] = min(seq, self.disputed.get(writer, seq))

    def adopt(self, writer: Kid, extension: Extension) -> Changes:
        self.log(writer).adopt(extension)
        valid: list[Entry] = []
        touched: dict[SegmentName, None] = {}
        for entry, raw in zip(extension.entries, extension.raws, strict=True):
            if self._is_valid(writer, entry):
                valid.append(entry)
                touched |= dict.fromkeys(self.contents.apply(writer, entry, sha256(raw)))
        return Changes(
            segments=tuple(touched),
            hidden=tuple(entry for entry in valid if isinstance(entry, ItemsRemoved)),
            objects=tuple(ref for entry in valid for ref in objects_of(entry)),
        )

    def segment(self, name: SegmentName) -> SegmentRef | None:
        """Return the segment as the log names it, if it counts."""
        live = self.contents.live_segment(name)
        if live is None:
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

    def _is_valid(self, writer: Kid, entry: Entry) -> bool:
        """An entry outside its writer's prefixes is void: kept in the log, counted nowhere."""
        assert self.chain is not None
        if isinstance(entry, UnknownEntry):
            return True
        grant = self.chain.writer(writer)
        return grant is not None and self.chain.admits(grant, entry.collection)


def objects_of(entry: Entry) -> tuple[ObjectRef, ...]:
    """Return the objects beside segments that a peer needs to make sense of the entry."""
    match entry:
        case CollectionAdded():
            return (entry.object,)
        case PayloadAdded():
            return (entry.files, entry.torrent)
        case _:
            return ()
