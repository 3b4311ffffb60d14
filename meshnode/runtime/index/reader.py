"""One reading connection: pages, counts and facets, each within a budget of processor time."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import apsw

from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.errors import UsageError
from meshnode.runtime.index import pages, search
from meshnode.runtime.index.bodies import Expander
from meshnode.runtime.index.clause import Clause
from meshnode.runtime.index.documents import Documents
from meshnode.runtime.index.query import Found, Query
from meshnode.runtime.index.queryables import COLUMNS
from meshnode.runtime.index.rows import number, select
from meshnode.runtime.index.search import Plan, Scope
from meshnode.runtime.index.sorting import NEWEST_FIRST, SortKey

PAGE_BYTES_MAX = 16 << 20  # of items in one answer; a longer page ends early
TOGETHER: Final = 100  # items of which the compressed bytes are read at once
TICK_STEPS: Final = 1_000  # of SQLite's machine between two looks at the clock

# Seconds since 1970, rounded down, also before it.
_YEAR: Final = (
    "cast(strftime('%Y', (moment_us - ((moment_us % 1000000) + 1000000) % 1000000) / 1000000,"
    " 'unixepoch') AS INTEGER)"
)
_PROPERTIES_OF: Final = """
SELECT DISTINCT property.name FROM property JOIN segment ON segment.key = property.segment
JOIN collection ON collection.key = segment.collection
WHERE catalogue = ? AND collection.name = ? ORDER BY 1
"""
_BODIES: Final = "SELECT key, zstd FROM body"
_SEGMENTS: Final = "SELECT key, digest, writer, sample FROM segment"
_BY_COLLECTION: Final = "item.collection, count(*)"
_BY_YEAR: Final = f"{_YEAR} AS year, count(*)"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a read may cost: seconds of its thread's processor time; None is no bound."""

    cpu_seconds: float | None = None


UNBOUNDED: Final = Budget()


@dataclass(frozen=True, slots=True)
class Facets:
    """How many items match, by (catalogue, collection) and by year; the year None has no time."""

    count: int
    collections: dict[tuple[CatalogueId, str], int]
    years: dict[int | None, int]


class UnknownPropertyError(UsageError):
    """A filter names a property that no item has."""


class Reader:
    """A connection and the functions that its statements call. One thread uses it at a time."""

    def __init__(self, database: apsw.Connection) -> None:
        self.database = database
        self._documents = Documents(database)
        self._expander = Expander()

    @contextmanager
    def within(self, budget: Budget) -> Iterator[None]:
        """Begin a read; a statement that costs more is interrupted.

        Raises:
            UsageError: the budget is spent.
        """
        self._documents.forget()
        if budget.cpu_seconds is None:
            yield
            return
        ends, is_spent = time.thread_time() + budget.cpu_seconds, False

        def tick() -> bool:
            nonlocal is_spent
            is_spent = is_spent or time.thread_time() > ends
            return is_spent

        self.database.set_progress_handler(tick, TICK_STEPS)
        try:
            yield
        except apsw.InterruptError as error:
            if not is_spent:
                raise
            raise UsageError(
                f"the search took more than {budget.cpu_seconds:g} seconds and was ended",
                hint="narrow it by a box, a time or a collection",
            ) from error
        finally:
            self.database.set_progress_handler(None)

    def page(self, query: Query) -> list[Found]:
        """Return one page: up to `limit` items and PAGE_BYTES_MAX, one at least."""
        plan = self._plan(query)
        rows: list[Any] = []
        for statement in [] if plan is None else pages.page(plan):
            if len(rows) < query.limit:
                rows += self._select(statement)
        found = list(self._read(rows[: query.limit], query.sort))
        return found if query.before is None else found[::-1]

    def walk(self, catalogue: CatalogueId, collection: str, after: str, limit: int) -> list[Found]:
        """Return a page of a collection in the order of ids, beyond the id `after`."""
        rows = self._select(pages.walk(catalogue, collection, after, limit))
        return list(self._read(rows, NEWEST_FIRST))

    def rows(self, keys: Sequence[int]) -> list[Found]:
        """Return the rows of these keys, in this order, within PAGE_BYTES_MAX but one at least."""
        return list(self._read(self._select(pages.rows(keys)), NEWEST_FIRST))

    def count(self, query: Query) -> int:
        """Count all matches."""
        if query.is_open:
            reached = self._scope(query)
            return 0 if reached is None else reached.items
        plan = self._plan(query)
        return 0 if plan is None else self._number(search.matches(plan, "count(*)"))

    def facets(self, query: Query) -> Facets:
        """Count all matches by collection and by year."""
        plan = self._plan(query)
        if plan is None:
            return Facets(0, {}, {})
        names = {
            key: (CatalogueId(catalogue), name)
            for key, catalogue, name in select(
                self.database, "SELECT key, catalogue, name FROM collection"
            )
        }
        counted = self._select(search.matches(plan, _BY_COLLECTION, "GROUP BY 1"))
        collections = {names[key]: number for key, number in counted}
        years: list[tuple[int | None, int]] = self._select(
            search.matches(plan, _BY_YEAR, "GROUP BY 1 ORDER BY 1")
        )
        return Facets(
            sum(collections.values()),
            dict(sorted(collections.items())),
            dict(years),
        )

    def property_names(self, collection: tuple[CatalogueId, str] | None = None) -> list[str]:
        """Return the names of the properties that items have, in order."""
        if collection is None:
            rows = select(self.database, "SELECT DISTINCT name FROM property ORDER BY 1")
        else:
            rows = select(self.database, _PROPERTIES_OF, *collection)
        return [name for (name,) in rows]

    def _plan(self, query: Query) -> Plan | None:
        """Return the plan of a query, None if it reaches no collection."""
        reached = self._scope(query)
        if reached is None:
            return None
        return search.plan(query, reached, is_few=self._is_few, require=self._require)

    def _scope(self, query: Query) -> Scope | None:
        """Return what the query reaches, None if it names collections and none is here."""
        if query.ids and query.interval is None:
            return Scope((), 0, 0)  # ids lead straight to the rows, whatever else is there
        [(keys, items, reach_us)] = self._select(search.scope(query))
        if keys == "[]":
            return None
        return Scope(tuple(json.loads(keys or "[]")), items, reach_us)

    def _is_few(self, keys: Clause) -> bool:
        """Say whether so few keys are selected that sorting their items is the shortest way."""
        sql = f"SELECT count(*) FROM ({keys.sql} LIMIT ?)"  # noqa: S608 - its values are bound
        return number(self.database, sql, *keys.values, search.NEAR_MAX + 1) <= search.NEAR_MAX

    def _require(self, name: str) -> None:
        sql = "SELECT EXISTS (SELECT 1 FROM property WHERE name = ?)"
        if number(self.database, sql, name):
            return
        known = dict.fromkeys([*COLUMNS, *self.property_names()])
        like = difflib.get_close_matches(name[:100], known, n=3)
        raise UnknownPropertyError(
            f"no item here has the property {name[:100]!r}",
            hint=f"did you mean {' or '.join(like)}?" if like else "meshnode index properties",
        )

    def _select(self, clause: Clause) -> list[Any]:
        return select(self.database, clause.sql, *clause.values)

    def _number(self, clause: Clause) -> int:
        return number(self.database, clause.sql, *clause.values)

    def _read(self, rows: list[Any], sort: Sequence[SortKey]) -> Iterator[Found]:
        """Read the items that a page names, within PAGE_BYTES_MAX but one at least."""
        segments: dict[int, tuple[Digest, Kid, bytes]] = {}
        room = PAGE_BYTES_MAX
        for start in range(0, len(rows), TOGETHER):
            together = rows[start : start + TOGETHER]
            bodies = dict(self._select(_keyed(_BODIES, [row[0] for row in together])))
            self._find_segments(segments, [row[1] for row in together])
            for key, segment, clock, visible, catalogue, name, id_, *place in together:
                digest, writer, sample = segments[segment]
                item = self._expander.item(sample, bodies[key])
                if len(item) > room and room < PAGE_BYTES_MAX:
                    return
                room -= len(item)
                yield Found(
                    CatalogueId(catalogue),
                    name,
                    id_,
                    item,
                    digest,
                    writer,
                    clock,
                    is_visible=bool(visible),
                    sort=tuple(sort),
                    place=tuple(place),
                )

    def _find_segments(
        self, segments: dict[int, tuple[Digest, Kid, bytes]], keys: list[int]
    ) -> None:
        """Add those that are lacking: digest, writer, sample."""
        lacking = [key for key in dict.fromkeys(keys) if key not in segments]
        if lacking:
            for key, digest, writer, sample in self._select(_keyed(_SEGMENTS, lacking)):
                segments[key] = Digest(digest), Kid(writer), sample


def _keyed(sql: str, keys: list[int]) -> Clause:
    return Clause(f"{sql} WHERE key IN ({', '.join('?' * len(keys))})", tuple(keys))
