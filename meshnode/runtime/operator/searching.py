"""Search over this peer's own index: `search` streams pages, `count` counts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.core.freshness import Freshness
from meshnode.core.identifiers import catalogue_text, object_text
from meshnode.errors import UsageError
from meshnode.runtime.index.search import Found, Query, parse_interval
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.operator.standing import currency
from meshnode.runtime.peer import Peer

PAGE_ITEMS = 1000  # a page is read by one worker thread and sent as one message


class Search(Arguments):
    """The fields of STAC API item search that this peer answers."""

    ids: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    catalogues: tuple[Catalogue, ...] = ()
    bbox: tuple[float, ...] | None = Field(default=None, max_length=6)
    datetime: str | None = None
    limit: int | None = Field(default=None, ge=1)  # of all pages together

    def query(self) -> Query:
        """Return the query of the first page.

        Raises:
            UsageError: a box or an interval that is none.
        """
        return Query(
            ids=self.ids,
            collections=self.collections,
            catalogues=self.catalogues,
            bbox=_flat(self.bbox) if self.bbox is not None else None,
            interval=parse_interval(self.datetime) if self.datetime is not None else None,
            limit=min(PAGE_ITEMS, self.limit or PAGE_ITEMS),
        )


class Document(Arguments):
    """Which collection's document; `catalogue` where several have one of that name."""

    collection: str
    catalogue: Catalogue | None = None


async def search(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    """Yield the items found, newest first, a page an event: {"found": [...]}.

    {"overdue": [...]} names the catalogues that were searched and may be out of date. `to_index`
    of the result: segments that are here but not searchable yet.
    """
    query, sent = arguments.query(), 0
    if overdue := _overdue(peer, query):
        yield {"event": {"overdue": overdue}}
    async with aclosing(_rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    while True:
        page = await trio.to_thread.run_sync(peer.index.search, query, abandon_on_cancel=True)
        if arguments.limit is not None:
            page = page[: arguments.limit - sent]
        if not page:
            break
        sent += len(page)
        yield {"event": {"found": [_said(peer, found) for found in page]}}
        query = replace(query, after=page[-1].token)
    yield {"result": {"count": sent, "to_index": peer.node.replica.unindexed}}


async def count(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    query = arguments.query()
    if overdue := _overdue(peer, query):
        yield {"event": {"overdue": overdue}}
    async with aclosing(_rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    number = await trio.to_thread.run_sync(peer.index.count, query, abandon_on_cancel=True)
    yield {"result": {"count": number, "to_index": peer.node.replica.unindexed}}


def _overdue(peer: Peer, query: Query) -> list[dict[str, Any]]:
    """Return what is stale, possibly frozen or forked of the catalogues that a query reaches."""
    found = []
    for held in peer.node.catalogues.values():
        if held.chain is None or not held.followed:
            continue
        if query.catalogues and held.id not in query.catalogues:
            continue
        said = currency(held)
        if said["rivals"] or said["freshness"] != [Freshness.CURRENT.value]:
            title = held.chain.current.meta.get("title", "")
            found.append({"id": catalogue_text(held.id), "title": title, **said})
    return found


async def _rebuilding(peer: Peer) -> AsyncGenerator[Message, None]:
    """Offline, wait while the index is made again: nobody else does it. Yields what is left."""
    if peer.network is not None:
        return
    with peer.journal.notices.watch(lambda _: True) as watcher:
        while (left := peer.node.replica.unindexed) and not peer.node.read_only:
            yield {"event": {"to_index": left}}
            await watcher.receive()


def _said(peer: Peer, found: Found) -> dict[str, Any]:
    catalogue = peer.node.catalogues[found.catalogue]
    assert catalogue.chain is not None  # nothing is indexed before its root is known
    writer = catalogue.chain.writer(found.writer)
    return {
        "catalogue": catalogue_text(found.catalogue),
        "title": catalogue.chain.current.meta.get("title", ""),
        "collection": found.collection,
        "id": found.id,
        "segment": object_text(found.segment),
        "writer": writer.label if writer else found.writer.hex(),
        "clock": found.clock,
        "item": found.item.decode(),
    }


def _flat(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    match box:
        case (west, south, east, north) | (west, south, _, east, north, _):
            return west, south, east, north
        case _:
            raise UsageError(f"a bbox has 4 or 6 numbers, not {len(box)}")


async def collection(peer: Peer, arguments: Document) -> AsyncGenerator[Message, None]:
    """Return the STAC Collection document in force, as text."""
    found = [
        held.contents.collections[arguments.collection][1]
        for held in peer.node.catalogues.values()
        if held.followed
        and arguments.catalogue in (None, held.id)
        and arguments.collection in held.contents.collections
    ]
    if len(found) != 1:
        how_many = "several catalogues have" if found else "no catalogue has"
        raise UsageError(f"{how_many} a collection {arguments.collection!r}", hint="--catalogue ID")
    document = await trio.to_thread.run_sync(peer.read_object, found[0].digest)
    if document is None:
        raise UsageError("the collection's document is not here yet", hint="try again in a moment")
    yield {"result": {"document": document.decode(errors="replace")}}


ACTIONS: dict[str, Action] = {
    "search": (Search, search),
    "count": (Search, count),
    "collection": (Document, collection),
}
