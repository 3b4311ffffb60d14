"""A static STAC catalogue, in a folder or on a web server: walked by its links.

Only what lies within the source is read: below the folder, or at the same origin. A link that leads
out is told as a part that cannot be read, for nobody knows then what the catalogue holds.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.sources import Given, Reading
from meshnode.runtime.maintainer.sources.addresses import with_absolute_addresses
from meshnode.runtime.maintainer.sources.ahead import AT_ONCE, ahead
from meshnode.runtime.maintainer.sources.client import Client
from meshnode.runtime.maintainer.sources.documents import Documents
from meshnode.runtime.segments.format import ITEM_BYTES_MAX
from meshnode.runtime.segments.items import ItemText, RefusedItem
from meshnode.runtime.segments.json_text import JsonTextError, parse_object, written

_MEMBERS: Final = ("item", "child")

Fetch = Callable[[str], bytes]  # the document at a URL; raises UsageError
Within = Callable[[str], bool]  # whether a URL belongs to the source


def read_disk(root: Path) -> Reading:
    """Read the catalogue whose root document is this file."""
    folder = Path(os.path.abspath(root.parent))
    prefix = f"{folder.as_uri().rstrip('/')}/"

    def is_within(url: str) -> bool:
        return url.startswith(prefix)

    walk = Walk(_read_disk, is_within)
    return Reading(walk.items((folder / root.name).as_uri()), walk.documents)


def read_web(client: Client, url: str) -> Reading:
    """Read the catalogue whose root document is at this URL."""
    origin = urlsplit(url)[:2]

    def is_within(link: str) -> bool:
        return urlsplit(link)[:2] == origin

    walk = Walk(lambda link: client.document(link)[0], is_within)
    return Reading(walk.items(url), walk.documents)


@dataclass(slots=True)
class Walk:
    """Invariant: each document is asked for once, whatever circles its links make."""

    fetch: Fetch
    is_within: Within
    documents: Documents = field(default_factory=Documents)
    _seen: set[str] = field(default_factory=set)

    def items(self, root: str) -> Iterator[Given]:
        """Yield the items depth first, in the order of the links."""
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            yield from self._below(root, pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _below(self, root: str, pool: ThreadPoolExecutor) -> Iterator[Given]:
        waiting = [root]
        while waiting:
            url = waiting.pop()
            if url in self._seen:
                continue
            self._seen.add(url)
            try:
                raw = self.fetch(url)
                links = self._links(url, raw)
            except (UsageError, JsonTextError) as error:
                if url == root:
                    raise UsageError(f"{url}: {error}", hint="check the address") from error
                yield RefusedItem(url, None, str(error))
                continue
            yield from self._fetched(links.items, pool)
            waiting += reversed(links.children)

    def _links(self, url: str, raw: bytes) -> Links:
        value = parse_object(raw)
        if value.get("type") == "Collection":
            self.documents.take(_without_members(value, raw), url)
        elif value.get("type") != "Catalog":
            raise UsageError("it is neither a STAC Catalog nor a Collection")
        return Links.of(value, url)

    def _fetched(self, urls: Sequence[str], pool: ThreadPoolExecutor) -> Iterator[Given]:
        for url, document in ahead(pool, self._document, urls):
            yield document if isinstance(document, RefusedItem) else _item(url, document)

    def _document(self, url: str) -> bytes | RefusedItem:
        if not self.is_within(url):
            return RefusedItem(url, None, "it lies outside the source")
        try:
            return self.fetch(url)
        except UsageError as error:
            return RefusedItem(url, None, str(error))


@dataclass(frozen=True, slots=True)
class Links:
    """Where a Catalog or Collection leads, as absolute URLs."""

    items: tuple[str, ...]
    children: tuple[str, ...]

    @classmethod
    def of(cls, value: dict[str, Any], url: str) -> Links:
        links = value.get("links")
        found = [link for link in links if isinstance(link, dict)] if links else []
        return cls(_targets(found, url, "item"), _targets(found, url, "child"))


def _without_members(value: dict[str, Any], raw: bytes) -> bytes:
    """Return a Collection without the links to what it holds: the log says that.

    With them each new item would make a new document, and a large catalogue one that is too large.
    """
    links = value.get("links")
    if not isinstance(links, list):
        return raw
    kept = [link for link in links if not (isinstance(link, dict) and link.get("rel") in _MEMBERS)]
    return raw if len(kept) == len(links) else written({**value, "links": kept})


def _targets(links: Iterable[dict[str, Any]], url: str, rel: str) -> tuple[str, ...]:
    hrefs = [link.get("href") for link in links if link.get("rel") == rel]
    return tuple(urljoin(url, href) for href in hrefs if isinstance(href, str))


def _item(url: str, raw: bytes) -> Given:
    raw = raw.strip()
    if len(raw) > ITEM_BYTES_MAX:
        return RefusedItem(url, None, f"larger than {ITEM_BYTES_MAX} bytes")
    try:
        return with_absolute_addresses(ItemText.of(raw, parse_object(raw), url), url)
    except JsonTextError as error:
        return RefusedItem(url, None, str(error))


def _read_disk(url: str) -> bytes:
    path = Path(unquote(urlsplit(url).path))
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
