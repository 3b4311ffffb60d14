"""One search: its items, pages, counts and tables. Each of them asks the index anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from meshnode.core.identifiers import catalogue_text
from meshnode.library.directory import Directory
from meshnode.library.signed_items import SignedItem
from meshnode.runtime.index.fields import Fields
from meshnode.runtime.index.query import LIMIT_MAX, Found, Query
from meshnode.runtime.operator.searching import provenance

if TYPE_CHECKING:
    import geopandas
    import pyarrow as pa

PAGE_ITEMS: Final = 1_000  # read in one snapshot: others are not held up for longer

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facets:
    """How many items match, by (catalogue, collection) and by year; the year None has no time."""

    count: int
    collections: dict[tuple[str, str], int]
    years: dict[int | None, int]


class Search:
    """What `Catalogue.search` returns. Nothing is read before it is asked for.

    Iterating it gives STAC items as dictionaries, in order:

    >>> for item in catalogue.search(bbox=(-136, 60, -134, 61), limit=2):
    ...     print(item["id"], item["properties"]["title"])
    whitehorse Whitehorse
    """

    def __init__(
        self, directory: Directory, query: Query, limit: int | None, fields: Fields | None
    ) -> None:
        self._directory = directory
        self._query = query
        self._limit = limit
        self._fields = fields

    def __iter__(self) -> Iterator[Item]:
        """Return the items as dictionaries, the members that were asked for."""
        return self._items(PAGE_ITEMS)

    def pages(self, size: int = 100) -> Iterator[list[Item]]:
        """Yield lists of `size` items, 1 to 10,000; the last may be shorter.

        >>> [len(page) for page in catalogue.search().pages(2)]
        [2, 1]
        """
        page: list[Item] = []
        for item in self._items(size):
            page.append(item)
            if len(page) == size:
                yield page
                page = []
        if page:
            yield page

    def raw(self) -> Iterator[bytes]:
        """Yield the JSON of the items, exactly as it was published."""
        return (found.item for found in self._found(PAGE_ITEMS))

    def signed(self) -> Iterator[SignedItem]:
        """Yield the items with whose they are, who signed them, and the state of their catalogue.

        >>> [(each.id, each.writer, each.state) for each in catalogue.search(ids=["mayo"]).signed()]
        [('mayo', 'first writer', ('current',))]
        """
        for page in self._pages(PAGE_ITEMS):
            for found, said in zip(page, provenance(self._directory, page), strict=True):
                yield SignedItem.of(found, said)

    def count(self) -> int:
        """Count all matches, whatever `limit` says.

        >>> catalogue.search(datetime="2020-01-01T00:00:00Z/..").count()
        2
        """
        return self._directory.index.count(self._query)

    def facets(self) -> Facets:
        """Count all matches by collection and by year, whatever `limit` says.

        >>> catalogue.search().facets().years
        {2019: 1, 2020: 1, 2021: 1}
        """
        found = self._directory.index.facets(self._query)
        collections = {
            (catalogue_text(catalogue), name): number
            for (catalogue, name), number in found.collections.items()
        }
        return Facets(found.count, collections, found.years)

    def arrow(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Return the items as a stream of Arrow record batches, one page in memory at a time.

        The columns are those of `arrow.SCHEMA`, or these of them; `geometry` is WKB with GeoArrow's
        metadata, `item` the JSON as published.

        >>> catalogue.search().arrow(["id", "datetime"]).schema.names
        ['id', 'datetime']

        Raises:
            UsageError: a column that is none.
        """
        from meshnode.library.arrow import reader  # pyarrow takes longer to import than a search

        return reader(self._pages(PAGE_ITEMS), columns)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all items as one Arrow table; see `arrow`.

        >>> catalogue.search().table().num_rows
        3
        """
        return self.arrow(columns).read_all()

    def geodataframe(self, columns: Sequence[str] | None = None) -> geopandas.GeoDataFrame:
        """Return all items as a GeoDataFrame; needs geopandas. `columns` as in `arrow`.

        >>> catalogue.search().geodataframe(["id", "geometry"]).total_bounds.tolist()
        [-139.4, 60.7, -135.1, 64.1]
        """
        import geopandas

        return geopandas.GeoDataFrame.from_arrow(self.table(columns))

    def _items(self, size: int) -> Iterator[Item]:
        for found in self._found(size):
            item = from_json(found.item)
            yield item if self._fields is None else self._fields.of(item)

    def _found(self, size: int) -> Iterator[Found]:
        for page in self._pages(size):
            yield from page

    def _pages(self, size: int) -> Iterator[list[Found]]:
        """Yield pages of up to `size` rows: one with large items is shorter."""
        left = LIMIT_MAX * LIMIT_MAX if self._limit is None else self._limit
        query = self._query
        while left > 0:
            page = self._directory.index.search(replace(query, limit=min(size, left)))
            if not page:
                return
            yield page
            left -= len(page)
            query = replace(query, after=page[-1].token)
