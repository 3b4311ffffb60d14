"""The feed of changes, read: what came to show here since a cursor, and what no longer shows.

Its order is the local order in which items became visible; two peers have different ones. An item
stands in it once, with its newest change. A reader who does what each change says, page after page,
ends with what is visible.
"""

# ruff: noqa: S608 - statements are joined from constants; every value is bound.

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from meshnode.core.identifiers import CatalogueId
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.index.change_tables import HAS_FEED
from meshnode.runtime.index.clause import TRUE, Clause, all_of, among
from meshnode.runtime.index.query import Found
from meshnode.runtime.index.reader import Reader
from meshnode.runtime.index.rows import number, select
from meshnode.runtime.index.times import parse_day, parse_moment

LIMIT_MAX: Final = 10_000  # changes of one page
SPAN_MAX: Final = 100_000  # places in the order that one page of few collections looks at

BEGINNING: Final = "beginning"
NOW: Final = "now"

_CURSOR: Final = re.compile(r"(?P<epoch>[0-9a-f]{8})-(?P<seq>\d{1,18})(-(?P<began>\d{1,18}))?")
_FEED = "SELECT epoch, last, floor FROM feed"


class Kind(Enum):
    """What happened to an item: both of the first say what shows now, instead of what did."""

    ADDED = "added"
    REPLACED = "replaced"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order of one index. `began`: where the order ended when the reader began."""

    epoch: str
    seq: int
    began: int = 0

    @property
    def is_beginning(self) -> bool:
        """Say whether its reader has nothing yet."""
        return self.seq == 0 and self.began > 0

    def __str__(self) -> str:
        text = f"{self.epoch}-{self.seq}"
        return text if self.began <= self.seq else f"{text}-{self.began}"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `at` is when it came to show here or went, in unix seconds.

    `found` is the row that shows, with the exact bytes of the item; None for what was withdrawn,
    closed, purged, denied or is not followed any more. `cursor` goes on after this change.
    """

    kind: Kind
    at: int
    catalogue: CatalogueId
    collection: str
    id: str
    found: Found | None
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Page:
    """Changes in order. `is_reset`: forget everything before, the old cursor means nothing here.

    `cursor` goes on after the page; `is_last`: all that had happened is in it.
    """

    changes: tuple[Change, ...]
    cursor: Cursor
    is_reset: bool
    is_last: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes: of these catalogues and collections, or of all."""

    catalogues: tuple[CatalogueId, ...] = ()
    collections: tuple[str, ...] = ()

    def of(self, column: str) -> Clause:
        """Return the condition on a column that holds the key of a collection."""
        if not self.catalogues and not self.collections:
            return TRUE
        where = all_of([among("catalogue", self.catalogues), among("name", self.collections)])
        sql = f"{column} IN (SELECT key FROM collection WHERE {where.sql})"
        return Clause(sql, where.values)


def page(reader: Reader, since: str, wanted: Wanted, limit: int) -> Page:
    """Return up to `limit` changes after `since`: a cursor, a time, a day, BEGINNING or NOW.

    It has fewer if their items are large, or if few of the places looked at are wanted.

    Raises:
        UsageError: `since` is nothing of it, or `limit` is not from 1 to LIMIT_MAX.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise UsageError(f"limit {limit} is not from 1 to {LIMIT_MAX}")
    last = newest(reader)
    start, is_reset = _start(reader, since, last)
    end = last.seq if wanted == Wanted() else min(last.seq, start.seq + SPAN_MAX)
    lines = [*_shown(reader, start, end, wanted, limit), *_gone(reader, start, end, wanted, limit)]
    lines.sort(key=lambda line: line.seq)
    changes = tuple(_changes(reader, lines[:limit], start))
    is_whole = len(changes) == len(lines)
    cursor = Cursor(start.epoch, end, start.began) if is_whole else changes[-1].cursor
    return Page(changes, cursor, is_reset, is_last=is_whole and end == last.seq)


def newest(reader: Reader) -> Cursor:
    """Return the end of the order: what happens from now on comes after it.

    Raises:
        StorageError: an index that was not opened since this version was installed.
    """
    if not number(reader.database, HAS_FEED):
        raise StorageError("the index has no feed of changes yet", hint="start the peer once")
    [(epoch, last, _)] = select(reader.database, _FEED)
    return Cursor(epoch, last)


def latest(reader: Reader, wanted: Wanted, limit: int) -> list[Change]:
    """Return the newest changes, the newest first."""
    end = newest(reader)
    start = Cursor(end.epoch, 0)
    lines = [
        *_shown(reader, start, end.seq, wanted, limit, is_newest_first=True),
        *_gone(reader, start, end.seq, wanted, limit, is_newest_first=True),
    ]
    lines.sort(key=lambda line: line.seq, reverse=True)
    changes = _changes(reader, lines[:limit], start)
    return list(changes)


def counts(
    reader: Reader, since: str, wanted: Wanted
) -> dict[tuple[CatalogueId, str], dict[Kind, int]]:
    """Count the changes after `since` by (catalogue, collection)."""
    start, _ = _start(reader, since, newest(reader))
    found: dict[tuple[CatalogueId, str], dict[Kind, int]] = {}
    shown = (
        "SELECT catalogue, name, first > ?, count(*) FROM change"
        " JOIN item ON item.key = change.key JOIN collection ON collection.key = item.collection"
        f" WHERE seq > ? AND {wanted.of('item.collection').sql} GROUP BY 1, 2, 3"
    )
    gone = (
        "SELECT catalogue, name, -1, count(*) FROM gone"
        " JOIN collection ON collection.key = gone.collection"
        f" WHERE seq > ? AND {wanted.of('gone.collection').sql} GROUP BY 1, 2"
    )
    scope = wanted.of("item.collection").values
    rows = select(reader.database, shown, start.seq, start.seq, *scope)
    if not start.is_beginning:
        rows += select(reader.database, gone, start.seq, *scope)
    kinds = {1: Kind.ADDED, 0: Kind.REPLACED, -1: Kind.WITHDRAWN}
    for catalogue, name, kind, many in rows:
        counted = found.setdefault((CatalogueId(catalogue), name), dict.fromkeys(Kind, 0))
        counted[kinds[kind]] += many
    return dict(sorted(found.items()))


# --- Where a reader begins ------------------------------------------------------------------------
def _start(reader: Reader, since: str, last: Cursor) -> tuple[Cursor, bool]:
    """Return where to begin, and whether the reader has to forget what he has."""
    beginning = Cursor(last.epoch, 0, last.seq)
    if since in (BEGINNING, NOW):
        return (beginning if since == BEGINNING else last), False
    if found := _CURSOR.fullmatch(since):
        cursor = Cursor(found["epoch"], int(found["seq"]), int(found["began"] or 0))
        floor = number(reader.database, "SELECT floor FROM feed")
        is_ours = cursor.epoch == last.epoch and cursor.seq <= last.seq
        if is_ours and max(cursor.seq, cursor.began) >= floor:
            return cursor, False
        return beginning, True
    return Cursor(last.epoch, _before(reader, _unix(since), last.seq)), False


def _unix(since: str) -> int:
    """Read an RFC 3339 time or a day, in unix seconds."""
    day = parse_day(since)
    moment = parse_moment(since) if day is None else day[0]
    if moment is None:
        raise UsageError(
            f"{since[:60]!r} is no cursor, time or day",
            hint="a cursor of an answer before, 2026-11-27T00:00:00Z, 2026-11-27, beginning or now",
        )
    return moment // 1_000_000


def _before(reader: Reader, unix: int, last: int) -> int:
    """Return the place before the first change at or after a time, by halving.

    Times rise with the order, as far as this machine's clock was never set back.
    """
    low, high = 0, last + 1  # of `low` all is older, of `high` nothing
    while high - low > 1:
        middle = (low + high) // 2
        at = _at(reader, middle)
        low, high = (middle, high) if at is not None and at < unix else (low, middle)
    return low


def _at(reader: Reader, seq: int) -> int | None:
    """Return the time of the first change at a place or after it."""
    sql = "SELECT seq, at FROM {} WHERE seq >= ? ORDER BY seq LIMIT 1"
    rows = [
        row
        for table in ("change", "gone")
        for row in select(reader.database, sql.format(table), seq)
    ]
    return min(rows)[1] if rows else None


# --- Lines of the order ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Line:
    """One line; `key` of the row that shows, or what is gone."""

    seq: int
    at: int
    first: int
    key: int = 0
    gone: tuple[CatalogueId, str, str] | None = None


def _shown(
    reader: Reader,
    start: Cursor,
    end: int,
    wanted: Wanted,
    limit: int,
    *,
    is_newest_first: bool = False,
) -> Iterator[_Line]:
    scope = wanted.of("item.collection")
    sql = (
        "SELECT seq, at, first, change.key FROM change CROSS JOIN item ON item.key = change.key"
        f" WHERE seq > ? AND seq <= ? AND {scope.sql} ORDER BY seq{' DESC' * is_newest_first}"
        " LIMIT ?"
    )
    for row in select(reader.database, sql, start.seq, end, *scope.values, limit + 1):
        yield _Line(*row)


def _gone(
    reader: Reader,
    start: Cursor,
    end: int,
    wanted: Wanted,
    limit: int,
    *,
    is_newest_first: bool = False,
) -> Iterator[_Line]:
    """Yield what no longer shows; whoever begins has nothing of it."""
    if start.is_beginning:
        return
    scope = wanted.of("gone.collection")
    sql = (
        "SELECT seq, at, first, catalogue, name, id FROM gone"
        " CROSS JOIN collection ON collection.key = gone.collection"
        f" WHERE seq > ? AND seq <= ? AND {scope.sql} ORDER BY seq{' DESC' * is_newest_first}"
        " LIMIT ?"
    )
    rows: list[Any] = select(reader.database, sql, start.seq, end, *scope.values, limit + 1)
    for seq, at, first, catalogue, name, id_ in rows:
        yield _Line(seq, at, first, gone=(CatalogueId(catalogue), name, id_))


def _changes(reader: Reader, lines: Sequence[_Line], start: Cursor) -> Iterator[Change]:
    """Yield the lines with their items, as many as fit into a page of the index."""
    found = iter(reader.rows([line.key for line in lines if line.gone is None]))
    for line in lines:
        cursor = Cursor(start.epoch, line.seq, start.began)
        if line.gone is not None:
            yield Change(Kind.WITHDRAWN, line.at, *line.gone, None, cursor)
            continue
        row = next(found, None)
        if row is None:
            return
        kind = Kind.ADDED if line.first > start.seq else Kind.REPLACED
        yield Change(kind, line.at, row.catalogue, row.collection, row.id, row, cursor)
