"""The `published` items of a catalogue, for who publishes more.

The log decides, not how far the index is: `published` waits until every segment that counts is
indexed or refused here, and leaves out what is withdrawn and not hidden yet.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.contents import Contents
from meshnode.core.identifiers import sha256
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.journal import READ_ONLY_HINT
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.operator.payload_listing import require_followed
from meshnode.runtime.peer import Peer

PAGE_ITEMS = 1000  # a page is read and hashed by one worker thread, and sent as one message


class Published(Arguments):
    catalogue: Catalogue


async def published(peer: Peer, arguments: Published) -> AsyncGenerator[Message, None]:
    """Yield {"published": [[collection, id, SHA-256 in hexadecimal], …]}, ordered by name.

    Raises:
        UsageError: not followed here, or segments of it are missing and no peer can be asked.
        StorageError: the disk failed, so that the index cannot follow the log.
    """
    held = require_followed(peer, arguments.catalogue)
    with peer.journal.notices.watch(lambda _: True) as watcher:
        while unsettled := _unsettled(peer, held):
            _require_progress(peer, held)
            yield {"event": {"to_index": unsettled}}
            await watcher.receive()
    counts = await trio.to_thread.run_sync(peer.index.counts)
    number = 0
    for collection in [name for catalogue, name in counts if catalogue == held.id]:
        after, hidden = "", _hidden(held.contents, collection)
        while page := await trio.to_thread.run_sync(_page, peer, held, collection, hidden, after):
            rows, after = page
            number += len(rows)
            yield {"event": {"published": rows}}
    yield {"result": {"items": number}}


def _page(
    peer: Peer, held: HeldCatalogue, collection: str, hidden: Mapping[str, int], after: str
) -> tuple[list[list[Any]], str] | None:
    found = peer.index.walk(held.id, collection, after, PAGE_ITEMS)
    if not found:
        return None
    rows = [
        [collection, each.id, sha256(each.item).hex()]
        for each in found
        if each.clock >= hidden.get(each.id, 0)
        and held.contents.live_segment((collection, each.segment)) is not None
    ]
    return rows, found[-1].id


def _hidden(contents: Contents, collection: str) -> dict[str, int]:
    """Return the greatest clock at which each withdrawn item of a collection was withdrawn."""
    hidden: dict[str, int] = {}
    for entry in contents.removals():
        if entry.collection == collection:
            hidden |= {id_: max(entry.clock, hidden.get(id_, 0)) for id_ in entry.ids}
    return hidden


def _unsettled(peer: Peer, held: HeldCatalogue) -> int:
    """Count the segments that the log counts and the index neither has nor refuses."""
    replica = peer.node.replica
    refs = [ref for name in held.contents.segments if (ref := replica.counts(held.key(name)))]
    return sum(
        replica.indexed.get(ref.key) != ref.clock and ref.key not in replica.refused for ref in refs
    )


def _require_progress(peer: Peer, held: HeldCatalogue) -> None:
    if peer.node.read_only:
        raise StorageError("the index cannot follow the log: the disk failed", hint=READ_ONLY_HINT)
    if peer.network is None and not peer.node.replica.unindexed:
        raise UsageError(
            f"segments of {held.id.hex()[:8]}… are missing here, so what is published is not known",
            hint="let this peer fetch them from others first: meshnode run",
        )


ACTIONS: dict[str, Action] = {
    "published": (Published, published),
}
