"""Our own publisher's heads, which enter by the same checks as a peer's.

Owns what the publisher is told when they do not fit; a retry of what is held succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshnode.core.catalogue import Catalogue
from meshnode.core.events import Submitted
from meshnode.core.gossip import Gate, Refusal, is_due, log_of
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import CatalogueId
from meshnode.core.log import Extension, LogFault


def examine(
    event: Submitted, catalogues: Mapping[CatalogueId, Catalogue], gate: Gate, now_unix: int
) -> Extension | str | None:
    """Return what a submission adds, None if all of it is held, or why it is refused."""
    heads = []
    for raw in event.heads:
        offered = gate.read(raw)
        if isinstance(offered, Refusal):
            return f"{offered.check.value}: {offered.reason}"
        heads.append(offered)
    if not heads or any(log_of(head.head) != log_of(heads[0].head) for head in heads):
        return "a submission holds heads of one log"
    if not all(is_due(head.head, now_unix) for head in heads):
        return "the head is issued in the future: check this machine's clock"
    catalogue = catalogues[heads[0].head.catalogue]
    if not catalogue.followed:
        return "this peer does not follow the catalogue"
    return _extension(catalogue, heads, event)


def _extension(
    catalogue: Catalogue, heads: Sequence[SignedHead], event: Submitted
) -> Extension | str | None:
    newest = heads[-1]
    log = catalogue.log(newest.head.writer)
    if log.holds(newest.name):
        return None
    if catalogue.is_void(newest.head.writer, newest.name):
        return f"the root closes this writer's log before head {newest.head.seq}"
    result = catalogue.consider(newest.head.writer, heads, event.first, event.entries)
    if isinstance(result, LogFault):
        return f"{result.check.value}: {result.reason}"
    if result.is_new_branch:
        return f"seq {result.after + 1} is taken by another head"
    if not result.heads or result.heads[-1] != newest:
        return f"head {newest.head.seq} does not follow head {log.newest_seq} with all its entries"
    return result
