"""The statements over the index that answer a search: one way in, all conditions, one order.

SQLite's planner is led by the hand: which index a walk begins at decides between a millisecond and
a minute, and only we know how many items a box or a word has.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; every value is bound.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from meshnode.runtime.index import conditions
from meshnode.runtime.index.clause import TRUE, Clause, all_of, among
from meshnode.runtime.index.cql2 import spatial
from meshnode.runtime.index.cql2.compiling import box_of, compile_filter
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.queryables import COLUMNS
from meshnode.runtime.index.shapes import Box, pieces_of, touches
from meshnode.runtime.index.sorting import Term, backward, terms_of
from meshnode.runtime.index.times import INT64_MAX, Interval

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
    ORDER = "the order asked for"
    ALL = "all rows"


@dataclass(frozen=True, slots=True)
class Scope:
    """The collections that a query reaches: visible items, and the greatest reach among them.

    `keys` are theirs if the query names collections or catalogues, else there are none.
    """

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
        terms = terms_of(self.query.sort, old=self.query.old)
        return terms if self.query.before is None else backward(terms)


def scope(query: Query) -> Clause:
    """Select what the query reaches: keys as JSON or null, items, reach."""
    named = conditions.names_collections(query)
    keys = "json_group_array(key)" if conditions.is_scoped(query) else "NULL"
    sums = "ifnull(sum(items), 0), ifnull(max(reach_us), 0)"
    return Clause(f"SELECT {keys}, {sums} FROM collection WHERE {named.sql}", named.values)


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
    return Plan(query, reached, _way(query, reached, is_few), filter_)


def near(bbox: Box) -> Clause:
    """Select the keys of items whose 32-bit box touches `bbox`: too many rather than too few."""
    pieces = pieces_of(bbox)
    sql = "SELECT key FROM box WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?"
    values = [v for west, south, east, north in pieces for v in (east, west, north, south)]
    return Clause(" UNION ".join([sql] * len(pieces)), tuple(values))


def matches(plan: Plan, columns: str, then: str = "") -> Clause:
    """Select columns of all rows that match, in no order; `limit` and `after` do not matter."""
    if plan.way in (Way.TIME, Way.ORDER) and plan.query.text is not None:
        plan = replace(plan, way=Way.WORDS)  # all of them are wanted: no walk ends early
    source = _all_of_way(plan)
    where = all_of([restrictions(plan), reading(plan)])
    sql = f"SELECT {columns} FROM {source.sql} WHERE {where.sql} {then}"
    return Clause(sql, (*source.values, *where.values))


def _way(query: Query, reached: Scope, is_few: Callable[[Clause], bool]) -> Way:
    if query.ids:
        return Way.IDS
    if query.dguids:
        return Way.PLACES
    if (box := _box_of(query)) is not None and not query.old and is_few(near(box)):
        return Way.BOX
    if query.text is not None and is_few(conditions.with_words(query.text)):
        return Way.WORDS
    if query.old:
        return Way.ALL
    return Way.ORDER if _is_order_walked(query, reached, is_few) else Way.TIME


def _is_order_walked(query: Query, reached: Scope, is_few: Callable[[Clause], bool]) -> bool:
    """Say whether an index has the order, and no other way leads to few rows to be sorted."""
    if COLUMNS[query.sort[0].name].index is None:
        return False
    if conditions.is_scoped(query) and reached.items <= NEAR_MAX:
        return False
    return query.interval is None or not is_few(_within(query.interval, reached.reach_us))


def _within(interval: Interval, reach_us: int) -> Clause:
    """Select the keys of items whose moment lets them overlap an interval."""
    where = conditions.moments(interval, reach_us)
    return Clause(f"SELECT key FROM item WHERE visible AND {where.sql}", where.values)


def _box_of(query: Query) -> Box | None:
    """Return a box that all matches touch."""
    if query.bbox is not None:
        return query.flat_box
    if query.intersects is not None:
        return query.intersects.box
    return None if query.filter is None else box_of(query.filter)


def sources(plan: Plan) -> list[tuple[Clause, Clause]]:
    """Return the ways into `item`, each with the condition that its index answers."""
    keys = plan.reached.keys
    match plan.way:
        case Way.TIME if plan.query.sort[0].name != "datetime":
            return [(Clause("item"), TRUE)]
        case Way.TIME if conditions.is_scoped(plan.query) and len(keys) <= WALKS_MAX:
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
            return _keyed("named", conditions.of_places(query.dguids))
        case Way.BOX:
            box = _box_of(query)
            assert box is not None
            return _keyed("near", near(box))
        case Way.WORDS:
            assert query.text is not None
            return _keyed("spoken", conditions.with_words(query.text))
        case Way.TIME | Way.ORDER | Way.ALL:
            return Clause("item")
        case _:
            assert_never(plan.way)


def _keyed(name: str, keys: Clause) -> Clause:
    return Clause(f"({keys.sql}) AS {name} CROSS JOIN item ON item.key = {name}.key", keys.values)


def restrictions(plan: Plan) -> Clause:
    """Return what columns and indices answer."""
    query, box = plan.query, plan.query.flat_box
    return all_of(
        [
            Clause(conditions.ANY_ROW if query.old else "visible"),
            among("item.id", query.ids),
            conditions.in_scope(query),
            conditions.is_of_places(query.dguids),
            None if box is None else touches(box),
            None if query.heights is None else conditions.at_heights(*query.heights),
            None
            if query.interval is None
            else conditions.overlaps(query.interval, _reach_us(plan)),
            None if query.text is None or plan.way is Way.WORDS else conditions.says(query.text),
        ]
    )


def reading(plan: Plan) -> Clause:
    """Return what may have to read the items."""
    shape = plan.query.intersects
    return all_of([None if shape is None else spatial.intersects(shape), plan.filter])


def _reach_us(plan: Plan) -> int:
    """Return how far a match may stretch from its moment: known of the rows that were shown."""
    return INT64_MAX if plan.query.old else plan.reached.reach_us
