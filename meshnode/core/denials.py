"""What this peer's operator denies: his own list, and those that he imported.

Denied bytes are neither fetched, served nor indexed; of a denied catalogue nothing is followed or
served; a denied item is hidden, and no segment that holds it is served. His own list goes before
the others: what it allows, they do not deny. Nothing is forgotten: whatever a list denies is as it
was when the rule is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshnode.core.catalogue import Catalogue
from meshnode.core.denylist import DenyList, ItemPath, Target
from meshnode.core.effects import Effect, PurgeItems, PurgeObject, PurgePayload
from meshnode.core.entries import PayloadAdded
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import CLOCK_MAX
from meshnode.core.names import Withdrawal

OWN: Final = "own"
DENIED_CLOCK: Final = CLOCK_MAX + 1  # no row is newer


@dataclass(slots=True)
class Denials:
    """The lists by name. `suspended` are catalogues that are followed once they are not denied."""

    catalogues: Mapping[CatalogueId, Catalogue]
    lists: dict[str, DenyList] = field(default_factory=dict)
    suspended: dict[CatalogueId, None] = field(default_factory=dict)

    def change(self, name: str, deny_list: DenyList | None) -> None:
        """Put a list in place of the one of this name; None takes it away."""
        if deny_list is None:
            self.lists.pop(name, None)
        else:
            self.lists[name] = deny_list

    def denies(self, name: Digest) -> bool:
        """Say whether an object, a payload by its key, or a catalogue is denied."""
        if not self.lists:
            return False
        own = self.lists.get(OWN, DenyList()).says(name)
        if own is not None:
            return own
        return any(each.says(name) for each in self.lists.values())

    def withholds(self, name: Digest) -> bool:
        """Say whether bytes are served to nobody: denied, or named by denied catalogues alone."""
        if not self.lists:
            return False
        if self.denies(name) or any(map(self._denies_parts, self._payloads(name))):
            return True
        denied = {c.id: None for c in self.catalogues.values() if self.denies(Digest(c.id))}
        if not any(self.catalogues[catalogue].counts(name) for catalogue in denied):
            return False
        return not any(c.counts(name) for c in self.catalogues.values() if c.id not in denied)

    def withdrawals(self, catalogue: CatalogueId) -> tuple[Withdrawal, ...]:
        """Return the denied items of a catalogue as withdrawals that no row is newer than."""
        ids: dict[str, list[str]] = {}
        for of, collection, item in self.items():
            if of == catalogue:
                ids.setdefault(collection, []).append(item)
        return tuple(
            Withdrawal(collection, tuple(items), DENIED_CLOCK, erases=True)
            for collection, items in ids.items()
        )

    def stopped(self) -> dict[Digest, None]:
        """Return the keys of the known payloads that nobody is served for a list's sake."""
        keys = [key for c in self.catalogues.values() for _, key in c.contents.payloads]
        return {key: None for key in keys if self.withholds(key)}

    def erasing(self, held: Mapping[Digest, None]) -> Iterator[Effect]:
        """Yield what erases all that is denied, of the objects that are held."""
        for digest in held:
            if self.withholds(digest):
                yield PurgeObject(digest)
        for key in self.stopped():
            yield PurgePayload(key)
        for catalogue in self.catalogues.values():
            for hidden in self.withdrawals(catalogue.id):
                yield PurgeItems(catalogue.id, hidden.collection, hidden.ids, hidden.clock)

    def items(self) -> dict[ItemPath, None]:
        """Return the denied items of all catalogues, known or not."""
        paths = (path for each in self.lists.values() for path in each.items)
        return {path: None for path in paths if self._denies_item(path)}

    def denying(self, target: Target) -> tuple[str, ...]:
        """Return the lists for whose sake a target of a rule is denied, none if it is not."""
        return tuple(name for name in self.lists if self._is_denied_by(name, target))

    def _is_denied_by(self, name: str, target: Target) -> bool:
        deny_list = self.lists[name]
        match target:
            case ("item", path):
                return self._denies_item(path) and bool(deny_list.items.get(path))
            case ("name", digest):
                return self.denies(digest) and bool(deny_list.says(digest))
            case (_, hashed):
                return bool(deny_list.hashes.get(hashed))

    def _denies_item(self, path: ItemPath) -> bool:
        own = self.lists.get(OWN, DenyList()).items.get(path)
        if own is not None:
            return own
        return any(each.items.get(path) for each in self.lists.values())

    def _payloads(self, key: Digest) -> Iterator[PayloadAdded]:
        for catalogue in self.catalogues.values():
            yield from catalogue.contents.payloads_named(key)

    def _denies_parts(self, payload: PayloadAdded) -> bool:
        return self.denies(payload.files.digest) or self.denies(payload.torrent.digest)
