"""A peer's simulated index: which segments are searchable and which items are hidden.

Survives a crash as far as operations had ended, like the real index, which commits each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from meshnode.core.effects import HideItems, SetHidden
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import SegmentKey, SegmentRef

ItemName = tuple[CatalogueId, str, str]  # catalogue, collection, item id


@dataclass(slots=True)
class Index:
    """Segments by the clock they were indexed at; items by the greatest clock that hides them."""

    segments: dict[SegmentKey, int] = field(default_factory=dict)
    hidden: dict[ItemName, int] = field(default_factory=dict)
    sealed: dict[Digest, None] = field(default_factory=dict)  # hold a row that nobody may get

    def insert(self, ref: SegmentRef) -> None:
        self.segments[ref.key] = ref.clock

    def drop(self, key: SegmentKey) -> None:
        self.segments.pop(key, None)

    def hide(self, effect: HideItems) -> None:
        for item in effect.ids:
            name = (effect.catalogue, effect.collection, item)
            self.hidden[name] = max(effect.clock, self.hidden.get(name, 0))

    def seal(self, digests: Iterable[Digest]) -> None:
        self.sealed |= dict.fromkeys(digests)

    def set_hidden(self, effect: SetHidden) -> None:
        """Make exactly these the withdrawals of the catalogue."""
        self.hidden = {n: c for n, c in self.hidden.items() if n[0] != effect.catalogue}
        for hidden in effect.withdrawals:
            self.hide(HideItems(effect.catalogue, hidden.collection, hidden.ids, hidden.clock))

    def forget(self, catalogue: CatalogueId) -> None:
        self.segments = {k: c for k, c in self.segments.items() if k.catalogue != catalogue}
        self.hidden = {name: c for name, c in self.hidden.items() if name[0] != catalogue}
