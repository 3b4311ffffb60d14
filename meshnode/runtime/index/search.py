"""The statements over the index that answer a search: one way in, all conditions, one order.

SQLite's planner is led by the hand: which index a walk begins at decides between a millisecond and
a minute, and only we know how many items a box or a word has.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; every value is bound.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from meshnode.core.identifiers import CatalogueId
from meshnode.runtime.index import words
from meshnode.runtime.index.clause import TRUE, Clause, all_of, among
from meshnode.runtime.index.cql2 import spatial
from meshnode.runtime.index.cql2.compiling import box_of, compile_filter
from meshnode.runtime.index.dguids import parse_wanted
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.shapes import Box, pieces_of, touches
from meshnode.runtime.index.sorting import Term, beyond, terms_of
from meshnode.runtime.index.times import INT64_MAX, MOMENT_NONE, Interval
from meshnode.runtime.index.tokens import read_token

# Up to so many collections are walked one by one, each by its own index, and merged.
WALKS_MAX = 32
# A box, or words, of more items than this are found sooner by walking back in time than by sorting.
NEAR_MAX = 20_000


class Way(Enum):
    """Where a statement enters the index."""

    IDS = "ids"
    PLACES = "DGUIDs"
    BOX = "box"
    WORDS = "words"
    TIME = "time"
    ALL = "all rows"


@dataclass(frozen=True, slots=True)
class Scope:
    """The collections that a query reaches: keys, visible items, the greatest reach among them."""

    keys: tuple[int, ...]
    items: int
    reach_us: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A query with what is known of the index; `filter` is the query's, compiled."""

    query: Query
    reached: Scope
    way: Way
    filter: Clause | None

    @property
    def terms(self) -> list[Term]:
        return terms_of(self.query.sort, old=self.query.old)


def scope(query: Query) -> Clause:
    """Select key, items and reach of the collections that the query reaches."""
    named = all_of([among("catalogue", query.catalogues), among("name", query.collections)])
    return Clause(f"SELECT key, items, reach_us FROM collection WHERE {named.sql}", named.values)


def plan(
    query: Query,
    reached: Scope,
    *,
    is_few: Callable[[Clause], bool],
    require: Callable[[str], None],
) -> Plan:
    """Choose the way in; `is_few` says whether a statement selects NEAR_MAX keys or fewer.

    Raises:
        UsageError: the filter names a property that `require` does not know.
    """
    filter_ = None if query.filter is None else compile_filter(query.filter, require)
    return Plan(query, reached, _way(query, is_few), filter_)


def near(bbox: Box) -> Clause:
    """Select the keys of items whose 32-bit box touches `bbox`: too many rather than too few."""
    pieces = pieces_of(bbox)
    sql = "SELECT key FROM box WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?"
    values = [v for west, south, east, north in pieces for v in (east, west, north, south)]
    return Clause(" UNION ".join([sql] * len(pieces)), tuple(values))


def with_words(text: str) -> Clause:
    """Select the keys of rows, also of hidden ones, that have the words."""
    sql = "SELECT rowid AS key FROM word WHERE word MATCH ?"
    return Clause(sql, (words.match_expression(text),))


def page(plan: Plan) -> Clause:
    """Select one page in order: key, segment, clock, visible, catalogue, name, id, the place."""
    terms, query = plan.terms, plan.query
    order = "ORDER BY " + ", ".join(
        f"k{n}{' DESC' if term.is_descending else ''}" for n, term in enumerate(terms)
    )
    columns = ", ".join([_COLUMNS, *(f"{term.sql} AS k{n}" for n, term in enumerate(terms))])
    after = None
    if query.after is not None:
        after = beyond(terms, read_token(query.after, query.sort, old=query.old))
    # What reads the items comes last, after all that is cheap.
    where = all_of([_restrictions(plan), after, _reading(plan)])
    parts = [
        Clause(
            f"SELECT * FROM (SELECT {columns} FROM {source.sql} {_JOIN}"
            f" WHERE {source_where.sql} AND {where.sql} {order} LIMIT ?)",
            (*source.values, *source_where.values, *where.values, query.limit),
        )
        for source, source_where in _sources(plan)
    ]
    if len(parts) == 1:
        return parts[0]
    sql = " UNION ALL ".join(part.sql for part in parts)
    values = tuple(value for part in parts for value in part.values)
    return Clause(f"SELECT * FROM ({sql}) {order} LIMIT ?", (*values, query.limit))


def walk(catalogue: CatalogueId, collection: str, after: str, limit: int) -> Clause:
    """Select of one collection what `page` selects, by id, beyond the id `after`."""
    key = "(SELECT key FROM collection WHERE catalogue = ? AND name = ?)"
    sql = f"SELECT {_COLUMNS} FROM item INDEXED BY item_id {_JOIN}"
    where = f"WHERE item.collection = {key} AND item.id > ? AND visible ORDER BY item.id LIMIT ?"
    return Clause(f"{sql} {where}", (catalogue, collection, after, limit))


def matches(plan: Plan, columns: str, then: str = "") -> Clause:
    """Select columns of all rows that match, in no order; `limit` and `after` do not matter."""
    source = _all_of_way(plan)
    where = all_of([_restrictions(plan), _reading(plan)])
    sql = f"SELECT {columns} FROM {source.sql} WHERE {where.sql} {then}"
    return Clause(sql, (*source.values, *where.values))


_COLUMNS: Final = (
    "item.key, item.segment, item.clock, visible, collection.catalogue, collection.name, item.id"
)
# CROSS JOIN keeps the planner from starting at the collections.
_JOIN: Final = "CROSS JOIN collection ON collection.key = item.collection"
# A segment that is still being added counts for nothing; what is sealed nobody is shown.
_ANY_ROW: Final = """
item.segment IN (SELECT key FROM segment WHERE live) AND NOT EXISTS (
  SELECT 1 FROM tombstone WHERE tombstone.collection = item.collection
  AND tombstone.id = item.id AND item.clock < sealed)
"""


def _way(query: Query, is_few: Callable[[Clause], bool]) -> Way:
    if query.ids:
        return Way.IDS
    if query.dguids:
        return Way.PLACES
    if (box := _box_of(query)) is not None and not query.old and is_few(near(box)):
        return Way.BOX
    if query.text is not None and is_few(with_words(query.text)):
        return Way.WORDS
    return Way.ALL if query.old else Way.TIME


def _box_of(query: Query) -> Box | None:
    """Return a box that all matches touch."""
    if query.bbox is not None:
        return query.flat_box
    if query.intersects is not None:
        return query.intersects.box
    return None if query.filter is None else box_of(query.filter)


def _sources(plan: Plan) -> list[tuple[Clause, Clause]]:
    """Return the ways into `item`, each with the condition that its index answers."""
    keys = plan.reached.keys
    match plan.way:
        case Way.TIME if plan.query.sort[0].name != "datetime":
            return [(Clause("item"), TRUE)]
        case Way.TIME if len(keys) <= WALKS_MAX:
            walk = Clause("item INDEXED BY item_collection_moment")
            return [(walk, Clause("item.collection = ?", (key,))) for key in keys]
        case Way.TIME:
            return [(Clause("item INDEXED BY item_moment"), TRUE)]
        case _:
            return [(_all_of_way(plan), TRUE)]


def _all_of_way(plan: Plan) -> Clause:
    query = plan.query
    match plan.way:
        case Way.IDS:
            return Clause("item INDEXED BY item_id")
        case Way.PLACES:
            return _keyed("named", _of_places(query.dguids))
        case Way.BOX:
            box = _box_of(query)
            assert box is not None
            return _keyed("near", near(box))
        case Way.WORDS:
            assert query.text is not None
            return _keyed("spoken", with_words(query.text))
        case Way.TIME | Way.ALL:
            return Clause("item")
        case _:
            assert_never(plan.way)


def _keyed(name: str, keys: Clause) -> Clause:
    return Clause(f"({keys.sql}) AS {name} CROSS JOIN item ON item.key = {name}.key", keys.values)


def _restrictions(plan: Plan) -> Clause:
    """Return what columns and indices answer."""
    query, box = plan.query, plan.query.flat_box
    return all_of(
        [
            Clause(_ANY_ROW if query.old else "visible"),
            among("item.id", query.ids),
            _in_scope(query),
            _is_of_places(query.dguids),
            None if box is None else touches(box),
            None if query.heights is None else _at(*query.heights),
            None if query.interval is None else _overlaps(query.interval, _reach_us(plan)),
            None if query.text is None or plan.way is Way.WORDS else _says(query.text),
        ]
    )


def _reading(plan: Plan) -> Clause:
    """Return what may have to read the items."""
    shape = plan.query.intersects
    return all_of([None if shape is None else spatial.intersects(shape), plan.filter])


def _in_scope(query: Query) -> Clause | None:
    # By id the collections are always named: the index over ids begins with them.
    if not (query.ids or query.catalogues or query.collections):
        return None
    named = all_of([among("catalogue", query.catalogues), among("name", query.collections)])
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


def _says(text: str) -> Clause:
    """Look a row up in the words: for walks that end early, and for few rows."""
    sql = "EXISTS (SELECT 1 FROM word WHERE word MATCH ? AND word.rowid = item.key)"
    return Clause(sql, (words.match_expression(text),))


def _at(low_m: float, high_m: float) -> Clause:
    return Clause("low_m IS NULL OR (low_m <= ? AND high_m >= ?)", (high_m, low_m))


def _reach_us(plan: Plan) -> int:
    """Return how far a match may stretch from its moment: known of the rows that were shown."""
    return INT64_MAX if plan.query.old else plan.reached.reach_us


def _overlaps(interval: Interval, reach_us: int) -> Clause:
    """Compare the exact times, and bound the moment so that a walk by it starts and ends early."""
    first, last = interval
    clauses: list[Clause | None] = [Clause("first_us IS NOT NULL")]
    if first is not None:
        low = max(first - reach_us, MOMENT_NONE)
        clauses.append(Clause("last_us >= ? AND moment_us >= ?", (first, low)))
    if last is not None:
        high = min(last + reach_us, INT64_MAX)
        clauses.append(Clause("first_us <= ? AND moment_us <= ?", (last, high)))
    return all_of(clauses)
