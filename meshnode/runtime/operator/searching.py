"""Search over this peer's own index: `search` streams pages, `count` counts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.core.domains import Binding
from meshnode.core.freshness import Freshness
from meshnode.core.identifiers import CatalogueId, catalogue_text, object_text
from meshnode.errors import UsageError
from meshnode.runtime.index.search import Found, Query, parse_interval
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.operator.collections import document_of, followed, title_of
from meshnode.runtime.operator.joining import domain_said
from meshnode.runtime.operator.standing import currency
from meshnode.runtime.peer import Peer

PAGE_ITEMS = 1000  # a page is read by one worker thread and sent as one message


class Search(Arguments):
    """The fields of STAC API item search that this peer answers, and `dguids`."""

    ids: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()  # by id, or by one of their titles
    catalogues: tuple[Catalogue, ...] = ()
    dguids: tuple[str, ...] = ()
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
            dguids=self.dguids,
            bbox=_flat(self.bbox) if self.bbox is not None else None,
            interval=parse_interval(self.datetime) if self.datetime is not None else None,
            limit=min(PAGE_ITEMS, self.limit or PAGE_ITEMS),
        )


async def search(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    """Yield the items found, newest first, a page an event: {"found": [...]}.

    {"overdue": [...]} names the catalogues that were searched and may be out of date. `to_index`
    of the result: segments that are here but not searchable yet.
    """
    query, sent = await _query(peer, arguments), 0
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
        said = await trio.to_thread.run_sync(_said, peer, page)
        yield {"event": {"found": said}}
        query = replace(query, after=page[-1].token)
    yield {"result": {"count": sent, "to_index": peer.node.replica.unindexed}}


async def count(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    query = await _query(peer, arguments)
    if overdue := _overdue(peer, query):
        yield {"event": {"overdue": overdue}}
    async with aclosing(_rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    number = await trio.to_thread.run_sync(peer.index.count, query, abandon_on_cancel=True)
    yield {"result": {"count": number, "to_index": peer.node.replica.unindexed}}


async def _query(peer: Peer, arguments: Search) -> Query:
    """Return the query of the first page, collections that are named by a title by their ids."""
    query = arguments.query()
    known = {name for held in followed(peer) for name in held.contents.collections}
    if known.issuperset(query.collections):
        return query
    titled = await trio.to_thread.run_sync(_titled, peer, query.catalogues)
    found = (
        id_
        for name in query.collections
        for id_ in ([name] if name in known else titled.get(name.casefold(), [name]))
    )
    return replace(query, collections=tuple(dict.fromkeys(found)))


def _titled(peer: Peer, catalogues: Sequence[CatalogueId]) -> dict[str, list[str]]:
    """Return the ids of the collections that have each title, in small letters."""
    titled: dict[str, list[str]] = {}
    for held in followed(peer, catalogues):
        for name in held.contents.collections:
            for title in document_of(peer, held, name).titles.values():
                titled.setdefault(title.casefold(), []).append(name)
    return titled


def _overdue(peer: Peer, query: Query) -> list[dict[str, Any]]:
    """Return what is stale, possibly frozen, forked or contradicted by its domain of the catalogues
    that a query reaches.
    """
    found = []
    for held in peer.node.catalogues.values():
        if held.chain is None or not held.followed:
            continue
        if query.catalogues and held.id not in query.catalogues:
            continue
        said = {**currency(held), "domain": domain_said(peer, held)}
        is_contradicted = said["domain"]["binding"] == Binding.CONTRADICTED.value
        is_current = said["freshness"] == [Freshness.CURRENT.value]
        if said["rivals"] or is_contradicted or not is_current:
            found.append({"id": catalogue_text(held.id), "title": title_of(held), **said})
    return found


async def _rebuilding(peer: Peer) -> AsyncGenerator[Message, None]:
    """Offline, wait while the index is made again: nobody else does it. Yields what is left."""
    if peer.network is not None:
        return
    with peer.journal.notices.watch(lambda _: True) as watcher:
        while (left := peer.node.replica.unindexed) and not peer.node.read_only:
            yield {"event": {"to_index": left}}
            await watcher.receive()


def _said(peer: Peer, page: Sequence[Found]) -> list[dict[str, Any]]:
    collections = dict.fromkeys((found.catalogue, found.collection) for found in page)
    titles = {name: _titles(peer, *name) for name in collections}
    return [_said_of(peer, each, titles[each.catalogue, each.collection]) for each in page]


def _titles(peer: Peer, catalogue: CatalogueId, collection: str) -> dict[str, str]:
    return dict(document_of(peer, peer.node.catalogues[catalogue], collection).titles)


def _said_of(peer: Peer, found: Found, titles: dict[str, str]) -> dict[str, Any]:
    catalogue = peer.node.catalogues[found.catalogue]
    assert catalogue.chain is not None  # nothing is indexed before its root is known
    writer = catalogue.chain.writer(found.writer)
    return {
        "catalogue": catalogue_text(found.catalogue),
        "title": title_of(catalogue),
        "domain": domain_said(peer, catalogue),
        "collection": found.collection,
        "collection_titles": titles,
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


ACTIONS: dict[str, Action] = {
    "search": (Search, search),
    "count": (Search, count),
}
