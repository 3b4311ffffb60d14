"""One page of a search: read from the index in a worker thread, written as GeoJSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import trio
from pydantic_core import to_json

from meshnode.errors import UsageError
from meshnode.runtime.api.addresses import Addresses, with_parameters
from meshnode.runtime.api.features import GEOJSON, JSON, Features
from meshnode.runtime.api.naming import Names
from meshnode.runtime.api.refusals import RefusedError
from meshnode.runtime.api.released import ReleasedBook
from meshnode.runtime.api.standings import Standings
from meshnode.runtime.api.wanted import NEXT, PREV, Wanted
from meshnode.runtime.index.query import Found, Query
from meshnode.runtime.index.reader import PAGE_BYTES_MAX, Budget, UnknownPropertyError
from meshnode.runtime.operator.searching import in_search_thread
from meshnode.runtime.peer import Peer
from meshnode.runtime.segments.format import ITEM_BYTES_MAX

BUDGET: Final = Budget(cpu_seconds=5.0)  # of a page; one that costs more is asked wrongly
COUNT_BUDGET: Final = Budget(cpu_seconds=0.02)  # of a count that nobody asked for
WAIT_SECONDS_MAX: Final = 30.0  # for a thread that searches
TRUST: Final = "meshnode:trust"

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Asked:
    """How a page was asked for, for the links to the others: GET parameters or a POST body."""

    address: str
    parameters: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None

    def link(self, rel: str, token: str | None) -> dict[str, Any]:
        if self.body is not None:
            body = {key: value for key, value in self.body.items() if key != "token"}
            more = {} if token is None else {"token": token}
            return {
                "rel": rel,
                "type": GEOJSON,
                "method": "POST",
                "href": self.address,
                "body": body | more,
                "merge": False,
            }
        kept = [(name, value) for name, value in self.parameters if name != "token"]
        if token is not None:
            kept.append(("token", token))
        return {
            "rel": rel,
            "type": GEOJSON,
            "method": "GET",
            "href": with_parameters(self.address, kept),
        }


@dataclass(frozen=True, slots=True)
class Page:
    """What was found; `has_more` says whether there is a page beyond it, in its own direction."""

    found: list[Found]
    has_more: bool
    matched: int | None


class Searches:
    """Searches of the API, within the threads that all searches of the peer share."""

    def __init__(self, peer: Peer, standings: Standings) -> None:
        self._peer = peer
        self._standings = standings
        self._released = ReleasedBook(peer)

    async def collection_of_features(
        self, wanted: Wanted, names: Names, addresses: Addresses, asked: Asked
    ) -> bytes:
        """Return a page as GeoJSON.

        Raises:
            UsageError: a token of another order, a property that no item has, or the budget is
                spent.
            RefusedError: no thread was free in time.
        """
        features = await self._features(names, addresses)
        return await self._in_thread(lambda: self._written(wanted, features, asked))

    async def feature(
        self, query: Query, names: Names, addresses: Addresses, *, proof: bool
    ) -> bytes | None:
        """Return the one item that a query names as GeoJSON; None if there is none."""
        features = await self._features(names, addresses)

        def read() -> bytes | None:
            found = self._peer.index.search(query, BUDGET)
            return features.of(found[0], None, proof=proof).encode() if found else None

        return await self._in_thread(read)

    async def _features(self, names: Names, addresses: Addresses) -> Features:
        return Features(self._peer, addresses, names, await self._released.now(), self._standings)

    async def _in_thread(self, read: Callable[[], Read]) -> Read:
        with trio.move_on_after(WAIT_SECONDS_MAX):
            return await in_search_thread(self._peer, read)
        raise RefusedError(503, "this peer has too much to search at the moment: try again soon")

    def _written(self, wanted: Wanted, features: Features, asked: Asked) -> bytes:
        page = self._page(wanted)
        texts = [features.of(each, wanted.fields, proof=wanted.proof) for each in page.found]
        rest: dict[str, Any] = {
            "links": [*_page_links(wanted, page, asked), _root(features.addresses)],
            "numberReturned": len(texts),
            TRUST: self._trust(wanted),
        }
        if page.matched is not None:
            rest["numberMatched"] = page.matched
        after = to_json(rest)
        return b"".join(
            [
                b'{"type":"FeatureCollection","features":[',
                ",\n".join(texts).encode(),
                b"],",
                after[1:],
            ]
        )

    def _page(self, wanted: Wanted) -> Page:
        query = wanted.query
        if query is None:
            return Page([], has_more=False, matched=0)
        is_first = query.after is None and query.before is None
        try:
            found = self._peer.index.search(query, BUDGET)
        except UnknownPropertyError as error:
            raise UsageError(f"filter: {error}", hint=error.hint) from error
        has_more = len(found) > wanted.limit or self._was_cut(query, found)
        found = found[: wanted.limit] if query.before is None else found[-wanted.limit :]
        is_whole = is_first and not has_more
        matched = self._matched(query, len(found), is_first=is_first, is_whole=is_whole)
        return Page(found, has_more, matched)

    def _was_cut(self, query: Query, found: list[Found]) -> bool:
        """Say whether a page ended early for its bytes, and there is more."""
        size_bytes = sum(len(each.item) for each in found)
        if len(found) == query.limit or size_bytes + ITEM_BYTES_MAX <= PAGE_BYTES_MAX:
            return False
        one = replace(query, limit=1)
        beyond = (
            replace(one, after=found[-1].token)
            if query.before is None
            else replace(one, before=found[0].token)
        )
        return bool(self._peer.index.search(beyond, BUDGET))

    def _matched(
        self, query: Query, returned: int, *, is_first: bool, is_whole: bool
    ) -> int | None:
        """Return how many items match if that is known, or soon found out; else None."""
        if is_whole:
            return returned
        if not is_first and not query.is_open:
            return None  # the first page said it
        try:
            return self._peer.index.count(query, COUNT_BUDGET)
        except UsageError:
            return None

    def _trust(self, wanted: Wanted) -> dict[str, Any]:
        pairs = wanted.query.pairs if wanted.query else ()
        reached = dict.fromkeys(catalogue for catalogue, _ in pairs) or self._standings.followed()
        return {
            "to_index": self._peer.node.replica.unindexed,
            "doubtful": self._standings.doubtful(reached),
        }


def _page_links(wanted: Wanted, page: Page, asked: Asked) -> list[dict[str, Any]]:
    links = [] if asked.body is not None else [asked.link("self", _token(wanted.query))]
    query, found = wanted.query, page.found
    if query is None:
        return links
    is_backward = query.before is not None
    has_next = is_backward or page.has_more
    has_prev = page.has_more if is_backward else query.after is not None
    if has_next and (token := found[-1].token if found else query.before):
        links.append(asked.link("next", f"{NEXT}:{token}"))
    if has_prev and (token := found[0].token if found else query.after):
        links.append(asked.link("prev", f"{PREV}:{token}"))
    return links


def _token(query: Query | None) -> str | None:
    if query is None or (query.after is None and query.before is None):
        return None
    return f"{PREV}:{query.before}" if query.after is None else f"{NEXT}:{query.after}"


def _root(addresses: Addresses) -> dict[str, Any]:
    return {"rel": "root", "type": JSON, "href": addresses.landing}
