"""The index against a dumb oracle: random histories, random queries, no difference."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.names import LogId, SegmentKey, SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.runtime.index import search as search_module
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from tests.runtime.homes import MEMORY

CATALOGUES = [CatalogueId(bytes([n]) * 32) for n in (1, 2)]
COLLECTIONS = ["census", "ortho"]
WRITERS = [Kid(bytes([n]) * 16) for n in (1, 2)]
DIGESTS = [Digest(bytes([n]) * 32) for n in range(1, 5)]
IDS = ["a", "b", "c", "d"]
DGUIDS = ["2021A00056001009", "2016A00056001009", "2021A00054811061"]
WANTED = [*DGUIDS, "A00056001009", "a00054811061", "A00021"]
WORLD = (-1_800_000_000, -900_000_000, 1_800_000_000, 900_000_000)
# Corners at which floats, poles and the antimeridian bite; ties are wanted.
LONGITUDES = [-180.0, -179.9999999, -100.1, -75.0, 0.0, 1e-9, 75.3, 179.9999999, 180.0]
LATITUDES = [-90.0, -89.9999999, -45.1, 0.0, 45.3, 89.9999999, 90.0]

clocks = st.integers(1, 6)
times = st.sampled_from([None, -(10**15), 0, 1, 10, 20, 10**15])


@st.composite
def boxes(draw) -> tuple[float, float, float, float]:
    south, north = sorted([draw(st.sampled_from(LATITUDES)), draw(st.sampled_from(LATITUDES))])
    return draw(st.sampled_from(LONGITUDES)), south, draw(st.sampled_from(LONGITUDES)), north


@st.composite
def rows(draw, id_: str) -> CheckedRow:
    start, end = draw(times), draw(times)
    if start is not None and end is not None:
        start, end = min(start, end), max(start, end)
    item = draw(st.sampled_from([b'{"x":1}', b'{"x":2}', b"{}", b'{"x":"' + b"long" * 40 + b'"}']))
    if dguid := draw(st.sampled_from(["", *DGUIDS])):
        item = b'{"properties":{"dguid":"%s"}}' % dguid.encode()
    clock = draw(st.none() | clocks)
    return CheckedRow(id_, draw(times), start, end, draw(boxes()), clock, item)


@dataclass(frozen=True)
class Add:
    ref: SegmentRef
    rows: tuple[CheckedRow, ...]
    is_whole: bool


@dataclass(frozen=True)
class Drop:
    key: SegmentKey


@dataclass(frozen=True)
class Hide:
    catalogue: CatalogueId
    collection: str
    ids: tuple[str, ...]
    clock: int


@dataclass(frozen=True)
class Forget:
    catalogue: CatalogueId


Step = Add | Drop | Hide | Forget

catalogues = st.sampled_from(CATALOGUES)
collections = st.sampled_from(COLLECTIONS)
some_ids = st.lists(st.sampled_from(IDS), min_size=1, unique=True).map(tuple)


@st.composite
def adds(draw) -> Add:
    log = LogId(draw(catalogues), draw(st.sampled_from(WRITERS)))
    digest, clock = draw(st.sampled_from(DIGESTS)), draw(clocks)
    segment = SegmentRef(log, draw(collections), digest, 1, 1, 1, clock, WORLD, (None, None))
    made = tuple(draw(rows(id_)) for id_ in draw(some_ids))
    return Add(segment, made, is_whole=draw(st.integers(0, 4)) > 0)


keys = st.builds(SegmentKey, catalogues, collections, st.sampled_from(DIGESTS))
steps = st.one_of(
    adds(),
    adds(),
    st.builds(Drop, keys),
    st.builds(Hide, catalogues, collections, some_ids, clocks),
    st.builds(Forget, catalogues),
)


@st.composite
def queries(draw) -> Query:
    first, last = draw(times), draw(times)
    if first is not None and last is not None:
        first, last = min(first, last), max(first, last)
    return Query(
        ids=draw(st.just(()) | some_ids),
        collections=draw(st.just(()) | st.tuples(collections)),
        catalogues=draw(st.just(()) | st.tuples(catalogues)),
        dguids=draw(st.just(()) | st.lists(st.sampled_from(WANTED), min_size=1).map(tuple)),
        bbox=draw(st.none() | boxes()),
        interval=draw(st.none() | st.just((first, last))),
        limit=draw(st.integers(1, 4)),
        old=draw(st.booleans()),
    )


@dataclass
class Oracle:
    """The rules of protocol decision 6 and of a search, said once more, without any index."""

    segments: dict[SegmentKey, Add] = field(default_factory=dict)
    withdrawn: dict[tuple[CatalogueId, str, str], int] = field(default_factory=dict)

    def perform(self, step: Step) -> None:
        match step:
            case Add() if step.is_whole:
                self.segments[step.ref.key] = step
            case Drop():
                self.segments.pop(step.key, None)
            case Hide():
                for id_ in step.ids:
                    name = (step.catalogue, step.collection, id_)
                    self.withdrawn[name] = max(self.withdrawn.get(name, 0), step.clock)
            case Forget():
                for key in [key for key in self.segments if key.catalogue == step.catalogue]:
                    del self.segments[key]
                for name in [name for name in self.withdrawn if name[0] == step.catalogue]:
                    del self.withdrawn[name]
            case Add():
                pass

    def live(self) -> list[tuple[Any, ...]]:
        return [
            ((key.catalogue, key.collection, row.id), _rank(added, row), row)
            for key, added in self.segments.items()
            for row in added.rows
        ]

    def visible(self) -> list[tuple[Any, ...]]:
        best: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for name, rank, row in self.live():
            if name not in best or rank > best[name][0]:
                best[name] = (rank, row)
        return [
            (name, rank, row)
            for name, (rank, row) in best.items()
            if rank[0] >= self.withdrawn.get(name, 0)
        ]

    def search(self, query: Query) -> list[tuple[Any, ...]]:
        rows = self.live() if query.old else self.visible()
        found = [one for one in rows if _matches(query, one[0], one[2])]
        found.sort(key=lambda one: (-_moment(one[2]), one[0], -one[1][0], one[1][3]))
        return [(*name, row.item, rank[3], rank[1], rank[0]) for name, rank, row in found]


def _rank(added: Add, row: CheckedRow) -> tuple[int, Kid, Digest, Digest]:
    clock = added.ref.clock if row.clock is None else row.clock
    return clock, added.ref.log.writer, sha256(row.item), added.ref.digest


def _matches(query: Query, name: tuple[CatalogueId, str, str], row: CheckedRow) -> bool:
    return (
        (not query.catalogues or name[0] in query.catalogues)
        and (not query.collections or name[1] in query.collections)
        and (not query.ids or name[2] in query.ids)
        and (not query.dguids or any(_is_of(wanted.upper(), row) for wanted in query.dguids))
        and (query.bbox is None or _boxes_touch(query.bbox, row.bbox))
        and (query.interval is None or _times_overlap(query.interval, row))
    )


def _is_of(wanted: str, row: CheckedRow) -> bool:
    dguid = json.loads(row.item).get("properties", {}).get("dguid", "")
    return dguid != "" and wanted in (dguid, dguid[4:])


def _boxes_touch(one, other) -> bool:
    is_level = one[1] <= other[3] and other[1] <= one[3]
    return is_level and any(
        a[0] <= b[1] and b[0] <= a[1] for a in _longitudes(one) for b in _longitudes(other)
    )


def _longitudes(box) -> Iterator[tuple[float, float]]:
    if box[0] <= box[2]:
        yield box[0], box[2]
    else:
        yield box[0], 180.0
        yield -180.0, box[2]


def _times_overlap(interval, row: CheckedRow) -> bool:
    first = row.datetime_us if row.start_us is None else row.start_us
    last = row.datetime_us if row.end_us is None else row.end_us
    if first is None:
        return False
    if interval[0] is not None and (last is None or last < interval[0]):
        return False
    return interval[1] is None or first <= interval[1]


def _moment(row: CheckedRow) -> int:
    known = [t for t in (row.datetime_us, row.end_us, row.start_us) if t is not None]
    return known[0] if known else -(1 << 63)


def _perform(index: Index, step: Step) -> None:
    match step:
        case Add():
            adding = index.begin(step.ref)
            for row in step.rows:
                adding.add([row])
            if step.is_whole:
                adding.publish()
            else:
                adding.abandon()
        case Drop():
            index.drop(step.key)
        case Hide():
            index.hide(step.catalogue, step.collection, step.ids, step.clock)
        case Forget():
            index.forget(step.catalogue)


def _found(index: Index, query: Query) -> list[tuple[Any, ...]]:
    return [
        (f.catalogue, f.collection, f.id, f.item, f.segment, f.writer, f.clock)
        for f in index.scan(query)
    ]


def _run(history: Iterable[Step], asked: list[Query]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        index, oracle = Index.open(Path(directory) / "index.db"), Oracle()
        for step in history:
            _perform(index, step)
            oracle.perform(step)
        try:
            for query in asked:
                expected = oracle.search(query)
                assert _found(index, query) == expected
                assert index.count(query) == len(expected)
            everything = oracle.search(Query())
            assert _found(index, Query(limit=3)) == everything
            assert sum(index.counts().values()) == len(everything)
            live = sorted((key, added.ref.clock) for key, added in oracle.segments.items())
            assert list(index.indexed()) == live
            _check_leftovers(index, len(everything))
        finally:
            index.close()


def _check_leftovers(index: Index, items: int) -> None:
    """Of what is not visible nothing stays in the boxes; every row has a body and a segment."""
    for sql, expected in (
        ("SELECT count(*) FROM box", items),
        ("SELECT count(*) FROM body WHERE key NOT IN (SELECT key FROM item)", 0),
        ("SELECT count(*) FROM item WHERE key NOT IN (SELECT key FROM body)", 0),
        ("SELECT count(*) FROM item WHERE segment NOT IN (SELECT key FROM segment)", 0),
        ("SELECT count(*) FROM property WHERE segment NOT IN (SELECT key FROM segment)", 0),
        ("SELECT count(*) FROM word WHERE rowid NOT IN (SELECT key FROM item)", 0),
        ("SELECT count(*) FROM item WHERE key NOT IN (SELECT rowid FROM word)", 0),
    ):
        assert index._writer.execute(sql).fetchall() == [(expected,)], sql


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(steps, max_size=12),
    asked=st.lists(queries(), min_size=1, max_size=6),
    limits=st.sampled_from([(20_000, 32), (0, 32), (0, 0)]),  # each of the plans of a search
)
def test_any_history_and_query_give_what_the_oracle_gives(monkeypatch, history, asked, limits):
    monkeypatch.setattr(search_module, "NEAR_MAX", limits[0])
    monkeypatch.setattr(search_module, "WALKS_MAX", limits[1])
    _run(history, asked)


@pytest.mark.slow
@settings(deadline=None)
@given(history=st.lists(adds(), max_size=6), data=st.data())
def test_the_order_of_arrival_does_not_matter(history, data):
    by_key = {add.ref.key: replace(add, is_whole=True) for add in history}
    shuffled = data.draw(st.permutations(list(by_key.values())))
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        one, other = Index.open(Path(directory) / "1.db"), Index.open(Path(directory) / "2.db")
        for add in by_key.values():
            _perform(one, add)
        for add in shuffled:
            _perform(other, add)
        same = _found(one, Query(limit=9)) == _found(other, Query(limit=9))
        one.close()
        other.close()
    assert same
