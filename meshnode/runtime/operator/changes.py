"""The feed of changes: `changes` streams it, `changes_count` says what is new per collection."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.runtime.holdings import Holdings
from meshnode.runtime.index import changes as feed
from meshnode.runtime.index.changes import NOW, Change, Page, Wanted
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.reader import Reader
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.operator.collections import document_of, title_of
from meshnode.runtime.operator.searching import BUDGET, by_ids, in_search_thread, rebuilding
from meshnode.runtime.peer import Peer

PAGE_CHANGES: Final = 1_000  # read by one worker thread and sent as one message
FOLLOW_SECONDS: Final = 1.0  # between two looks, for who follows
NEWEST_DEFAULT: Final = 20

Read = TypeVar("Read")


class Changes(Arguments):
    """Which changes: of these catalogues and collections (by id or title), after `since`.

    `since` is a cursor of an answer before, a time, a day, `beginning` or `now`; without it the
    newest `limit` are meant. `limit` is of all pages together; `follow` goes on for ever.
    """

    since: str | None = None
    catalogues: tuple[Catalogue, ...] = ()
    collections: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    follow: bool = False


class Counted(Arguments):
    since: str
    catalogues: tuple[Catalogue, ...] = ()
    collections: tuple[str, ...] = ()


async def changes(peer: Peer, arguments: Changes) -> AsyncGenerator[Message, None]:
    """Yield {"changes": […], "cursor": …, "reset": …} a page, in the order of the feed.

    A change has kind, time, catalogue, collection, id, its own cursor, and the exact `item` unless
    it was withdrawn. `reset`: everything that was taken from the feed before is void. The result
    has the cursor to go on from, and `to_index` as a search has.
    """
    async with aclosing(rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    wanted = await trio.to_thread.run_sync(wanted_of, peer, arguments)
    since, left = arguments.since, math.inf if arguments.limit is None else arguments.limit
    if since is None:
        page = await read_feed(peer, lambda reader: _newest(reader, wanted, arguments.limit))
        yield {"event": _page_said(page)}
        since, left = str(page.cursor), math.inf if arguments.follow else 0
    while left > 0:
        place, limit = since, int(min(PAGE_CHANGES, left))
        page = await read_feed(peer, lambda reader: feed.page(reader, place, wanted, limit))  # noqa: B023 - called at once
        if page.changes or page.is_reset:
            yield {"event": _page_said(page)}
        since, left = str(page.cursor), left - len(page.changes)
        if page.is_last and not arguments.follow:
            break
        if page.is_last:
            await trio.sleep(FOLLOW_SECONDS)
    yield {"result": {"cursor": since, "to_index": peer.node.replica.unindexed}}


async def changes_count(peer: Peer, arguments: Counted) -> AsyncGenerator[Message, None]:
    """Return {"collections": [{"catalogue", "title", "collection", "added", …}, …], "cursor"}."""
    wanted = await trio.to_thread.run_sync(wanted_of, peer, arguments)

    def work(reader: Reader) -> Message:
        counted = feed.counts(reader, arguments.since, wanted)
        return {
            "collections": [
                {
                    "catalogue": catalogue_text(catalogue),
                    "title": _title(peer, catalogue),
                    "collection": name,
                    **{kind.value: many for kind, many in kinds.items()},
                }
                for (catalogue, name), kinds in counted.items()
            ],
            "cursor": str(feed.newest(reader)),
        }

    yield {"result": await read_feed(peer, work)}


class Asked(Protocol):
    """Which changes somebody asks for."""

    @property
    def catalogues(self) -> tuple[CatalogueId, ...]: ...

    @property
    def collections(self) -> tuple[str, ...]: ...


def wanted_of(peer: Holdings, arguments: Asked) -> Wanted:
    """Return which changes are asked for, collections by their ids.

    Reads the disk: use a worker thread.
    """
    query = Query(collections=arguments.collections)
    collections = by_ids(peer, query).collections if arguments.collections else ()
    return Wanted(arguments.catalogues, collections)


def change_said(change: Change) -> dict[str, Any]:
    """Return what is said of a change, but for its item."""
    return {
        "change": change.kind.value,
        "at": time_text(change.at),
        "catalogue": catalogue_text(change.catalogue),
        "collection": change.collection,
        "id": change.id,
        "cursor": str(change.cursor),
    }


def names_of(
    peer: Holdings, changes: Iterable[Change]
) -> dict[tuple[CatalogueId, str], tuple[str, str]]:
    """Return how people call the catalogue and the collection of each change.

    Reads the disk: use a worker thread.
    """
    names = dict.fromkeys((change.catalogue, change.collection) for change in changes)
    return {name: _names(peer, *name) for name in names}


def _names(peer: Holdings, catalogue: CatalogueId, collection: str) -> tuple[str, str]:
    held = peer.node.catalogues.get(catalogue)
    if held is None:
        return catalogue_text(catalogue), collection
    title = document_of(peer, held, collection).title()
    return title_of(held) or catalogue_text(catalogue), title or collection


def time_text(unix: int) -> str:
    """Return unix seconds as RFC 3339."""
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


async def read_feed(peer: Peer, work: Callable[[Reader], Read]) -> Read:
    """Do `work` within one snapshot of the index, in a thread of the searches."""
    return await in_search_thread(peer, lambda: peer.index.read(work, BUDGET))


def _newest(reader: Reader, wanted: Wanted, limit: int | None) -> Page:
    found = feed.latest(reader, wanted, min(limit or NEWEST_DEFAULT, feed.LIMIT_MAX))
    cursor = feed.page(reader, NOW, wanted, 1).cursor
    return Page(tuple(reversed(found)), cursor, is_reset=False, is_last=True)


def _page_said(page: Page) -> Message:
    return {
        "changes": [
            change_said(each) | ({"item": each.found.item.decode()} if each.found else {})
            for each in page.changes
        ],
        "cursor": str(page.cursor),
        "reset": page.is_reset,
    }


def _title(peer: Holdings, catalogue: CatalogueId) -> str:
    held = peer.node.catalogues.get(catalogue)
    return title_of(held) if held else ""


ACTIONS: dict[str, Action] = {
    "changes": (Changes, changes),
    "changes_count": (Counted, changes_count),
}
