"""Relative addresses in the items of a static catalogue, which would lead nowhere at other peers.

An item without one keeps its exact bytes. Otherwise its links and assets are resolved (RFC 3986
section 5) against its own address, and it is written in our stated serialisation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urljoin

from meshnode.runtime.segments.items import ItemText
from meshnode.runtime.segments.json_text import written

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def with_absolute_addresses(item: ItemText, url: str) -> ItemText:
    """Return the item, its addresses absolute if its own is known on the web."""
    value = item.value
    base = url if url.startswith(("http://", "https://")) else _own_address(value)
    if base is None or not any(_is_relative(each) for each in _addressed(value)):
        return item
    for each in _addressed(value):
        if _is_relative(each):
            each["href"] = urljoin(base, each["href"])
    return ItemText.of(written(value), value, item.where)


def _own_address(value: dict[str, Any]) -> str | None:
    for link in _addressed(value):
        href = link.get("href")
        if link.get("rel") == "self" and isinstance(href, str):
            return href if href.startswith(("http://", "https://")) else None
    return None


def _addressed(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    links, assets = value.get("links"), value.get("assets")
    yield from (each for each in links or () if isinstance(each, dict))
    if isinstance(assets, dict):
        yield from (each for each in assets.values() if isinstance(each, dict))


def _is_relative(each: dict[str, Any]) -> bool:
    href = each.get("href")
    return isinstance(href, str) and href != "" and _ABSOLUTE.match(href) is None
