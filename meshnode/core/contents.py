"""What a catalogue holds: a pure function of the set of its valid entries.

Implements protocol/04-log-and-trust.md, "State".

Entries may come in any order, from any log, more than once. Owns the rules by which one entry
beats or removes another; whether an entry is valid is decided by `trust` and `log`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar, assert_never

from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    ItemsRemoved,
    MirrorsChanged,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    ReleaseAdded,
    RiskSet,
    SegmentAdded,
    SegmentRemoved,
    UnknownEntry,
)
from meshnode.core.identifiers import Digest, Kid
from meshnode.core.live_segments import LiveSegments, Rank, SegmentName

REMEMBERED_RANKS = 1024

PayloadName = tuple[str, Digest]  # collection, payload key
Erasing = ItemsRemoved | SegmentRemoved | PayloadRemoved  # for a reason that erases
Added = TypeVar("Added")


@lru_cache(REMEMBERED_RANKS)
def _rank(clock: int, writer: Kid, digest: Digest) -> Rank:
    """Return the rank: one object, however often the entry is counted."""
    return clock, writer, digest


@lru_cache(REMEMBERED_RANKS)
def _name(collection: str, segment: Digest) -> SegmentName:
    """Return the name: one object, however many tables it is in."""
    return collection, segment


@dataclass(slots=True)
class Additions(Generic[Added]):
    """Every addition and the latest removal of one name.

    A removal takes away what was added with a smaller clock. Of what is left the greatest counts,
    and that is the greatest of all or nothing.
    """

    # The greatest addition; not as a pair, since a catalogue has a hundred thousand of these.
    _rank: Rank | None = None
    _entry: Added | None = None
    removed_clock: int = 0

    def add(self, rank: Rank, entry: Added) -> None:
        if self._rank is None or rank > self._rank:
            self._rank, self._entry = rank, entry

    def remove(self, clock: int) -> None:
        self.removed_clock = max(self.removed_clock, clock)

    @property
    def best(self) -> tuple[Rank, Added] | None:
        if self._rank is None or self._entry is None:
            return None
        return self._rank, self._entry

    @property
    def live_rank(self) -> Rank | None:
        if self._rank is None or self._rank[0] < self.removed_clock:
            return None
        return self._rank

    @property
    def live(self) -> tuple[Rank, Added] | None:
        return None if self.live_rank is None else self.best


@dataclass(slots=True)
class Contents:
    """The state of one catalogue. `apply` only; order and repetition change nothing.

    An entry cannot be taken back: where one counts no longer, its catalogue counts all anew.
    """

    segments: dict[SegmentName, Additions[SegmentAdded]] = field(default_factory=dict)
    payloads: dict[PayloadName, Additions[PayloadAdded]] = field(default_factory=dict)
    collections: dict[str, tuple[Rank, ObjectRef]] = field(default_factory=dict)
    hidden: dict[Rank, ItemsRemoved] = field(default_factory=dict)
    mirrors: dict[PayloadName, dict[str, tuple[Rank, bool]]] = field(default_factory=dict)
    risks: dict[PayloadName, tuple[Rank, RiskSet]] = field(default_factory=dict)
    releases: dict[Rank, ReleaseAdded] = field(default_factory=dict)
    erasing: dict[Rank, Erasing] = field(default_factory=dict)
    _named_in: dict[str, None] = field(default_factory=dict)  # collections of segments, payloads
    _live: LiveSegments = field(default_factory=LiveSegments)
    _heirs: dict[SegmentName, dict[SegmentName, None]] = field(default_factory=dict)
    _withdrawn: dict[SegmentName, int] = field(default_factory=dict)  # by name alone, until when
    clock: int = 0  # the greatest clock of any valid entry seen

    def apply(self, writer: Kid, entry: Entry, digest: Digest) -> tuple[SegmentName, ...]:
        """Count one valid entry of this SHA-256; return the segments that it may have changed."""
        rank = _rank(entry.clock, writer, digest)
        self.clock = max(self.clock, entry.clock)
        match entry:
            case SegmentAdded():
                self._named_in[entry.collection] = None
                return self._add_segment(rank, entry)
            case SegmentRemoved():
                self._note_erasing(rank, entry)
                name = _name(entry.collection, entry.segment)
                self._withdrawn[name] = max(entry.clock, self._withdrawn.get(name, 0))
                return (name, *self._remove_segment(name, entry.clock))
            case PayloadAdded() | PayloadRemoved() | MirrorsChanged() | RiskSet():
                self._named_in[entry.collection] = None
                self._change_payload(rank, entry)
            case ItemsRemoved():
                self._note_erasing(rank, entry)
                self.hidden[rank] = entry
            case CollectionAdded():
                known = self.collections.get(entry.collection)
                if known is None or rank > known[0]:
                    self.collections[entry.collection] = (rank, entry.object)
            case ReleaseAdded():
                self.releases[rank] = entry
            case UnknownEntry():
                pass  # kept in the log and hashed, without meaning for this version
            case _:
                assert_never(entry)
        return ()

    def live_segment(self, name: SegmentName) -> tuple[Kid, SegmentAdded] | None:
        """Return the writer and the entry that count for these bytes, if any does."""
        additions = self.segments.get(name)
        live = additions.live if additions else None
        if live is None:
            return None
        rank, entry = live
        return (rank[1], entry) if self._live.have_room(rank) else None

    @property
    def live_segment_count(self) -> int:
        """How many segments count."""
        return self._live.count

    @property
    def excess_segments(self) -> int:
        """How many segments are live and find no room (L-93)."""
        return self._live.excess

    def heirs(self, name: SegmentName) -> list[SegmentName]:
        """Return the live segments that took over the rows of one that counts no longer, whoever
        held them between (L-69); none of what was also withdrawn by name.
        """
        live: list[SegmentName] = []
        seen = {name: None}
        for one in (following := [name]):
            for heir in self._next_heirs(one):
                if heir not in seen:
                    seen[heir] = None
                    (live if self.live_segment(heir) else following).append(heir)
        return live

    def _next_heirs(self, name: SegmentName) -> Iterable[SegmentName]:
        additions = self.segments.get(name)
        added = additions.best[0][0] if additions and additions.best else 0
        return () if added < self._withdrawn.get(name, 0) else self._heirs.get(name, ())

    def differing_segments(self, other: Contents) -> tuple[SegmentName, ...]:
        """Return the segments that do not count here as they do there."""
        names = self.segments | other.segments
        return tuple(n for n in names if self.live_segment(n) != other.live_segment(n))

    def live_payloads(self) -> dict[PayloadName, PayloadAdded]:
        live = ((name, additions.live) for name, additions in list(self.payloads.items()))
        return {name: found[1] for name, found in live if found is not None}

    def payloads_named(self, key: Digest) -> list[PayloadAdded]:
        """Return what was last said of payloads of this key, whether they count or not."""
        found = (additions.best for name, additions in self.payloads.items() if name[1] == key)
        return [best[1] for best in found if best is not None]

    def names(self, name: Digest) -> bool:
        """Say whether a segment of this digest or a payload of this key is named, live or not."""
        places = ((collection, name) for collection in self._named_in)
        return any(place in self.segments or place in self.payloads for place in places)

    def objects(self) -> list[ObjectRef]:
        """Return the collection documents, file lists and torrents that count."""
        found = [ref for _, ref in self.collections.values()]
        for payload in self.live_payloads().values():
            found += [payload.files, payload.torrent]
        return found

    def removals(self) -> list[ItemsRemoved]:
        """Return every withdrawal of items; the index keeps the greatest clock of each item."""
        return list(self.hidden.values())

    def mirrors_of(self, name: PayloadName) -> tuple[str, ...]:
        """Return the payload's mirror URLs, in text order."""
        known = self.mirrors.get(name, {})
        return tuple(sorted(url for url, (_, added) in known.items() if added))

    def _note_erasing(self, rank: Rank, entry: Erasing) -> None:
        if entry.reason.erases:
            self.erasing[rank] = entry

    def _add_segment(self, rank: Rank, entry: SegmentAdded) -> tuple[SegmentName, ...]:
        name = _name(entry.collection, entry.segment)
        additions = self._segment(name)
        before = additions.live_rank
        additions.add(rank, entry)
        touched = [name, *self._live.change(name, before, additions.live_rank)]
        for digest in entry.replaces:
            old = _name(entry.collection, digest)
            touched += (old, *self._remove_segment(old, entry.clock))
            self._heirs.setdefault(old, {})[name] = None
        return tuple(touched)

    def _remove_segment(self, name: SegmentName, clock: int) -> tuple[SegmentName, ...]:
        additions = self._segment(name)
        before = additions.live_rank
        additions.remove(clock)
        return self._live.change(name, before, additions.live_rank)

    def _change_payload(
        self, rank: Rank, entry: PayloadAdded | PayloadRemoved | MirrorsChanged | RiskSet
    ) -> None:
        name = (entry.collection, entry.key)
        match entry:
            case PayloadAdded():
                self.payloads.setdefault(name, Additions()).add(rank, entry)
                self._set_mirrors(name, rank, add=entry.mirrors)
            case PayloadRemoved():
                self._note_erasing(rank, entry)
                self.payloads.setdefault(name, Additions()).remove(entry.clock)
            case MirrorsChanged():
                self._set_mirrors(name, rank, add=entry.add, drop=entry.drop)
            case RiskSet():
                known = self.risks.get(name)
                if known is None or rank > known[0]:
                    self.risks[name] = (rank, entry)
            case _:
                assert_never(entry)

    def _segment(self, name: SegmentName) -> Additions[SegmentAdded]:
        known = self.segments.get(name)
        if known is None:
            known = self.segments[name] = Additions()
        return known

    def _set_mirrors(
        self, name: PayloadName, rank: Rank, *, add: tuple[str, ...], drop: tuple[str, ...] = ()
    ) -> None:
        mirrors = self.mirrors.setdefault(name, {})
        # Of one entry that both drops and adds a URL, the addition counts.
        for url, added in (dict.fromkeys(drop, False) | dict.fromkeys(add, True)).items():
            known = mirrors.get(url)
            if known is None or rank > known[0]:
                mirrors[url] = (rank, added)
