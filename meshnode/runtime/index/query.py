"""What a search asks and what it finds: the same for the command line, the API and the library.

Longitudes -180 and 180 are not joined, poles are not special: a box is what its numbers say
(RFC 7946 section 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.errors import UsageError
from meshnode.runtime.index import words
from meshnode.runtime.index.cql2 import checking
from meshnode.runtime.index.cql2.compiling import compile_filter
from meshnode.runtime.index.dguids import parse_wanted
from meshnode.runtime.index.shapes import Box, Shape
from meshnode.runtime.index.sorting import NEWEST_FIRST, SortKey, check_sort
from meshnode.runtime.index.times import INT64_MAX, Interval
from meshnode.runtime.index.tokens import Place, write_token

LIMIT_DEFAULT = 10  # as STAC API item search
LIMIT_MAX = 10_000  # as STAC API item search
NAMES_MAX = 1_000  # ids, collections or catalogues of one query; SQLite binds 32,766 values


@dataclass(frozen=True, slots=True)
class Query:
    """What to find; an empty field does not restrict.

    `pairs` names collections with their catalogues, where those of one name are told apart.
    `bbox` has west, south, east, north in degrees, west > east across the antimeridian; an item
    matches if its own bbox touches it. With six numbers the third and the sixth are the lowest and
    the highest metre; an item without heights is at every height.
    `intersects` matches an item whose bbox touches it and whose geometry shares a point with it.
    `interval` matches an item whose start to end (else its datetime) overlaps it, ends included.
    `dguids` matches the items of a place, with a vintage or without (then of every one).
    `text` are the words of `words`, `filter` is CQL2 JSON as `cql2.checking` gives it.
    `old` asks for all rows of items, also those that others have replaced or that were withdrawn.
    `after` is the `token` of the last item of the page before; `before` is that of the first item
    of the page after, and asks for the page that ends there. One of them at most.

    Raises:
        UsageError: a value outside its bounds.
    """

    ids: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    catalogues: tuple[CatalogueId, ...] = ()
    dguids: tuple[str, ...] = ()
    pairs: tuple[tuple[CatalogueId, str], ...] = ()
    bbox: tuple[float, ...] | None = None
    interval: Interval | None = None
    limit: int = LIMIT_DEFAULT
    after: str | None = None
    before: str | None = None
    intersects: Shape | None = None
    text: str | None = None
    filter: Mapping[str, Any] | bool | None = None
    sort: tuple[SortKey, ...] = NEWEST_FIRST
    old: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LIMIT_MAX:
            raise UsageError(f"limit {self.limit} is not from 1 to {LIMIT_MAX}")
        for names in (self.ids, self.collections, self.catalogues, self.dguids, self.pairs):
            if len(names) > NAMES_MAX:
                raise UsageError(f"more than {NAMES_MAX} ids, collections or catalogues in a query")
        for dguid in self.dguids:
            parse_wanted(dguid)
        if self.bbox is not None:
            _check_box(self.bbox)
        if self.interval is not None:
            _check_interval(self.interval)
        if self.text is not None:
            words.match_expression(self.text)
        if self.filter is not None:
            checking.check(self.filter)
            compile_filter(self.filter, require=lambda _name: None)
        if self.after is not None and self.before is not None:
            raise UsageError("a page comes after a place or before one, not both")
        check_sort(self.sort)

    @property
    def flat_box(self) -> Box | None:
        """The box without its heights."""
        if self.bbox is None:
            return None
        half = len(self.bbox) // 2
        return (self.bbox[0], self.bbox[1], self.bbox[half], self.bbox[half + 1])

    @property
    def heights(self) -> tuple[float, float] | None:
        """The lowest and the highest metre of a box with heights."""
        return None if self.bbox is None or len(self.bbox) == 4 else (self.bbox[2], self.bbox[5])

    @property
    def is_open(self) -> bool:
        """Say whether nothing but catalogues and collections restricts it."""
        restricting = (self.ids, self.dguids, self.bbox, self.interval, self.intersects, self.text)
        return not any(restricting) and self.filter is None and not self.old


@dataclass(frozen=True, slots=True)
class Found:
    """One row: `item` is the exact JSON that was published, and by whom.

    `is_visible`: it is the row of its item that counts. `place` is where it stands in the order.
    """

    catalogue: CatalogueId
    collection: str
    id: str
    item: bytes
    segment: Digest
    writer: Kid
    clock: int
    is_visible: bool
    sort: tuple[SortKey, ...]
    place: Place

    @property
    def token(self) -> str:
        """Name this place in the order of results, for `Query.after`."""
        return write_token(self.sort, self.place)


def _check_box(bbox: tuple[float, ...]) -> None:
    if len(bbox) not in (4, 6):
        raise UsageError(f"a bbox has 4 or 6 numbers, not {len(bbox)}")
    half = len(bbox) // 2
    hint = "west,south,east,north in degrees; west > east crosses the antimeridian"
    if not all(map(math.isfinite, bbox)) or any(
        low > high for low, high in zip(bbox[1:half], bbox[half + 1 :], strict=True)
    ):
        raise UsageError(f"bbox {bbox} is not a box", hint=hint)
    if max(abs(bbox[0]), abs(bbox[half])) > 180 or max(abs(bbox[1]), abs(bbox[half + 1])) > 90:
        raise UsageError(f"bbox {bbox} is not on the globe", hint=hint)


def _check_interval(interval: Interval) -> None:
    first, last = interval
    if first is not None and last is not None and first > last:
        raise UsageError("the interval ends before it starts", hint="write start/end")
    if any(abs(end) > INT64_MAX for end in interval if end is not None):
        raise UsageError(f"the interval {interval} is beyond 64-bit microseconds")
