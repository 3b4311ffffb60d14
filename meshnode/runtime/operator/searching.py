"""Search over this peer's own index: `search` streams pages, `count` and `facets` count."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import trio

from meshnode.control import Message
from meshnode.core.domains import Binding
from meshnode.core.freshness import Freshness
from meshnode.core.identifiers import CatalogueId, Kid, catalogue_text, object_text
from meshnode.errors import UsageError
from meshnode.runtime.holdings import Holdings
from meshnode.runtime.index.fields import Fields
from meshnode.runtime.index.query import Found, Query
from meshnode.runtime.index.queryables import COLUMNS, parse_item
from meshnode.runtime.index.reader import Budget
from meshnode.runtime.operator.arguments import Action, Nothing
from meshnode.runtime.operator.collections import document_of, followed, title_of
from meshnode.runtime.operator.joining import domain_said
from meshnode.runtime.operator.search_arguments import Search
from meshnode.runtime.operator.standing import currency
from meshnode.runtime.peer import Peer

FORKED_ROOTS = "forked roots"
FORKED_LOG = "forked log"
CLOSED_WRITER = "closed writer"
Read = TypeVar("Read")

BUDGET = Budget(cpu_seconds=10.0)  # of one page or one count; longer ones are asked wrongly


async def search(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    """Yield the items found, in order, a page an event: {"found": [...]}.

    {"overdue": [...]} names the catalogues that were searched and may be out of date. `to_index`
    of the result: segments that are here but not searchable yet.
    """
    query, sent, fields = await _query(peer, arguments), 0, arguments.wanted_fields()
    if doubtful := overdue(peer, query):
        yield {"event": {"overdue": doubtful}}
    async with aclosing(rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    while True:
        page = await in_search_thread(peer, partial(peer.index.search, query, BUDGET))
        if arguments.limit is not None:
            page = page[: arguments.limit - sent]
        if not page:
            break
        sent += len(page)
        said = await trio.to_thread.run_sync(_said, peer, page, fields)
        yield {"event": {"found": said}}
        query = replace(query, after=page[-1].token)
    yield {"result": {"count": sent, "to_index": peer.node.replica.unindexed}}


async def count(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    """Return how many items match: {"count": …}, beside what `search` says."""
    async for message in _counted(peer, arguments, _count):
        yield message


async def facets(peer: Peer, arguments: Search) -> AsyncGenerator[Message, None]:
    """Return how many items match, by collection and by year of their moment.

    {"count": …, "collections": [{"catalogue", "title", "collection", "count"}, …],
    "years": [{"year", "count"}, …]}, beside what `search` says.
    """
    async for message in _counted(peer, arguments, _facets):
        yield message


async def queryables(peer: Peer, arguments: Nothing) -> AsyncGenerator[Message, None]:
    """Return what a filter may name: {"queryables": [{"name", "kind", "title"}, …]}."""
    names = await trio.to_thread.run_sync(peer.index.properties)
    said = [
        {"name": column.name, "kind": column.kind.value, "title": column.title, "is_fast": True}
        for column in COLUMNS.values()
    ]
    said.append({"name": "geometry", "kind": "a place", "title": "Its geometry", "is_fast": True})
    said += [
        {"name": name, "kind": "", "title": "", "is_fast": False}
        for name in names
        if name not in COLUMNS
    ]
    yield {"result": {"queryables": said}}


async def _counted(
    peer: Peer, arguments: Search, counting: Callable[[Peer, Query], Message]
) -> AsyncGenerator[Message, None]:
    query = await _query(peer, arguments)
    if doubtful := overdue(peer, query):
        yield {"event": {"overdue": doubtful}}
    async with aclosing(rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    found = await in_search_thread(peer, partial(counting, peer, query))
    yield {"result": {**found, "to_index": peer.node.replica.unindexed}}


async def in_search_thread(peer: Peer, read: Callable[[], Read]) -> Read:
    """Read in a thread of the searches: others wait for these, and nothing else does."""
    return await trio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=peer.searches)


def _count(peer: Peer, query: Query) -> Message:
    return {"count": peer.index.count(query, BUDGET)}


def _facets(peer: Peer, query: Query) -> Message:
    found = peer.index.facets(query, BUDGET)
    return {
        "count": found.count,
        "collections": [
            {
                "catalogue": catalogue_text(catalogue),
                "title": title_of(peer.node.catalogues[catalogue]),
                "collection": name,
                "count": number,
            }
            for (catalogue, name), number in found.collections.items()
        ],
        "years": [{"year": year, "count": number} for year, number in found.years.items()],
    }


async def _query(peer: Peer, arguments: Search) -> Query:
    """Return the query of the first page, collections that are named by a title by their ids.

    Raises:
        UsageError: an argument that cannot be read, or no catalogue is current.
    """
    query = arguments.query()
    if arguments.current:
        query = current_only(peer, query)
    if _named(peer).issuperset(query.collections):
        return query
    return await trio.to_thread.run_sync(by_ids, peer, query)


def current_only(peer: Holdings, query: Query) -> Query:
    """Return the query of those of its catalogues that are up to date and not forked.

    Raises:
        UsageError: none of them is.
    """
    left_out = {said["id"] for said in overdue(peer, query)}
    held = [each.id for each in followed(peer, query.catalogues)]
    found = tuple(each for each in held if catalogue_text(each) not in left_out)
    if not found:
        raise UsageError(
            "no catalogue that was asked for is up to date", hint="meshnode status says why"
        )
    return replace(query, catalogues=found)


def by_ids(peer: Holdings, query: Query) -> Query:
    """Return the query with the ids of the collections that it names by their titles.

    Reads the disk: use a worker thread.
    """
    known, titled = _named(peer), _titled(peer, query.catalogues)
    found = (
        id_
        for name in query.collections
        for id_ in ([name] if name in known else titled.get(name.casefold(), [name]))
    )
    return replace(query, collections=tuple(dict.fromkeys(found)))


def _named(peer: Holdings) -> set[str]:
    return {name for held in followed(peer) for name in held.contents.collections}


def _titled(peer: Holdings, catalogues: Sequence[CatalogueId]) -> dict[str, list[str]]:
    """Return the ids of the collections that have each title, in small letters."""
    titled: dict[str, list[str]] = {}
    for held in followed(peer, catalogues):
        for name in held.contents.collections:
            for title in document_of(peer, held, name).titles.values():
                titled.setdefault(title.casefold(), []).append(name)
    return titled


def overdue(peer: Holdings, query: Query) -> list[dict[str, Any]]:
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


async def rebuilding(peer: Peer) -> AsyncGenerator[Message, None]:
    """Offline, wait while the index is made again: nobody else does it. Yields what is left."""
    if peer.network is not None:
        return
    with peer.journal.notices.watch(lambda _: True) as watcher:
        while (left := peer.node.replica.unindexed) and not peer.node.read_only:
            yield {"event": {"to_index": left}}
            await watcher.receive()


def _said(peer: Peer, page: Sequence[Found], fields: Fields | None) -> list[dict[str, Any]]:
    return [
        {**said, "item": each.item.decode() if fields is None else _reduced(each.item, fields)}
        for each, said in zip(page, provenance(peer, page), strict=True)
    ]


def provenance(peer: Holdings, page: Sequence[Found]) -> list[dict[str, Any]]:
    """Return of each item whose it is, who signed it, and the state of its catalogue.

    Reads the disk: use a worker thread.
    """
    collections = dict.fromkeys((found.catalogue, found.collection) for found in page)
    titles = {name: _titles(peer, *name) for name in collections}
    writers = dict.fromkeys((found.catalogue, found.writer) for found in page)
    states = {writer: _state(peer, *writer) for writer in writers}
    return [
        {
            **_said_of(peer, each, titles[each.catalogue, each.collection]),
            "state": states[each.catalogue, each.writer],
        }
        for each in page
    ]


def _state(peer: Holdings, catalogue: CatalogueId, kid: Kid) -> list[str]:
    """Return what is overdue in a catalogue, or that it is current, and what is known against its
    roots, the writer of an item and his log.
    """
    held = peer.node.catalogues[catalogue]
    said, writer = currency(held), held.chain.writer(kid) if held.chain else None
    against = {
        FORKED_ROOTS: bool(said["rivals"]),
        FORKED_LOG: kid in held.disputed,
        CLOSED_WRITER: writer is not None and writer.closed is not None,
    }
    return [*said["freshness"], *(what for what, holds in against.items() if holds)]


def _reduced(item: bytes, fields: Fields) -> str:
    return json.dumps(fields.of(parse_item(item)), ensure_ascii=False)


def _titles(peer: Holdings, catalogue: CatalogueId, collection: str) -> dict[str, str]:
    return dict(document_of(peer, peer.node.catalogues[catalogue], collection).titles)


def _said_of(peer: Holdings, found: Found, titles: dict[str, str]) -> dict[str, Any]:
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
        "is_visible": found.is_visible,
    }


ACTIONS: dict[str, Action] = {
    "search": (Search, search),
    "count": (Search, count),
    "facets": (Search, facets),
    "queryables": (Nothing, queryables),
}
