"""What a peer no longer serves, and what it erases from its disk, and when.

Implements protocol/04-log-and-trust.md, "Withdrawal". A withdrawal for privacy, legal or licence
reasons stops serving at once, and erases 7 days after this peer stored it, while it counts: time
for the maintainers to close the log of whoever withdrew in their name. A purge waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from meshnode.core.catalogue import Catalogue
from meshnode.core.contents import Erasing
from meshnode.core.effects import PurgeItems, PurgeObject, PurgePayload, StopPayload
from meshnode.core.entries import ItemsRemoved, PayloadRemoved, SegmentRemoved
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.live_segments import Rank
from meshnode.core.names import SegmentRef

ERASED_AFTER_SECONDS: Final = 7 * 86_400
_NEVER: Final = 1 << 62
_ALL: Final = ("all",)
_STOP: Final = ("stop",)  # of a payload: it is not served from now on

Erase = PurgeObject | PurgeItems | StopPayload | PurgePayload


@dataclass(slots=True)
class Erasures:
    """Invariant: what is due while it counts was asked to be erased, once in this life.

    A life begins with asking again for all that is due: so a crash forgets nothing.
    """

    catalogues: Mapping[CatalogueId, Catalogue]
    _done: dict[CatalogueId, dict[Rank | Digest, tuple[str, ...]]] = field(default_factory=dict)
    _next_due: int = 0  # unix second before which nothing is due

    def withholds(self, name: Digest) -> bool:
        """Say whether an object, or a payload by its key, is withdrawn so that nobody gets it."""
        catalogues = self.catalogues.values()
        if not any(c.withdraws(name) or _may_hold_withdrawn(c, name) for c in catalogues):
            return False
        return not self._is_counted(name)

    def entries_changed(self) -> None:
        self._next_due = 0

    def recounted(self, catalogue: CatalogueId) -> None:
        """Other entries count: what was erased for one that did not may be there again."""
        self._done.pop(catalogue, None)
        self._next_due = 0

    def indexed(self, ref: SegmentRef) -> None:
        """A segment may bring rows that were erased before."""
        catalogue = self.catalogues.get(ref.log.catalogue)
        done = self._done.get(ref.log.catalogue, {})
        for rank, entry in catalogue.contents.erasing.items() if catalogue and done else ():
            if entry.collection == ref.collection and isinstance(entry, ItemsRemoved):
                done.pop(rank, None)
                self._next_due = 0

    def is_due(self, now_unix: int) -> bool:
        """Say whether anything may be due; what is not costs one comparison."""
        return now_unix >= self._next_due

    def start(self, now_unix: int) -> Iterator[Erase]:
        """Yield what is due."""
        self._next_due = _NEVER
        for catalogue in self.catalogues.values():
            if not catalogue.contents.erasing and not catalogue.purged:
                continue
            done = self._done.setdefault(catalogue.id, {})
            for rank, entry in catalogue.contents.erasing.items():
                due = catalogue.stamps[rank[2]] + ERASED_AFTER_SECONDS
                if due > now_unix:
                    self._next_due = min(self._next_due, due)
                parts = _parts_due(catalogue, entry, is_due=due <= now_unix)
                if parts and done.get(rank) != parts:
                    done[rank] = parts
                    yield from self._erase(catalogue, entry, parts)
            for name in catalogue.purged:
                if name not in done and not self._is_counted(name):
                    done[name] = ()
                    yield from _erase_named(catalogue, name)

    def _erase(
        self, catalogue: Catalogue, entry: Erasing, parts: tuple[str, ...]
    ) -> Iterator[Erase]:
        match entry:
            case ItemsRemoved():
                yield PurgeItems(catalogue.id, entry.collection, parts, entry.clock)
                for name in _outdated(catalogue, entry):
                    if not self._is_counted(name):
                        yield PurgeObject(name)
            case SegmentRemoved():
                if not self._is_counted(entry.segment):
                    yield PurgeObject(entry.segment)
            case PayloadRemoved():
                if self._is_counted(entry.key):
                    return
                yield StopPayload(entry.key)
                if parts != _STOP:
                    yield from _erase_named(catalogue, entry.key)
            case _:
                assert_never(entry)

    def _is_counted(self, name: Digest) -> bool:
        return any(c.followed and c.counts(name) for c in self.catalogues.values())


def _may_hold_withdrawn(catalogue: Catalogue, name: Digest) -> bool:
    contents = catalogue.contents
    if not contents.erasing or not any(digest == name for _, digest in contents.segments):
        return False
    entries = contents.erasing.values()
    withdrawals = (entry for entry in entries if isinstance(entry, ItemsRemoved))
    return any(name in _outdated(catalogue, entry) for entry in withdrawals)


def _outdated(catalogue: Catalogue, entry: ItemsRemoved) -> Iterator[Digest]:
    """Yield the segments that are older than a withdrawal of items and count no more.

    Their rows are in no index, so any of them may hold such an item. One whose addition a snapshot
    left out may be older.
    """
    for (collection, digest), additions in catalogue.contents.segments.items():
        if collection != entry.collection or additions.live is not None:
            continue
        if additions.best is None or additions.best[0][0] < entry.clock:
            yield digest


def _parts_due(catalogue: Catalogue, entry: Erasing, *, is_due: bool) -> tuple[str, ...]:
    """Return what of an entry is due: all of it, or what a purge names before."""
    match entry:
        case ItemsRemoved():
            purged = catalogue.purged_items
            return tuple(i for i in entry.ids if is_due or (entry.collection, i) in purged)
        case SegmentRemoved():
            return _ALL if is_due else ()
        case PayloadRemoved():
            return _ALL if is_due else _STOP
        case _:
            assert_never(entry)


def _erase_named(catalogue: Catalogue, name: Digest) -> Iterator[Erase]:
    """Erase an object, or a payload with its file list and torrent, by its name."""
    yield PurgeObject(name)
    for payload in catalogue.contents.payloads_named(name):
        yield PurgePayload(name)
        yield PurgeObject(payload.files.digest)
        yield PurgeObject(payload.torrent.digest)
