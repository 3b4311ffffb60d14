"""The links of an item replaced in its own text, so that every other byte stays as published.

Parsing an item and writing it anew would lose how its numbers are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final

from pydantic_core import from_json, to_json

_KEY: Final = re.compile(r'"links"\s*:\s*(?=\[)')
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_JSON: Final = JSONDecoder()

Links = list[dict[str, Any]]


def with_links(
    text: str, links_of: Callable[[Links], Links], members: Mapping[str, Any] | None = None
) -> str:
    """Return an item's text with the links that `links_of` makes of its own, and more members.

    `members` replace none that the item has: their names are ours.
    """
    span = _links_span(text)
    if span is None:  # its key is written with escapes, or it has none
        value = from_json(text)
        links = links_of(_objects(value.get("links")))
        return to_json({**value, "links": links, **(members or {})}).decode()
    start, stop, own = span
    more = "".join(
        f",{to_json(name).decode()}:{to_json(value).decode()}"
        for name, value in (members or {}).items()
    )
    return f"{text[:start]}{to_json(links_of(own)).decode()}{more}{text[stop:]}"


def _links_span(text: str) -> tuple[int, int, Links] | None:
    """Find the array of the item itself: the key that one open brace and no more stands before."""
    for found in _KEY.finditer(text):
        before = _STRING.sub("", text[: found.start()])
        depth = before.count("{") + before.count("[") - before.count("}") - before.count("]")
        if depth == 1 and '"' not in before:
            try:
                links, stop = _JSON.raw_decode(text, found.end())
            except (JSONDecodeError, RecursionError):
                return None
            return found.end(), stop, _objects(links)
    return None


def _objects(value: object) -> Links:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
