"""The index: adding rows and searching by box, beside a bare R*Tree and DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw
import duckdb

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.core.rows import CheckedRow
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.segments.worker import Expected, checked_rows

ITEMS: Final = 20_000
SEARCHES: Final = 500
DEGREES: Final = 10.0  # about 30 of the items touch such a box
LIMIT: Final = 10

_RTREE = """
CREATE VIRTUAL TABLE box USING rtree(key, west, east, south, north);
CREATE TABLE item (key INTEGER PRIMARY KEY, id TEXT, moment INTEGER, body BLOB);
"""
_NEWEST = """
SELECT body FROM box JOIN item USING (key)
WHERE east >= ? AND west <= ? AND north >= ? AND south <= ? ORDER BY moment DESC LIMIT ?
"""
_DUCKDB_NEWEST = """
SELECT item FROM items WHERE bbox.xmax >= ? AND bbox.xmin <= ? AND bbox.ymax >= ?
AND bbox.ymin <= ? ORDER BY datetime DESC LIMIT ?
"""


def _rows(folder: Path) -> tuple[Any, list[CheckedRow]]:
    made = samples.segment(folder / "segment", list(samples.items(ITEMS)))
    ref = samples.ref_of(made)
    expected = Expected(
        ref.collection, ref.size_bytes, ref.rows, ref.format, ref.clock, ref.bbox, ref.span
    )
    batches = checked_rows(folder / "segment", expected)
    return ref, [CheckedRow(*row) for batch in batches for row in batch]  # type: ignore[arg-type]


def _insert(folder: Path) -> Work:
    ref, rows = _rows(folder)
    index = Index.open(folder / "index.db")

    def work() -> int:
        with index.adding(ref) as adding:
            adding.add(rows)
        return len(rows)

    return work


def _insert_plainly(folder: Path) -> Work:
    _, rows = _rows(folder)
    database = _database(folder)

    def work() -> int:
        _fill(database, rows)
        return len(rows)

    return work


def _search(folder: Path) -> Work:
    ref, rows = _rows(folder)
    index = Index.open(folder / "index.db")
    with index.adding(ref) as adding:
        adding.add(rows)
    queries = [Query(bbox=box, limit=LIMIT) for box in samples.boxes(SEARCHES, DEGREES)]

    def work() -> int:
        found = [index.search(query) for query in queries]
        assert any(found)
        return len(queries)

    return work


def _search_rtree(folder: Path) -> Work:
    _, rows = _rows(folder)
    database = _database(folder)
    _fill(database, rows)
    boxes = samples.boxes(SEARCHES, DEGREES)

    def work() -> int:
        found = [list(database.execute(_NEWEST, (w, e, s, n, LIMIT))) for w, s, e, n in boxes]
        assert any(found)
        return len(boxes)

    return work


def _search_duckdb(folder: Path) -> Work:
    samples.segment(folder / "segment.parquet", list(samples.items(ITEMS)))
    database = duckdb.connect(config={"threads": 1})
    path = folder / "segment.parquet"
    database.execute("CREATE TABLE items AS SELECT * FROM read_parquet(?)", [str(path)])
    boxes = samples.boxes(SEARCHES, DEGREES)

    def work() -> int:
        found = [
            database.execute(_DUCKDB_NEWEST, [w, e, s, n, LIMIT]).fetchall() for w, s, e, n in boxes
        ]
        assert any(found)
        return len(boxes)

    return work


def _database(folder: Path) -> apsw.Connection:
    database = apsw.Connection(str(folder / "plain.db"))
    database.pragma("journal_mode", "wal")
    database.pragma("synchronous", "normal")
    database.execute(_RTREE)
    return database


def _fill(database: apsw.Connection, rows: list[CheckedRow]) -> None:
    with database:
        for key, row in enumerate(rows):
            west, south, east, north = row.bbox
            box = (key, west, max(west, east), south, north)
            database.execute("INSERT INTO box VALUES (?,?,?,?,?)", box)
            item = (key, row.id, row.datetime_us, row.item)
            database.execute("INSERT INTO item VALUES (?,?,?,?)", item)


CASES: Final = (
    Case(
        "index-insert",
        f"{ITEMS:,} rows made searchable",
        "item",
        _insert,
        {"SQLite R*Tree": _insert_plainly},
    ),
    Case(
        "index-search",
        f"{SEARCHES} searches by box, the newest {LIMIT}",
        "search",
        _search,
        {"SQLite R*Tree": _search_rtree, "DuckDB": _search_duckdb},
    ),
)
