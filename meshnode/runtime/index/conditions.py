"""What columns and indices say of a row: one condition for each field of a query."""

# ruff: noqa: S608 - statements are joined from constants of this package; every value is bound.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meshnode.runtime.index import words
from meshnode.runtime.index.clause import Clause, all_of, among
from meshnode.runtime.index.dguids import parse_wanted
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.times import INT64_MAX, MOMENT_NONE, Interval

# A segment that is still being added counts for nothing; what is sealed nobody is shown.
ANY_ROW: Final = """
item.segment IN (SELECT key FROM segment WHERE live) AND NOT EXISTS (
  SELECT 1 FROM tombstone WHERE tombstone.collection = item.collection
  AND tombstone.id = item.id AND item.clock < sealed)
"""


def is_scoped(query: Query) -> bool:
    return bool(query.catalogues or query.collections or query.pairs)


def names_collections(query: Query) -> Clause:
    """Say of a row of `collection` that the query names it, or that it names none."""
    return all_of(
        [
            among("catalogue", query.catalogues),
            among("name", query.collections),
            _among_pairs(query.pairs),
        ]
    )


def in_scope(query: Query) -> Clause | None:
    # By id the collections are always named: the index over ids begins with them.
    if not (query.ids or is_scoped(query)):
        return None
    named = names_collections(query)
    sql = f"item.collection IN (SELECT key FROM collection WHERE {named.sql})"
    return Clause(sql, named.values)


def _among_pairs(pairs: Sequence[tuple[bytes, str]]) -> Clause | None:
    if not pairs:
        return None
    places = ", ".join(["(?, ?)"] * len(pairs))
    values = tuple(value for pair in pairs for value in pair)
    return Clause(f"(catalogue, name) IN (VALUES {places})", values)


def of_places(dguids: Sequence[str]) -> Clause:
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


def is_of_places(dguids: Sequence[str]) -> Clause | None:
    if not dguids:
        return None
    found = of_places(dguids)
    return Clause(f"item.key IN ({found.sql})", found.values)


def with_words(text: str) -> Clause:
    """Select the keys of rows, also of hidden ones, that have the words."""
    sql = "SELECT rowid AS key FROM word WHERE word MATCH ?"
    return Clause(sql, (words.match_expression(text),))


def says(text: str) -> Clause:
    """Look a row up in the words: for walks that end early, and for few rows.

    The beginning of a word is many words, which FTS5 would merge anew for each row: all rows that
    have one are found once.
    """
    expression = words.match_expression(text)
    if "*" in text:
        return Clause("item.key IN (SELECT rowid FROM word WHERE word MATCH ?)", (expression,))
    sql = "EXISTS (SELECT 1 FROM word WHERE word MATCH ? AND word.rowid = item.key)"
    return Clause(sql, (expression,))


def at_heights(low_m: float, high_m: float) -> Clause:
    return Clause("low_m IS NULL OR (low_m <= ? AND high_m >= ?)", (high_m, low_m))


def overlaps(interval: Interval, reach_us: int) -> Clause:
    """Compare the exact times, and bound the moment so that a walk by it starts and ends early."""
    first, last = interval
    return all_of(
        [
            Clause("first_us IS NOT NULL"),
            None if first is None else Clause("last_us >= ?", (first,)),
            None if last is None else Clause("first_us <= ?", (last,)),
            moments(interval, reach_us),
        ]
    )


def moments(interval: Interval, reach_us: int) -> Clause:
    """Bound the moment of what may overlap an interval and stretches no further than `reach_us`."""
    first, last = interval
    low = None if first is None else max(first - reach_us, MOMENT_NONE)
    high = None if last is None else min(last + reach_us, INT64_MAX)
    return all_of(
        [
            None if low is None else Clause("moment_us >= ?", (low,)),
            None if high is None else Clause("moment_us <= ?", (high,)),
        ]
    )
