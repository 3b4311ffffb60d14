"""How far catalogues can be trusted at the moment, for every answer to say.

Working it out walks through the whole catalogue, so that it is kept for some seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

from meshnode.core.domains import Binding
from meshnode.core.freshness import Freshness
from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.runtime.clock import unix_now
from meshnode.runtime.operator.collections import followed, title_of
from meshnode.runtime.operator.joining import domain_said
from meshnode.runtime.operator.standing import currency
from meshnode.runtime.peer import Peer

KEPT_SECONDS: Final = 5

Standing = dict[str, Any]


class Standings:
    """What is overdue, forked or contradicted. Called in worker threads."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._mutex = threading.Lock()
        self._kept: dict[CatalogueId, tuple[int, Standing]] = {}

    def of(self, catalogue: CatalogueId) -> Standing:
        """Return `freshness` and `is_forked` of a catalogue, and what its domain says of it."""
        now = unix_now()
        with self._mutex:
            until, standing = self._kept.get(catalogue, (0, {}))
            if not now <= until <= now + KEPT_SECONDS:  # the clock may have been put back
                standing = _standing(self._peer, catalogue)
                self._kept[catalogue] = (now + KEPT_SECONDS, standing)
            return standing

    def doubtful(self, catalogues: Iterable[CatalogueId]) -> list[Standing]:
        """Return the standings of those that are not current in every respect."""
        return [
            {"catalogue": catalogue_text(each), **standing}
            for each in catalogues
            if not _is_sound(standing := self.of(each))
        ]

    def followed(self) -> list[CatalogueId]:
        return [each.id for each in followed(self._peer) if each.chain is not None]


def _standing(peer: Peer, catalogue: CatalogueId) -> Standing:
    held = peer.node.catalogues.get(catalogue)
    if held is None or held.chain is None:  # it is being left
        return {"title": "", "freshness": [], "is_forked": False, "domain": Binding.NONE.value}
    said = currency(held)
    return {
        "title": title_of(held),
        "freshness": said["freshness"],
        "is_forked": bool(said["rivals"] or held.disputed),
        "domain": domain_said(peer, held)["binding"],
    }


def _is_sound(standing: Standing) -> bool:
    return (
        standing["freshness"] == [Freshness.CURRENT.value]
        and not standing["is_forked"]
        and standing["domain"] != Binding.CONTRADICTED.value
    )
