"""What a search asks, what it finds, and the statement over the index that answers it.

The order is newest first: by moment (datetime, else the end, else the start of the item) falling,
then by catalogue, collection and id. Longitudes -180 and 180 are not joined, poles are not special:
a box is what its four numbers say (RFC 7946 section 5).
"""

# ruff: noqa: S608 - statements are joined from constants of this module; every value is bound.

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.errors import UsageError
from meshnode.runtime.index.dguids import parse_wanted

LIMIT_DEFAULT = 10  # as STAC API item search
LIMIT_MAX = 10_000  # as STAC API item search
NAMES_MAX = 1_000  # ids, collections or catalogues of one query; SQLite binds 32,766 values
TOKEN_CHARS_MAX = 4_096  # an id may be long; longer tokens are not ours
# Up to so many collections are walked one by one, each by its own index, and merged.
WALKS_MAX = 32
# A box with more items than this is found sooner by walking back in time than by sorting them all.
NEAR_MAX = 20_000

MOMENT_NONE: Final = -(1 << 63)  # an item without any time comes last
_INT64_MAX: Final = (1 << 63) - 1

Box = tuple[float, float, float, float]  # west, south, east, north in degrees
Interval = tuple[int | None, int | None]  # first and last microsecond since 1970 UTC; None is open
Place = tuple[int, bytes, str, str]  # moment, catalogue, collection, id: where a page ended


@dataclass(frozen=True, slots=True)
class Query:
    """What to find; an empty field does not restrict.

    `bbox` is 2-D, west > east across the antimeridian; an item matches if its own bbox touches it.
    `interval` matches an item whose start to end (else its datetime) overlaps it, ends included.
    `dguids` matches the items of a place, with a vintage or without (then of every one).
    `after` is the `token` of the last item of the page before.

    Raises:
        UsageError: a value outside its bounds.
    """

    ids: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    catalogues: tuple[CatalogueId, ...] = ()
    dguids: tuple[str, ...] = ()
    bbox: Box | None = None
    interval: Interval | None = None
    limit: int = LIMIT_DEFAULT
    after: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LIMIT_MAX:
            raise UsageError(f"limit {self.limit} is not from 1 to {LIMIT_MAX}")
        for names in (self.ids, self.collections, self.catalogues, self.dguids):
            if len(names) > NAMES_MAX:
                raise UsageError(f"more than {NAMES_MAX} ids, collections or catalogues in a query")
        for dguid in self.dguids:
            parse_wanted(dguid)
        if self.bbox is not None:
            _check_box(self.bbox)
        if self.interval is not None:
            _check_interval(self.interval)


@dataclass(frozen=True, slots=True)
class Found:
    """One visible item: `item` is the exact JSON that was published, and by whom."""

    catalogue: CatalogueId
    collection: str
    id: str
    item: bytes
    segment: Digest
    writer: Kid
    clock: int
    moment_us: int

    @property
    def token(self) -> str:
        """Name this place in the order of results, for `Query.after`."""
        place = [self.moment_us, self.catalogue.hex(), self.collection, self.id]
        return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of SQL with the values it binds."""

    sql: str
    values: tuple[int | float | str | bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The collections that a query reaches: keys, visible items, the greatest reach among them."""

    keys: tuple[int, ...]
    items: int
    reach_us: int


def parse_interval(text: str) -> Interval:
    """Read a STAC API datetime parameter: one RFC 3339 time, or `start/end` with `..` for open.

    Raises:
        UsageError: it is neither.
    """
    parts = text.split("/")
    ends = tuple(None if part in ("", "..") else _microseconds(part) for part in parts)
    match ends:
        case (None,) | (None, None):
            raise _not_an_interval(text)
        case (moment,):
            return moment, moment
        case (first, last):
            return first, last
        case _:
            raise _not_an_interval(text)


def scope(query: Query) -> Clause:
    """Select key, items and reach of the collections that the query reaches."""
    named = _all_of([_among("catalogue", query.catalogues), _among("name", query.collections)])
    return Clause(f"SELECT key, items, reach_us FROM collection WHERE {named.sql}", named.values)


def near(bbox: Box) -> Clause:
    """Select the keys of items whose 32-bit box touches `bbox`: too many rather than too few."""
    pieces = _pieces(bbox)
    sql = "SELECT key FROM box WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?"
    values = [v for west, south, east, north in pieces for v in (east, west, north, south)]
    return Clause(" UNION ".join([sql] * len(pieces)), tuple(values))


def page(query: Query, reached: Scope, *, is_near: bool) -> Clause:
    """Select key, moment and the names of one page, in order.

    `is_near`: the query's box holds few items, so that they are all looked at and sorted.
    """
    order = "ORDER BY moment_us DESC, catalogue, name, id LIMIT ?"
    sources = _sources(query, reached, is_near=is_near)
    where = _all_of([_restrictions(query, reached), _after(query)])
    parts = [
        Clause(
            f"SELECT * FROM (SELECT {_COLUMNS} FROM {source.sql} {_JOIN}"
            f" WHERE {source_where.sql} AND {where.sql} {order})",
            (*source.values, *source_where.values, *where.values, query.limit),
        )
        for source, source_where in sources
    ]
    if len(parts) == 1:
        return parts[0]
    sql = " UNION ALL ".join(part.sql for part in parts)
    values = tuple(value for part in parts for value in part.values)
    return Clause(f"SELECT * FROM ({sql}) {order}", (*values, query.limit))


def walk(catalogue: CatalogueId, collection: str, after: str, limit: int) -> Clause:
    """Select what `page` selects, of one collection in the order of ids, beyond the id `after`."""
    key = "(SELECT key FROM collection WHERE catalogue = ? AND name = ?)"
    sql = f"SELECT {_COLUMNS} FROM item INDEXED BY item_id {_JOIN}"
    where = f"WHERE item.collection = {key} AND id > ? AND visible ORDER BY id LIMIT ?"
    return Clause(f"{sql} {where}", (catalogue, collection, after, limit))


def total(query: Query, reached: Scope, *, is_near: bool) -> Clause:
    """Count what the query matches; `limit` and `after` do not matter."""
    where = _restrictions(query, reached)
    if is_near and query.bbox is not None:
        source = near(query.bbox)
        sql = f"SELECT count(*) FROM ({source.sql}) AS near CROSS JOIN item USING (key)"
        return Clause(f"{sql} WHERE {where.sql}", (*source.values, *where.values))
    return Clause(f"SELECT count(*) FROM item WHERE {where.sql}", where.values)


_TRUE = Clause("true")
_COLUMNS = "item.key, moment_us, catalogue, name, id, segment, clock"
# CROSS JOIN keeps the planner from starting at the collections.
_JOIN = "CROSS JOIN collection ON collection.key = item.collection"


def _sources(query: Query, reached: Scope, *, is_near: bool) -> list[tuple[Clause, Clause]]:
    """Return the ways into `item`, each with the condition that its index answers."""
    if query.ids:
        return [(Clause("item INDEXED BY item_id"), _TRUE)]
    if query.dguids:
        found = _of_places(query.dguids)
        named = f"({found.sql}) AS named CROSS JOIN item USING (key)"
        return [(Clause(named, found.values), _TRUE)]
    if is_near and query.bbox is not None:
        found = near(query.bbox)
        return [(Clause(f"({found.sql}) AS near CROSS JOIN item USING (key)", found.values), _TRUE)]
    if len(reached.keys) <= WALKS_MAX:
        walk = Clause("item INDEXED BY item_collection_moment")
        return [(walk, Clause("collection = ?", (key,))) for key in reached.keys]
    return [(Clause("item INDEXED BY item_moment"), _TRUE)]


def _restrictions(query: Query, reached: Scope) -> Clause:
    return _all_of(
        [
            Clause("visible"),
            _among("id", query.ids),
            _in_scope(query),
            _is_of_places(query.dguids),
            None if query.bbox is None else _touches(query.bbox),
            None if query.interval is None else _overlaps(query.interval, reached.reach_us),
        ]
    )


def _in_scope(query: Query) -> Clause | None:
    # By id the collections are always named: the index over ids begins with them.
    if not (query.ids or query.catalogues or query.collections):
        return None
    named = _all_of([_among("catalogue", query.catalogues), _among("name", query.collections)])
    sql = f"item.collection IN (SELECT key FROM collection WHERE {named.sql})"
    return Clause(sql, named.values)


def _of_places(dguids: Sequence[str]) -> Clause:
    """Select the keys of items that have one of these DGUIDs."""
    wanted = [parse_wanted(dguid) for dguid in dguids]
    exact = [(place, vintage) for place, vintage in wanted if vintage is not None]
    places = [place for place, vintage in wanted if vintage is None]
    parts = []
    if exact:
        pairs = ", ".join(["(?, ?)"] * len(exact))
        parts.append(f"SELECT key FROM dguid WHERE (place, vintage) IN (VALUES {pairs})")
    if places:
        parts.append(f"SELECT key FROM dguid WHERE place IN ({', '.join('?' * len(places))})")
    return Clause(" UNION ".join(parts), (*(each for pair in exact for each in pair), *places))


def _is_of_places(dguids: Sequence[str]) -> Clause | None:
    if not dguids:
        return None
    found = _of_places(dguids)
    return Clause(f"item.key IN ({found.sql})", found.values)


def _touches(bbox: Box) -> Clause:
    """Compare the exact boxes; a crossing item lies on both sides of the antimeridian."""
    pieces = _pieces(bbox)
    side = "iif(west <= east, west <= ? AND east >= ?, west <= ? OR east >= ?)"
    values = [v for west, _, east, _ in pieces for v in (east, west, east, west)]
    sql = f"south <= ? AND north >= ? AND ({' OR '.join([side] * len(pieces))})"
    return Clause(sql, (bbox[3], bbox[1], *values))


def _overlaps(interval: Interval, reach_us: int) -> Clause:
    """Compare the exact times, and bound the moment so that a walk by it starts and ends early."""
    first, last = interval
    clauses: list[Clause | None] = [Clause("first_us IS NOT NULL")]
    if first is not None:
        low = max(first - reach_us, MOMENT_NONE)
        clauses.append(Clause("last_us >= ? AND moment_us >= ?", (first, low)))
    if last is not None:
        high = min(last + reach_us, _INT64_MAX)
        clauses.append(Clause("first_us <= ? AND moment_us <= ?", (last, high)))
    return _all_of(clauses)


def _after(query: Query) -> Clause | None:
    if query.after is None:
        return None
    moment, catalogue, name, id_ = _parse_token(query.after)
    sql = "moment_us <= ? AND (moment_us < ? OR (catalogue, name, id) > (?, ?, ?))"
    return Clause(sql, (moment, moment, catalogue, name, id_))


def _parse_token(token: str) -> Place:
    try:
        raw = base64.urlsafe_b64decode(token[:TOKEN_CHARS_MAX] + "=" * (-len(token) % 4))
        moment, catalogue, name, id_ = json.loads(raw)
        place = int(moment), bytes.fromhex(catalogue), str(name), str(id_)
        if MOMENT_NONE <= place[0] <= _INT64_MAX:
            return place
    except (ValueError, TypeError, RecursionError):
        pass
    raise UsageError(f"{token[:60]!r} is not a page token", hint="start again from the first page")


def _pieces(bbox: Box) -> list[Box]:
    """Return the box, or its two sides if it crosses the antimeridian."""
    west, south, east, north = bbox
    if west <= east:
        return [bbox]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def _among(column: str, values: Sequence[int] | Sequence[str] | Sequence[bytes]) -> Clause | None:
    if not values:
        return None
    return Clause(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def _all_of(clauses: Sequence[Clause | None]) -> Clause:
    made = [clause for clause in clauses if clause is not None]
    if not made:
        return _TRUE
    values = tuple(value for clause in made for value in clause.values)
    return Clause(" AND ".join(f"({clause.sql})" for clause in made), values)


def _check_box(bbox: Box) -> None:
    west, south, east, north = bbox
    hint = "west,south,east,north in degrees; west > east crosses the antimeridian"
    if not all(math.isfinite(value) for value in bbox) or south > north:
        raise UsageError(f"bbox {bbox} is not a box", hint=hint)
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        raise UsageError(f"bbox {bbox} is not on the globe", hint=hint)


def _check_interval(interval: Interval) -> None:
    first, last = interval
    if first is not None and last is not None and first > last:
        raise UsageError("the interval ends before it starts", hint="write start/end")
    if any(abs(end) > _INT64_MAX for end in interval if end is not None):
        raise UsageError(f"the interval {interval} is beyond 64-bit microseconds")


def _microseconds(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _not_an_interval(text)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (moment - epoch) // datetime.timedelta(microseconds=1)


def _not_an_interval(text: str) -> UsageError:
    hint = "2021-05-01T00:00:00Z, or 2021-01-01T00:00:00Z/2021-12-31T23:59:59Z, .. for an open end"
    return UsageError(f"{text!r} is not a time or an interval", hint=hint)
