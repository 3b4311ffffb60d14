"""Searches in a large archive: `python -m benchmarks.large --items 1000000`.

Ours beside DuckDB over the same 200 segments, and beside pgstac with the same items, in turns: ten
searches are put to one after the other, and what they find must agree. What is told is a search's
CPU-milliseconds in the thread or process that answers it, p50 and p95; on a quiet machine that is
its wall-clock. How fast the machine is says `sha256_us`, the time that SHA-256 of 250 bytes takes.
All is made once below build/bench.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
from rich.console import Console

from benchmarks import archive, environments, pgstac, scenes
from benchmarks.archive import Archive
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query

LIMIT: Final = 100
TURN: Final = 10  # searches of one side before the next has its turn
WORLD: Final = (-180.0, -90.0, 180.0, 90.0)
OURS: Final = "meshnode"
_BOX_SQL: Final = "bbox.xmax >= ? AND bbox.xmin <= ? AND bbox.ymax >= ? AND bbox.ymin <= ?"

err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Search:
    """One search, as each of the three is asked; `body` is None where pgstac has no index."""

    query: Query
    where: str
    values: list[Any]
    body: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """CPU-seconds, wall-clock, and the ids found."""

    cpu_seconds: float
    seconds: float
    ids: list[str]


Ask = Callable[[Search], Answer | None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--searches", type=int, default=100, help="of each kind")
    parser.add_argument(
        "--beside", nargs="*", choices=("duckdb", "pgstac"), default=["duckdb", "pgstac"]
    )
    asked = parser.parse_args()
    with err.status("making the archive") as status:
        made = archive.made(asked.items, status.update)
        cost = archive.index(made, status.update)
        status.update("filling pgstac" if "pgstac" in asked.beside else "searching")
        with ExitStack() as stack:
            sides: dict[str, Ask] = {OURS: meshnode_side(made)}
            if "duckdb" in asked.beside:
                sides["duckdb"] = duckdb_side(made)
            if "pgstac" in asked.beside:
                sides["pgstac"] = stack.enter_context(_pgstac(made))
            status.update("searching")
            for name, searches in cases(asked.searches, made.items).items():
                for side, figures in measured(searches, sides).items():
                    _say({"case": name, "side": side, **figures})
    _say(_ingest_figures(cost))
    _say({"case": "the machine", "load": os.getloadavg()[0], "sha256_us": sha256_us()})
    return 0


def cases(count: int, items: int) -> dict[str, list[Search]]:
    return {
        "a box of 1 degree, three years, the newest 100": [
            _box(box, interval) for box, interval in scenes.boxes(count)
        ],
        "by id": [_by_id(*names) for names in scenes.ids(count, items)],
        "the whole world, the newest 100": [_world()] * max(count // 5, 5),
        "a common word, the newest 10": [_word(word) for word in scenes.WORDS],
    }


def _box(box: scenes.Box, interval: tuple[int, int]) -> Search:
    west, south, east, north = box
    times = [datetime.fromtimestamp(each // 1_000_000, UTC).isoformat() for each in interval]
    return Search(
        Query(bbox=box, interval=interval, limit=LIMIT),
        f"{_BOX_SQL} AND datetime BETWEEN ? AND ? ORDER BY datetime DESC LIMIT {LIMIT}",
        [west, east, south, north, *times],
        {"bbox": box, "datetime": "/".join(times), "limit": LIMIT},
    )


def _by_id(collection: str, item_id: str) -> Search:
    return Search(
        Query(ids=(item_id,), collections=(collection,), limit=1),
        "id = ? AND collection = ?",
        [item_id, collection],
        {"ids": [item_id], "collections": [collection], "limit": 1},
    )


def _world() -> Search:
    west, south, east, north = WORLD
    return Search(
        Query(bbox=WORLD, limit=LIMIT),
        f"{_BOX_SQL} ORDER BY datetime DESC LIMIT {LIMIT}",
        [west, east, south, north],
        {"bbox": WORLD, "limit": LIMIT},
    )


def _word(word: str) -> Search:
    return Search(
        Query(text=word, limit=10),
        "CAST(item AS VARCHAR) ILIKE ? ORDER BY datetime DESC LIMIT 10",
        [f"%{word}%"],
        None,
    )


def measured(searches: Sequence[Search], sides: dict[str, Ask]) -> dict[str, dict[str, float]]:
    """Put each search to each side in turn; return the figures of each side."""
    told: dict[str, list[Answer]] = {side: [] for side in sides}
    for start in range(0, len(searches), TURN):
        turn = searches[start : start + TURN]
        for side, ask in sides.items():
            told[side] += [answer for search in turn if (answer := ask(search))]
    for side, answers in told.items():
        for search, theirs, ours in zip(searches, answers, told[OURS], strict=False):
            _agree(search, side, theirs.ids, ours.ids)
    return {side: _figures(answers, told[OURS]) for side, answers in told.items() if answers}


def _agree(search: Search, side: str, theirs: list[str], ours: list[str]) -> None:
    """Pages that are full may differ in what has the same time; others may not."""
    is_full = len(ours) == search.query.limit
    agree = len(theirs) == len(ours) if is_full else set(theirs) == set(ours)
    assert agree, f"{side} finds {len(theirs)}, we find {len(ours)}: {search}"


def _figures(answers: Sequence[Answer], ours: Sequence[Answer]) -> dict[str, float]:
    cpu, own = (sorted(each.cpu_seconds for each in group) for group in (answers, ours))
    wall = sorted(each.seconds for each in answers)
    return {
        "cpu_ms_p50": _at(cpu, 0.5) * 1e3,
        "cpu_ms_p95": _at(cpu, 0.95) * 1e3,
        "wall_ms_p50": _at(wall, 0.5) * 1e3,
        "wall_ms_p95": _at(wall, 0.95) * 1e3,
        "times_ours": _at(cpu, 0.5) / _at(own, 0.5),
        "found": sum(len(each.ids) for each in answers) / len(answers),
        "searches": len(answers),
    }


def _at(values: Sequence[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]


# --- The sides ------------------------------------------------------------------------------------
def meshnode_side(made: Archive) -> Ask:
    index = Index.open(made.index_path)

    def ask(search: Search) -> Answer:
        begun, before = time.perf_counter(), time.thread_time()
        found = index.search(search.query)
        cpu, wall = time.thread_time() - before, time.perf_counter() - begun
        return Answer(cpu, wall, [each.id for each in found])

    return ask


def duckdb_side(made: Archive) -> Ask:
    database = duckdb.connect(config={"threads": 1})
    database.execute("SET TimeZone = 'UTC'")
    paths = [str(made.object_path(ref.digest)) for ref in made.refs]

    def ask(search: Search) -> Answer:
        begun, before = time.perf_counter(), time.process_time()
        sql = f"SELECT id, item FROM read_parquet(?) WHERE {search.where}"  # noqa: S608 - ours
        found = database.execute(sql, [paths, *search.values]).fetchall()
        cpu, wall = time.process_time() - before, time.perf_counter() - begun
        return Answer(cpu, wall, [id_ for id_, _ in found])

    return ask


@contextmanager
def _pgstac(made: Archive) -> Iterator[Ask]:
    name = f"scenes-{made.items}"
    documents, items = scenes.documents(), scenes.all_scenes(made.items)
    with pgstac.database(name, documents, items) as server:
        python = environments.environment("pgstac", environments.PGSTAC) / "python"
        with subprocess.Popen(
            [python, Path(__file__).with_name("pgstac_search.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | server.environment,
            text=True,
        ) as process:
            yield lambda search: _ask_pgstac(process, search)
            assert process.stdin is not None
            process.stdin.close()


def _ask_pgstac(process: subprocess.Popen[str], search: Search) -> Answer | None:
    if search.body is None:
        return None
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(search.body) + "\n")
    process.stdin.flush()
    return Answer(**json.loads(process.stdout.readline()))


def _ingest_figures(cost: archive.Ingest) -> dict[str, float | str]:
    seconds = cost.index_cpu_seconds + cost.check_cpu_seconds
    return {
        "case": "checked and searchable, by CPU-seconds of both processes",
        "items_per_cpu_second": cost.items / seconds,
        "index_cpu_us": cost.index_cpu_seconds / cost.items * 1e6,
        "check_cpu_us": cost.check_cpu_seconds / cost.items * 1e6,
        "segment_bytes_an_item": cost.segment_bytes / cost.items,
        "index_bytes_an_item": cost.index_bytes / cost.items,
    }


def sha256_us() -> float:
    """Return how many microseconds SHA-256 of 250 bytes takes here now, about an entry's."""
    number = 20_000
    seconds = timeit.timeit(lambda: hashlib.sha256(bytes(250)).digest(), number=number)
    return seconds / number * 1e6


def _say(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
