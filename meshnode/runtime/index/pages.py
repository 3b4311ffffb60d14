"""The statements that select a page: its rows in order, and the place at which it begins."""

# ruff: noqa: S608 - statements are joined from constants of this package; every value is bound.

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshnode.core.identifiers import CatalogueId
from meshnode.runtime.index.clause import Clause, all_of
from meshnode.runtime.index.queryables import COLUMNS, Column
from meshnode.runtime.index.search import Plan, Way, reading, restrictions, sources
from meshnode.runtime.index.sorting import beyond
from meshnode.runtime.index.tokens import Place, read_token

_COLUMNS: Final = (
    "item.key, item.segment, item.clock, visible, collection.catalogue, collection.name, item.id"
)
# CROSS JOIN keeps the planner from starting at the collections.
_JOIN: Final = "CROSS JOIN collection ON collection.key = item.collection"


def page(plan: Plan) -> list[Clause]:
    """Select one page in order: key, segment, clock, visible, catalogue, name, id, the place.

    The statements are run in turn until the page is full: the matches of each stand after those of
    the one before. A page before a place comes backward, its last row first.
    """
    query = plan.query
    token = query.after if query.before is None else query.before
    place = None if token is None else read_token(token, query.sort, old=query.old)
    if plan.way is not Way.ORDER:
        return [_page(plan, sources(plan), place)]
    stages = _stages(COLUMNS[query.sort[0].name])
    if query.before is not None:
        stages.reverse()
    first = next(n for n, stage in enumerate(stages) if place is None or stage.has(place))
    return [
        _page(plan, [stage.source], place if n == first else None, stage.known)
        for n, stage in enumerate(stages)
        if n >= first
    ]


def walk(catalogue: CatalogueId, collection: str, after: str, limit: int) -> Clause:
    """Select of one collection what `page` selects, by id, beyond the id `after`."""
    key = "(SELECT key FROM collection WHERE catalogue = ? AND name = ?)"
    sql = f"SELECT {_COLUMNS} FROM item INDEXED BY item_id {_JOIN}"
    where = f"WHERE item.collection = {key} AND item.id > ? AND visible ORDER BY item.id LIMIT ?"
    return Clause(f"{sql} {where}", (catalogue, collection, after, limit))


def rows(keys: Sequence[int]) -> Clause:
    """Select of these rows what `page` selects, in this order."""
    sql = (
        f"SELECT {_COLUMNS} FROM json_each(?) AS wanted"
        f" CROSS JOIN item ON item.key = wanted.value {_JOIN} ORDER BY wanted.id"
    )
    return Clause(sql, (json.dumps(list(keys)),))


@dataclass(frozen=True, slots=True)
class _Stage:
    """Rows that have a column, or that have not; the first `known` terms are the same in all."""

    is_null: bool
    source: tuple[Clause, Clause]
    known: int

    def has(self, place: Place) -> bool:
        return self.is_null == bool(place[0])


def _stages(column: Column) -> list[_Stage]:
    walk = Clause(f"item INDEXED BY {column.index}")
    return [
        _Stage(False, (walk, Clause(f"{column.sql} IS NOT NULL")), known=1),
        _Stage(True, (Clause("item"), Clause(f"{column.sql} IS NULL")), known=2),
    ]


def _page(
    plan: Plan, ways: Sequence[tuple[Clause, Clause]], place: Place | None, known: int = 0
) -> Clause:
    """Select by ways in whose rows the first `known` terms of the order are the same."""
    terms, limit = plan.terms, plan.query.limit
    order = "ORDER BY " + ", ".join(
        f"k{n}{' DESC' if term.is_descending else ''}" for n, term in enumerate(terms) if n >= known
    )
    columns = ", ".join([_COLUMNS, *(f"{term.sql} AS k{n}" for n, term in enumerate(terms))])
    after = None if place is None else beyond(terms[known:], place[known:])
    # What reads the items comes last, after all that is cheap.
    where = all_of([restrictions(plan), after, reading(plan)])
    parts = [
        Clause(
            f"SELECT * FROM (SELECT {columns} FROM {source.sql} {_JOIN}"
            f" WHERE {source_where.sql} AND {where.sql} {order} LIMIT ?)",
            (*source.values, *source_where.values, *where.values, limit),
        )
        for source, source_where in ways
    ]
    if len(parts) == 1:
        return parts[0]
    sql = " UNION ALL ".join(part.sql for part in parts)
    values = tuple(value for part in parts for value in part.values)
    return Clause(f"SELECT * FROM ({sql}) {order} LIMIT ?", (*values, limit))
