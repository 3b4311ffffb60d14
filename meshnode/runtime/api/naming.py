"""What collections are called in the API, where several catalogues may have one of a name.

A collection keeps its own id while no other catalogue that is followed has one of that id. Where
two have, both are called `id~` and the end of their catalogue's id. That name leads to a collection
always; the bare id then leads to all that have it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.runtime.operator.collections import CollectionName, followed
from meshnode.runtime.peer import Peer

MARK: Final = "~"
END_CHARS: Final = 12  # of a catalogue's id: 60 bits, which nobody meets by chance


class Names:
    """The names of collections at one moment."""

    def __init__(self, known: Iterable[CollectionName]) -> None:
        self._catalogues: dict[str, dict[CatalogueId, None]] = {}
        self._ends: dict[str, CatalogueId] = {}
        for catalogue, name in known:
            self._catalogues.setdefault(name, {})[catalogue] = None
            self._ends[_end(catalogue)] = catalogue

    def of(self, catalogue: CatalogueId, name: str) -> str:
        """Return what a collection is called."""
        having = self._catalogues.get(name, {})
        is_alone = len(having) == 1 and catalogue in having
        if is_alone and name.rpartition(MARK)[2] not in self._ends:
            return name
        return f"{name}{MARK}{_end(catalogue)}"

    def find(self, asked: str) -> tuple[CollectionName, ...]:
        """Return the collections that are called so, or have this id."""
        name, _, end = asked.rpartition(MARK)
        if name and end in self._ends:
            return ((self._ends[end], name),)
        return tuple((catalogue, asked) for catalogue in self._catalogues.get(asked, {}))


class CurrentNames:
    """The names of what the peer follows, made anew when its catalogues change."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._made_of: tuple[object, ...] | None = None
        self._names = Names(())

    def now(self) -> Names:
        """Return the names as they are; call it where the node runs."""
        held = sorted(followed(self._peer), key=lambda each: each.id)
        state = tuple((each.id, each.contents, len(each.contents.collections)) for each in held)
        if not _is_same(state, self._made_of):
            named = ((each.id, name) for each in held for name in each.contents.collections)
            self._names, self._made_of = Names(named), state
        return self._names


def _is_same(state: tuple[object, ...], former: tuple[object, ...] | None) -> bool:
    """Compare which catalogues there are; contents by identity, since they are large."""
    if former is None or len(state) != len(former):
        return False
    return all(
        now[0] == before[0] and now[1] is before[1] and now[2] == before[2]  # type: ignore[index]
        for now, before in zip(state, former, strict=True)
    )


def _end(catalogue: CatalogueId) -> str:
    return catalogue_text(catalogue)[-END_CHARS:]
