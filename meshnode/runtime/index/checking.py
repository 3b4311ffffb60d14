"""Is the index what its segments say? Its invariants, and every row against its own bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import apsw

from meshnode.runtime.index.bodies import BrokenBodyError, Expander
from meshnode.runtime.index.queryables import PROMOTED_COLUMNS, parse_item, promoted
from meshnode.runtime.index.rows import number, select

PROBLEMS_MAX: Final = 20  # of one segment that are told; a broken one has thousands

# Each statement selects the number of rows that break what the sentence says.
_INVARIANTS: Final = (
    ("rows without their bytes",
     "SELECT count(*) FROM item WHERE key NOT IN (SELECT key FROM body)"),
    ("bytes without a row", "SELECT count(*) FROM body WHERE key NOT IN (SELECT key FROM item)"),
    ("rows without their words",
     "SELECT count(*) FROM item WHERE key NOT IN (SELECT rowid FROM word)"),
    ("visible rows that no box leads to",
     "SELECT count(*) FROM item WHERE visible AND key NOT IN (SELECT key FROM box)"),
    ("boxes of rows that are not visible",
     "SELECT count(*) FROM box WHERE key NOT IN (SELECT key FROM item WHERE visible)"),
    ("collections whose counter is wrong",
     "SELECT count(*) FROM collection WHERE items <>"
     " (SELECT count(*) FROM item WHERE item.collection = collection.key AND visible)"),
    ("visible rows of segments that are not whole",
     "SELECT count(*) FROM item JOIN segment ON segment.key = item.segment"
     " WHERE visible AND NOT live"),
    ("items that show two rows",
     "SELECT count(*) FROM (SELECT 1 FROM item WHERE visible"
     " GROUP BY collection, id HAVING count(*) > 1)"),
    ("visible rows that another row beats",
     "SELECT count(*) FROM item AS shown JOIN segment ON segment.key = shown.segment"
     " WHERE shown.visible AND EXISTS (SELECT 1 FROM item JOIN segment AS its"
     " ON its.key = item.segment WHERE item.collection = shown.collection AND item.id = shown.id"
     " AND its.live AND (item.clock, its.writer) > (shown.clock, segment.writer))"),
    ("visible rows that were withdrawn",
     "SELECT count(*) FROM item JOIN tombstone USING (collection, id)"
     " WHERE visible AND item.clock < tombstone.clock"),
    ("visible rows that the feed of changes lacks",
     "SELECT count(*) FROM item WHERE visible AND key NOT IN (SELECT key FROM change)"),
    ("changes of rows that do not show",
     "SELECT count(*) FROM change WHERE key NOT IN (SELECT key FROM item WHERE visible)"),
    ("hidden rows that nothing beats",
     "SELECT count(*) FROM (SELECT item.collection, item.id, max(item.clock) AS clock,"
     " max(visible) AS shown FROM item JOIN segment ON segment.key = item.segment WHERE live"
     " GROUP BY item.collection, item.id) AS best WHERE NOT shown AND clock >= ifnull("
     " (SELECT clock FROM tombstone WHERE tombstone.collection = best.collection"
     " AND tombstone.id = best.id), 0)"),
)  # fmt: skip
_SEGMENTS: Final = "SELECT key FROM segment WHERE live ORDER BY key"
_SEGMENT: Final = "SELECT digest, sample FROM segment WHERE key = ?"
_ROWS: Final = f"""
SELECT item.key, item.id, zstd, {", ".join(PROMOTED_COLUMNS)}
FROM item JOIN body ON body.key = item.key WHERE item.segment = ?
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Stats:
    """What the index holds and takes: rows are those of live segments, sizes are in bytes."""

    format: int
    size_bytes: int
    collections: int
    segments: int
    items: int
    rows: int
    withdrawn: int
    properties: int


def stats(database: apsw.Connection) -> Stats:
    """Count what the index holds."""
    pages = number(database, "PRAGMA page_count") * number(database, "PRAGMA page_size")
    return Stats(
        format=number(database, "PRAGMA user_version"),
        size_bytes=pages,
        collections=number(database, "SELECT count(*) FROM collection WHERE items > 0"),
        segments=number(database, "SELECT count(*) FROM segment WHERE live"),
        items=number(database, "SELECT ifnull(sum(items), 0) FROM collection"),
        rows=number(
            database,
            "SELECT count(*) FROM item WHERE segment IN (SELECT key FROM segment WHERE live)",
        ),
        withdrawn=number(database, "SELECT count(*) FROM tombstone"),
        properties=number(database, "SELECT count(DISTINCT name) FROM property"),
    )


def live_segments(database: apsw.Connection) -> list[int]:
    """Return the keys of the segments to check one by one."""
    return [key for (key,) in select(database, _SEGMENTS)]


def check_file(database: apsw.Connection) -> list[str]:
    """Return in sentences what is wrong with the file and with what holds between its tables."""
    problems = [f"SQLite: {said}" for (said,) in select(database, "PRAGMA quick_check(20)")]
    if problems == ["SQLite: ok"]:
        problems.clear()
    [(said,)] = select(database, "SELECT rtreecheck('box')")
    if said != "ok":
        problems.append(f"the boxes: {said[:200]}")
    for what, sql in _INVARIANTS:
        if count := number(database, sql):
            problems.append(f"{what}: {count}")
    return problems


def check_segment(database: apsw.Connection, key: int) -> list[str]:
    """Return what is wrong with the rows of a segment; of one that is gone meanwhile nothing."""
    found = select(database, _SEGMENT, key)
    if not found:
        return []
    [(digest, sample)] = found
    expander, problems = Expander(), list[str]()
    for row in database.execute(_ROWS, (key,)):
        where = f"segment {digest.hex()[:16]}…, item {row[1]!r}"
        problems += [f"{where}: {problem}" for problem in _row_problems(row, expander, sample)]
        if len(problems) >= PROBLEMS_MAX:
            break
    return problems


def _row_problems(row: Any, expander: Expander, sample: bytes) -> Iterator[str]:  # noqa: ANN401
    try:
        item = parse_item(expander.item(sample, row[2]))
    except BrokenBodyError as error:
        yield f"its bytes cannot be read: {error}"
        return
    if item.get("id") != row[1]:
        yield f"its bytes are those of {str(item.get('id'))[:60]!r}"
    if promoted(item) != tuple(row[3:]):
        yield "its columns are not what its bytes say"
