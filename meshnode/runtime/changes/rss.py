"""The newest changes as RSS 2.0 (rssboard.org/rss-specification), for feed readers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from meshnode.core.identifiers import CatalogueId
from meshnode.runtime.index.changes import Change, Kind
from meshnode.runtime.index.queryables import parse_item, properties_of

Names = Mapping[tuple[CatalogueId, str], tuple[str, str]]  # of catalogue and collection, for people

TITLE_CHARS_MAX: Final = 300
DESCRIPTION_CHARS_MAX: Final = 2_000
TTL_MINUTES: Final = 15

_ATOM: Final = "http://www.w3.org/2005/Atom"
_WORDS: Final = {Kind.ADDED: "New", Kind.REPLACED: "Changed", Kind.WITHDRAWN: "Withdrawn"}
# What XML 1.0 cannot hold (section 2.2): one such character would make the whole feed unreadable.
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

register_namespace("atom", _ATOM)


def rss(changes: Sequence[Change], names: Names, address: str) -> bytes:
    """Write the changes, the newest first; `address` is that of the feed itself."""
    feed = Element("rss", version="2.0")
    channel = SubElement(feed, "channel")
    titles = dict.fromkeys(collection for _, collection in names.values())
    title = f"What is new: {next(iter(titles))}" if len(titles) == 1 else "What is new"
    _add(channel, "title", title)
    _add(channel, "link", address)
    _add(channel, "description", "Items added, replaced and withdrawn, as this peer came to know")
    _add(channel, "ttl", str(TTL_MINUTES))
    SubElement(channel, f"{{{_ATOM}}}link", href=address, rel="self", type="application/rss+xml")
    for change in changes:
        _add_change(channel, change, *names[change.catalogue, change.collection])
    document: bytes = tostring(feed, "utf-8", xml_declaration=True)
    return document


def _add_change(channel: Element, change: Change, catalogue: str, collection: str) -> None:
    said = {} if change.found is None else properties_of(parse_item(change.found.item))
    title, description = said.get("title"), said.get("description")
    name = title if isinstance(title, str) and title else change.id
    item = SubElement(channel, "item")
    _add(item, "title", f"{_WORDS[change.kind]}: {name}"[:TITLE_CHARS_MAX])
    about = f"{change.id} in {collection}, {catalogue}"
    more = f"\n{description}" if isinstance(description, str) else ""
    _add(item, "description", f"{about}{more}"[:DESCRIPTION_CHARS_MAX])
    _add(item, "category", collection)
    _add(item, "guid", str(change.cursor)).set("isPermaLink", "false")
    _add(item, "pubDate", formatdate(change.at, usegmt=True))


def _add(parent: Element, tag: str, text: str) -> Element:
    element = SubElement(parent, tag)
    element.text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    return element
