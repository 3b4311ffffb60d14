"""Searches by filter, words and order, beside DuckDB over a table of the same items."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.core.rows import CheckedRow
from meshnode.runtime.index.cql2.checking import parse_filter
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.sorting import parse_sort
from meshnode.runtime.index.times import parse_moment

ITEMS: Final = 50_000
BATCH_ROWS: Final = 1_000
LIMIT: Final = 10
PLATFORMS: Final = ("landsat-8", "landsat-9", "sentinel-2a", "drone")
WORDS: Final = ("river", "lake", "forest", "tundra", "coast", "glacier", "prairie", "island")
CLOUDS: Final = tuple(range(1, 41))  # percent: one search each

Statement = tuple[str, list[Any]]


def _items() -> Iterator[dict[str, Any]]:
    rng = random.Random(5)  # noqa: S311 - weather and words
    for raw, _ in samples.items(ITEMS):
        value = json.loads(raw)
        value["properties"] |= {
            "eo:cloud_cover": round(rng.uniform(0, 100), 2),
            "platform": rng.choice(PLATFORMS),
            "view:off_nadir": round(rng.uniform(0, 30), 2),
            "title": f"{rng.choice(WORDS)} and {rng.choice(WORDS)} {rng.randrange(1_000)}",
        }
        yield value


def _index(folder: Path) -> Index:
    index = Index.open(folder / "index.db")
    made = samples.segment(folder / "segment", list(samples.items(1)))  # only to be named by
    with index.adding(samples.ref_of(made)) as adding:
        rows = map(_row, _items())
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            adding.add(batch)
    return index


def _row(item: dict[str, Any]) -> CheckedRow:
    moment = parse_moment(item["properties"]["datetime"])
    west, south, east, north = item["bbox"]
    raw = json.dumps(item).encode()
    return CheckedRow(item["id"], moment, None, None, (west, south, east, north), None, raw)


def _duckdb() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(config={"threads": 1})
    items = [
        {
            "id": item["id"],
            "datetime": item["properties"]["datetime"],
            "cloud": item["properties"]["eo:cloud_cover"],
            "platform": item["properties"]["platform"],
            "title": item["properties"]["title"],
            "item": json.dumps(item),
        }
        for item in _items()
    ]
    database.register("rows", pa.Table.from_pylist(items))
    database.execute("CREATE TABLE items AS SELECT * FROM rows")
    return database


def _asking(queries: list[Query]) -> Callable[[Path], Work]:
    def side(folder: Path) -> Work:
        index = _index(folder)

        def work() -> int:
            found = [index.search(query) for query in queries]
            assert any(found)
            return len(queries)

        return work

    return side


def _counting(queries: list[Query]) -> Callable[[Path], Work]:
    def side(folder: Path) -> Work:
        index = _index(folder)

        def work() -> int:
            found = [index.count(query) for query in queries]
            assert any(found)
            return len(queries) * ITEMS

        return work

    return side


def _in_duckdb(statements: list[Statement], units: int) -> Callable[[Path], Work]:
    def side(_folder: Path) -> Work:
        database = _duckdb()

        def work() -> int:
            found = [database.execute(*statement).fetchall() for statement in statements]
            assert any(found)
            return units

        return work

    return side


_FILTERS: Final = [
    Query(filter=parse_filter(f"eo:cloud_cover < {cloud} AND platform = 'drone'"), limit=LIMIT)
    for cloud in CLOUDS
]
_FILTERS_SQL: Final = "SELECT item FROM items WHERE cloud < ? AND platform = 'drone'"
_WORDS: Final = [Query(text=f"{one} {other}", limit=LIMIT) for one in WORDS for other in WORDS]
_WORDS_SQL: Final = "SELECT item FROM items WHERE title ILIKE ? AND title ILIKE ?"
_ORDERS: Final = [
    Query(
        filter=parse_filter(f"eo:cloud_cover > {cloud}"),
        sort=parse_sort("eo:cloud_cover,-datetime"),
        limit=LIMIT,
    )
    for cloud in CLOUDS
]
_ORDERS_SQL: Final = "SELECT item FROM items WHERE cloud > ? ORDER BY cloud, datetime DESC LIMIT ?"
_PROPERTIES: Final = [Query(filter=parse_filter(f"view:off_nadir < {each}")) for each in (1, 15)]
_PROPERTIES_SQL: Final = (
    "SELECT count(*) FROM items WHERE"
    " CAST(json_extract(item, '$.properties.\"view:off_nadir\"') AS DOUBLE) < ?"
)
_NEWEST: Final = " ORDER BY datetime DESC LIMIT ?"

CASES: Final = (
    Case(
        "search-filter",
        f"{len(CLOUDS)} filters by two columns, the newest {LIMIT}",
        "search",
        _asking(_FILTERS),
        {
            "DuckDB": _in_duckdb(
                [(_FILTERS_SQL + _NEWEST, [cloud, LIMIT]) for cloud in CLOUDS], len(CLOUDS)
            )
        },
    ),
    Case(
        "search-words",
        f"{len(_WORDS)} searches by two words, the newest {LIMIT}",
        "search",
        _asking(_WORDS),
        {
            "DuckDB": _in_duckdb(
                [
                    (_WORDS_SQL + _NEWEST, [f"%{one}%", f"%{other}%", LIMIT])
                    for one in WORDS
                    for other in WORDS
                ],
                len(_WORDS),
            )
        },
    ),
    Case(
        "search-order",
        f"{len(CLOUDS)} searches by cloud cover, the first {LIMIT}",
        "search",
        _asking(_ORDERS),
        {"DuckDB": _in_duckdb([(_ORDERS_SQL, [cloud, LIMIT]) for cloud in CLOUDS], len(CLOUDS))},
    ),
    Case(
        "search-property",
        f"a property without a column, read from {ITEMS:,} items twice",
        "item",
        _counting(_PROPERTIES),
        {"DuckDB": _in_duckdb([(_PROPERTIES_SQL, [each]) for each in (1, 15)], 2 * ITEMS)},
    ),
)
