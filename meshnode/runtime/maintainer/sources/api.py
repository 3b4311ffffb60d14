"""A STAC API: its collections, and all items by item search, page after page.

Implements the client's side of STAC API 1.0.0: Core, Collections, Item Search with GET paging links
or POST ones (`body`, `merge`), else Features. An API has no bytes of an item that would stay, so an
item is written in our stated serialisation (protocol/03-segments.md).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urljoin

from pydantic_core import from_json

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.sources import Given, Reading
from meshnode.runtime.maintainer.sources.client import Client, Request
from meshnode.runtime.maintainer.sources.documents import Documents
from meshnode.runtime.segments.format import ITEM_BYTES_MAX
from meshnode.runtime.segments.items import ItemText, RefusedItem
from meshnode.runtime.segments.json_text import written

PAGE_ITEMS: Final = 500  # asked for; a server may give fewer
PAGES_AHEAD: Final = 2  # fetched while the items before are checked
_LOOK_SECONDS: Final = 1.0  # how soon the thread that fetches sees that nobody reads any more
PAGES_MAX: Final = 10_000_000  # of one search: a server that never ends

_Links = list[dict[str, Any]]


@dataclass(slots=True)
class Api:
    """One API, as its landing page describes it.

    `collections`: only these; all of them if it is empty.
    """

    client: Client
    url: str
    links: _Links
    collections: Sequence[str]
    page_items: int = PAGE_ITEMS
    documents: Documents = field(default_factory=Documents)

    def items(self) -> Iterator[Given]:
        """Yield the items page by page; the documents are whole before the first.

        Raises:
            UsageError: the API cannot be asked, or its answers are none of a STAC API.
        """
        features: _Links = []
        if data := _link(self.links, "data"):
            for page in self._pages(Request(urljoin(self.url, data["href"]))):
                for document in _members(page, "collections"):
                    self._take(document, features)
        search = _link(self.links, "search")
        if search is not None:
            yield from self._search(urljoin(self.url, search["href"]))
        elif not features:
            raise UsageError(
                f"{self.url} offers neither item search nor items", hint="is it a STAC API?"
            )
        else:
            for link in features:
                yield from self._features(Request(_asking(link["href"], limit=self.page_items)))

    def _take(self, document: dict[str, Any], features: _Links) -> None:
        name = str(document.get("id"))
        if self.collections and name not in self.collections:
            return
        self.documents.take(written(document), f"{self.url} collection {name}")
        if link := _link(document.get("links", []), "items"):
            features.append({**link, "href": urljoin(self.url, link["href"])})

    def _search(self, url: str) -> Iterator[Given]:
        query: dict[str, Any] = {"limit": self.page_items}
        if self.collections:
            query["collections"] = ",".join(self.collections)
        yield from self._features(Request(_asking(url, **query)))

    def _features(self, first: Request) -> Iterator[Given]:
        """Yield the items of all pages, and at the end whether some did not come."""
        matched: int | None = None
        number = 0
        for page in _ahead(self._pages(first)):
            found = page.get("numberMatched", page.get("context", {}).get("matched"))
            matched = found if isinstance(found, int) and matched is None else matched
            for value in _members(page, "features"):
                number += 1
                yield _item(value, f"{first.url} item {number}")
        if matched is not None and number < matched:
            said = f"the server says that {matched} items match, and gave {number}"
            yield RefusedItem(first.url, None, said)

    def _pages(self, request: Request | None) -> Iterator[dict[str, Any]]:
        for _ in range(PAGES_MAX):
            if request is None:
                return
            raw, url = self.client.document(request)
            page = _parsed(raw, url)
            yield page
            request = _next(page, request, url)


def is_api(root: dict[str, Any]) -> bool:
    """Say whether a root Catalog is the landing page of a STAC API."""
    links = root.get("links", [])
    return "conformsTo" in root or _link(links, "search") is not None


def read_api(client: Client, url: str, root: dict[str, Any], collections: Sequence[str]) -> Reading:
    api = Api(client, url, root.get("links", []), collections)
    return Reading(api.items(), api.documents)


def _next(page: dict[str, Any], asked: Request, url: str) -> Request | None:
    link = _link(page.get("links", []), "next")
    if link is None:
        return None
    target, method = urljoin(url, str(link["href"])), str(link.get("method", "GET")).upper()
    body = link.get("body")
    if link.get("merge") and isinstance(body, dict) and isinstance(asked.body, dict):
        body = {**asked.body, **body}
    headers = link.get("headers") or {}
    following = Request(target, method, headers, body if method == "POST" else None)
    if following == asked:
        raise UsageError(f"{url} names itself as its next page", hint="the server is broken")
    return following


def _link(links: object, rel: str) -> dict[str, Any] | None:
    """Return the first link of a relation; of several searches the one by GET."""
    found = [
        link
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str)
    ]
    by_get = [link for link in found if str(link.get("method", "GET")).upper() == "GET"]
    return next(iter([*by_get, *found]), None)


def _asking(url: str, **query: object) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _parsed(raw: bytes, url: str) -> dict[str, Any]:
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise UsageError(f"{url} does not answer with JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{url} does not answer as a STAC API")
    return value


def _members(page: dict[str, Any], name: str) -> _Links:
    members = page.get(name)
    if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
        raise UsageError(f"an answer of the API has no list of {name}", hint="is it a STAC API?")
    return members


def _item(value: dict[str, Any], where: str) -> Given:
    raw = written(value)
    if len(raw) > ITEM_BYTES_MAX:
        return RefusedItem(where, None, f"larger than {ITEM_BYTES_MAX} bytes")
    return ItemText.of(raw, value, where)


def _ahead(pages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield pages that another thread fetches, PAGES_AHEAD of them before they are needed."""
    fetched: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue(PAGES_AHEAD)
    is_over = threading.Event()

    def give(page: dict[str, Any] | BaseException | None) -> None:
        while not is_over.is_set():
            with suppress(queue.Full):
                fetched.put(page, timeout=_LOOK_SECONDS)
                return

    def fetch() -> None:
        try:
            for page in pages:
                give(page)
                if is_over.is_set():
                    return
            give(None)
        except BaseException as error:
            give(error)

    threading.Thread(target=fetch, name="pages", daemon=True).start()
    try:
        while (page := fetched.get()) is not None:
            if isinstance(page, BaseException):
                raise page
            yield page
    finally:
        is_over.set()
