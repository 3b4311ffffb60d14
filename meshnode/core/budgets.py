"""How many bytes of others this peer holds: a budget for each catalogue, and one for all together.

Implements L-91 of protocol/04-log-and-trust.md for objects: segments, Collection documents, file
lists, torrents. What is over a budget is not fetched; what is on the disk already is counted and
stays. Logs have bounds of their own, and payloads are the operator's downloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshnode.core.identifiers import CatalogueId, Digest


@dataclass(slots=True)
class Budgets:
    """Limits in bytes; None is no limit. `own` are limits of single catalogues.

    Invariant: no charge that was asked for lifts a sum above its limit; an object is charged once
    to each catalogue that names it.
    """

    each_bytes_max: int | None = None
    total_bytes_max: int | None = None
    own: dict[CatalogueId, int] = field(default_factory=dict)
    _charged: dict[CatalogueId, dict[Digest, int]] = field(default_factory=dict)
    _spent: dict[CatalogueId, int] = field(default_factory=dict)
    _total: int = 0

    def limit(self, catalogue: CatalogueId) -> int | None:
        """Return how many bytes a catalogue may have."""
        return self.own.get(catalogue, self.each_bytes_max)

    def spent(self, catalogue: CatalogueId) -> int:
        """Return what is held and awaited of a catalogue, in bytes."""
        return self._spent.get(catalogue, 0)

    @property
    def total(self) -> int:
        return self._total

    def charge(self, catalogue: CatalogueId, name: Digest, size_bytes: int) -> bool:
        """Count an object that is to be fetched; False if it is over a budget, and not counted."""
        more = size_bytes - self._charged.get(catalogue, {}).get(name, 0)
        if more > 0 and self._exceeds(catalogue, more):
            return False
        self.hold(catalogue, name, size_bytes)
        return True

    def hold(self, catalogue: CatalogueId, name: Digest, size_bytes: int) -> None:
        """Count an object that is here already, whatever the budgets say."""
        charged = self._charged.setdefault(catalogue, {})
        more = max(0, size_bytes - charged.get(name, 0))
        charged[name] = charged.get(name, 0) + more
        self._spent[catalogue] = self.spent(catalogue) + more
        self._total += more

    def release(self, name: Digest, catalogue: CatalogueId | None = None) -> None:
        """Count an object no longer, for one catalogue or for all: it is not held, nor awaited."""
        for each in self._charged if catalogue is None else (catalogue,):
            size_bytes = self._charged.get(each, {}).pop(name, 0)
            if size_bytes:
                self._spent[each] -= size_bytes
                self._total -= size_bytes

    def forget(self, catalogue: CatalogueId) -> None:
        """Count nothing of a catalogue any more."""
        self._charged.pop(catalogue, None)
        self._total -= self._spent.pop(catalogue, 0)

    def change(self, each: int | None, total: int | None, own: Mapping[CatalogueId, int]) -> None:
        """Put other limits in force; what is held above them stays."""
        self.each_bytes_max, self.total_bytes_max, self.own = each, total, dict(own)

    def reason(self, catalogue: CatalogueId) -> str:
        """Say which budget is full, of the two, for a catalogue of which something is refused."""
        limit = self.limit(catalogue)
        if self.total_bytes_max is not None and (
            limit is None or limit - self.spent(catalogue) > self.total_bytes_max - self._total
        ):
            return f"the budget of {self.total_bytes_max} bytes for all catalogues is full"
        return f"its budget of {limit} bytes is full"

    def _exceeds(self, catalogue: CatalogueId, more: int) -> bool:
        limit, total = self.limit(catalogue), self.total_bytes_max
        is_over = limit is not None and self.spent(catalogue) + more > limit
        return is_over or (total is not None and self._total + more > total)
