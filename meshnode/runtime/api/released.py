"""Which items belong to a release: their answers say version, DOI, and the versions around it."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

import trio

from meshnode.control import Message
from meshnode.core.identifiers import CatalogueId
from meshnode.runtime.operator.collections import followed
from meshnode.runtime.operator.releases import Released, released_items
from meshnode.runtime.peer import Peer

KEPT_SECONDS: Final = 30.0  # file lists come after the entries that name them
ITEMS_MAX: Final = 200_000  # that are kept of one catalogue; some 100 bytes each

ReleasedItems = dict[tuple[CatalogueId, str, str], Message]


class ReleasedBook:
    """The newest release of each item. Invariant: a catalogue's part is at most KEPT_SECONDS old,
    and of the releases that it has.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._parts: dict[CatalogueId, tuple[tuple[Any, ...], float, ReleasedItems]] = {}
        self._all: ReleasedItems = {}
        self._reading = trio.Lock()

    async def now(self) -> ReleasedItems:
        """Return the release of each item that has one, as the action `releases` says it."""
        having = [each for each in followed(self._peer) if each.contents.releases]
        states = {each.id: (len(each.contents.releases), each.contents) for each in having}
        if self._is_current(states):
            return self._all
        async with self._reading:
            for catalogue, state in states.items():
                if not self._is_kept(catalogue, state):
                    part = await self._read(catalogue)
                    self._parts[catalogue] = (state, trio.current_time() + KEPT_SECONDS, part)
            self._parts = {each: self._parts[each] for each in states}
            self._all = {
                key: said for _, _, part in self._parts.values() for key, said in part.items()
            }
        return self._all

    def _is_current(self, states: dict[CatalogueId, tuple[Any, ...]]) -> bool:
        return states.keys() == self._parts.keys() and all(
            self._is_kept(catalogue, state) for catalogue, state in states.items()
        )

    def _is_kept(self, catalogue: CatalogueId, state: tuple[Any, ...]) -> bool:
        if catalogue not in self._parts:
            return False
        (count, contents), until, _ = self._parts[catalogue]
        return count == state[0] and contents is state[1] and trio.current_time() < until

    async def _read(self, catalogue: CatalogueId) -> ReleasedItems:
        found: ReleasedItems = {}
        messages = released_items(self._peer, Released.model_construct(catalogues=(catalogue,)))
        async with aclosing(messages):
            async for message in messages:
                event = message.get("event")
                if event and len(found) + len(event["items"]) <= ITEMS_MAX:
                    release = event["release"]
                    found |= {
                        (catalogue, release["collection"], id_): release for id_ in event["items"]
                    }
        return found
