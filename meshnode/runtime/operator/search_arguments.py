"""The arguments of a search: the fields of STAC API item search, and those of this peer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from meshnode.runtime.index.cql2.checking import parse_filter
from meshnode.runtime.index.fields import Fields, parse_fields
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.shapes import parse_geometry
from meshnode.runtime.index.sorting import NEWEST_FIRST, parse_sort
from meshnode.runtime.index.times import parse_interval
from meshnode.runtime.operator.arguments import Arguments, Catalogue

PAGE_ITEMS = 1000  # a page is read by one worker thread and sent as one message


class Search(Arguments):
    """What to find. `collections` are named by id or by one of their titles.

    `current` leaves out catalogues that are stale, possibly frozen or forked; `old` asks for the
    rows of items that others have replaced too. `limit` is of all pages together.
    """

    ids: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    catalogues: tuple[Catalogue, ...] = ()
    dguids: tuple[str, ...] = ()
    bbox: tuple[float, ...] | None = Field(default=None, max_length=6)
    datetime: str | None = None
    intersects: dict[str, Any] | None = None
    text: str | None = None
    filter: str | dict[str, Any] | None = None
    sort: str | None = None
    fields: str | None = None
    current: bool = False
    old: bool = False
    limit: int | None = Field(default=None, ge=1)

    def query(self) -> Query:
        """Return the query of the first page.

        Raises:
            UsageError: a value that cannot be read; the sentence says which.
        """
        return Query(
            ids=self.ids,
            collections=self.collections,
            catalogues=self.catalogues,
            dguids=self.dguids,
            bbox=self.bbox,
            interval=parse_interval(self.datetime) if self.datetime is not None else None,
            limit=min(PAGE_ITEMS, self.limit or PAGE_ITEMS),
            intersects=parse_geometry(self.intersects) if self.intersects is not None else None,
            text=self.text,
            filter=parse_filter(self.filter) if self.filter is not None else None,
            sort=parse_sort(self.sort) if self.sort is not None else NEWEST_FIRST,
            old=self.old,
        )

    def wanted_fields(self) -> Fields | None:
        """Return the members that the answer has, None for the bytes as published.

        Raises:
            UsageError: a field that is none.
        """
        return parse_fields(self.fields) if self.fields is not None else None
