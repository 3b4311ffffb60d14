"""Every feature of a search against the oracle that looks at every item."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from meshnode.core.identifiers import CatalogueId, Kid, sha256
from meshnode.core.names import LogId, SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.runtime.index import search as search_module
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.shapes import parse_geometry
from meshnode.runtime.index.sorting import SortKey
from meshnode.runtime.segments.projection import BrokenItemError, project, wrapped
from tests.runtime import search_oracle as oracle
from tests.runtime.homes import MEMORY
from tests.runtime.search_oracle import Shown

CATALOGUES = [CatalogueId(bytes([n]) * 32) for n in (1, 2)]
COLLECTIONS = ["census", "ortho"]
WORLD = (-1_800_000_000, -900_000_000, 1_800_000_000, 900_000_000)
LONGITUDES = [-180.0, -179.5, -75.25, -75.0, 0.0, 74.5, 179.5, 180.0]
LATITUDES = [-90.0, -89.5, -45.0, 0.0, 45.5, 89.5, 90.0]
DATES = ["2019-12-31", "2020-01-01", "2020-06-15", "2021-01-01"]
MOMENTS = [
    "1969-12-31T23:59:59.5Z", "2019-12-31T23:59:59.999999Z", "2020-01-01T00:00:00Z",
    "2020-06-15T12:00:00Z", "2021-01-01T00:00:00+02:00",
]  # fmt: skip
WORDS = ["forêt", "Forêts", "boreal", "BORÉAL", "l'eau", "Québec", "north-west", "x", "42"]
TITLES = [
    "Forêt boréale",
    "The boreal forest",
    "FORET BOREALE",
    "L'eau du Québec",
    "x%_*?[y]\\",
    "",
]
ORDERS = [
    "id", "collection", "datetime", "start_datetime", "end_datetime", "created", "updated",
    "eo:cloud_cover", "gsd", "platform", "constellation", "proj:code",
]  # fmt: skip

numbers = st.sampled_from([-1, 0, 0.5, 1, 10, 10.0, 99.9, 1e300])
moments = st.sampled_from(MOMENTS)
instants = moments.map(lambda text: oracle.micros(text) or 0)
titles = st.sampled_from(TITLES)


# --- Items ----------------------------------------------------------------------------------------
@st.composite
def boxes(draw, *, may_cross: bool = True) -> tuple[float, float, float, float]:
    south, north = sorted([draw(st.sampled_from(LATITUDES)), draw(st.sampled_from(LATITUDES))])
    west, east = draw(st.sampled_from(LONGITUDES)), draw(st.sampled_from(LONGITUDES))
    if not may_cross:
        west, east = min(west, east), max(west, east)
    return west, south, east, north


@st.composite
def geometries(draw) -> dict[str, Any]:
    west, south, east, north = draw(boxes(may_cross=False))
    if west == east or south == north:
        return (
            {"type": "LineString", "coordinates": [[west, south], [east + 0.0, north]]}
            if ((west, south) != (east, north))
            else {"type": "Point", "coordinates": [west, south]}
        )
    ring = [[west, south], [east, south], [east, north], [west, south]]  # a triangle: not its box
    return {"type": "Polygon", "coordinates": [ring]}


@st.composite
def properties(draw) -> dict[str, Any]:
    odd = st.sampled_from([None, True, "10", 10, [1], {"a": 1}])
    said: dict[str, Any] = {}
    for name, values in (
        ("eo:cloud_cover", numbers | odd),
        ("gsd", numbers),
        ("platform", titles | odd),
        ("constellation", titles),
        ("proj:code", st.sampled_from(["EPSG:3857", "EPSG:4326"])),
        ("proj:epsg", st.sampled_from([3857, None, "x"])),
        ("created", moments | odd),
        ("updated", moments),
        ("title", titles | odd),
        ("title:fr", titles),
        ("description", st.sampled_from(WORDS)),
        ("keywords", st.lists(st.sampled_from(WORDS), max_size=2)),
        ("view:off_nadir", numbers | odd),
        ("acquired", moments | st.just("yesterday")),
        ("is_open", st.booleans() | odd),
        ("instruments", st.lists(st.sampled_from(["oli", "tirs", 1, True]), max_size=3) | odd),
        ("depth", numbers),
    ):
        if draw(st.integers(0, 2)):
            said[name] = draw(values)
    return said


@st.composite
def shown_rows(draw, id_: str) -> Shown:
    geometry = draw(geometries())
    low, high = sorted([draw(st.sampled_from([-10, 0, 5])), draw(st.sampled_from([-10, 0, 99]))])
    box = draw(boxes())
    written = draw(st.sampled_from([list(box), [*box[:2], low, *box[2:], high]]))
    item = {"id": id_, "bbox": written, "geometry": geometry, "properties": draw(properties())}
    at, start = draw(st.none() | instants), draw(st.none() | instants)
    end = None if start is None else max(start, draw(instants))  # a start has an end (segments)
    row = CheckedRow(id_, at, start, end, box, None, json.dumps(item).encode())
    return Shown(draw(st.sampled_from(CATALOGUES)), draw(st.sampled_from(COLLECTIONS)), row)


worlds = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True).flatmap(
    lambda ids: st.tuples(*(shown_rows(id_) for id_ in ids))
)


def real_rows(path: Path) -> tuple[Shown, ...]:
    """Return the real items that could be published, each as a peer that checked it has it."""
    found = {}
    for line in path.read_bytes().splitlines():
        value = json.loads(line)["item"]
        raw, collection = json.dumps(value).encode(), value.get("collection") or "none"
        try:
            made = project(value, collection)
        except BrokenItemError:
            continue
        times = (made.datetime_us, made.start_us, made.end_us)
        row = CheckedRow(made.id, *times, wrapped(made.box), None, raw)
        if len(raw) < 100_000:
            found[collection, made.id] = Shown(CATALOGUES[0], collection, row)
    return tuple(found.values())


# --- Filters whose kinds fit ----------------------------------------------------------------------
def prop(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from(names).map(lambda name: {"property": name})


def op(name, *args) -> st.SearchStrategy[dict[str, Any]]:
    names = st.just(name) if isinstance(name, str) else name
    return st.builds(lambda n, a: {"op": n, "args": list(a)}, names, st.tuples(*args))


NAMES = {
    "numbers": ("eo:cloud_cover", "gsd", "view:off_nadir", "depth", "properties.gsd"),
    "texts": ("platform", "constellation", "id", "collection", "title", "proj:code", "mission"),
    "times": ("datetime", "start_datetime", "created", "updated", "acquired"),
}
sign = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
number_props = prop("eo:cloud_cover", "gsd", "view:off_nadir", "depth")
text_props = prop("platform", "constellation", "id", "collection", "title", "proj:code")
time_props = prop("datetime", "start_datetime", "end_datetime", "created", "updated")
times = st.one_of(
    moments.map(lambda text: {"timestamp": text}),
    st.sampled_from(DATES).map(lambda text: {"date": text}),
)
sums = st.one_of(numbers, number_props, op(st.sampled_from("+-*/"), number_props, numbers))
plain_texts = titles | st.sampled_from(["a", "ortho", "EPSG:3857"])
folds = st.sampled_from(["casei", "accenti"])
folded = op(folds, text_props | op(folds, text_props))
folded_text = op(folds, plain_texts)
patterns = st.lists(
    st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "*", "?", "[", "]", "Fo", "e", "E", "x"]),
    max_size=4,
).map("".join)
literal_shapes = geometries() | boxes().filter(
    lambda box: box[0] not in (box[2], 180) and box[2] != -180 and box[1] != box[3]
).map(lambda box: {"bbox": list(box)})
intervals = st.tuples(
    st.sampled_from(["..", *DATES, *MOMENTS]), st.sampled_from(["..", *DATES, *MOMENTS])
).map(lambda pair: {"interval": list(pair)})
geometry_prop = st.just({"property": "geometry"})
spatial_name = st.sampled_from(
    ["s_intersects", "s_disjoint", "s_contains", "s_within", "s_equals", "s_touches", "s_crosses",
     "s_overlaps"]
)  # fmt: skip
leaves = st.one_of(
    st.booleans(),
    op(sign, sums, sums),
    op(sign, text_props, plain_texts | text_props),
    op(sign, folded, folded_text | folded),
    op(sign, time_props | prop("acquired"), times),
    op(sign, times, time_props),
    op(sign, time_props, st.sampled_from(DATES + MOMENTS)),
    op(sign, prop("is_open"), st.booleans()),
    op(sign, prop("title", "depth", "is_open"), prop("title", "depth", "is_open", "acquired")),
    op("between", number_props, numbers, sums),
    op("between", time_props, times, times),
    op("in", number_props, st.lists(numbers, min_size=1, max_size=3)),
    op("in", text_props | folded, st.lists(plain_texts, min_size=1, max_size=3)),
    op("in", time_props, st.lists(times, min_size=1, max_size=3)),
    op("like", text_props, patterns),
    op("like", folded, op(folds, patterns)),
    op("isNull", number_props | text_props | time_props | prop("is_open", "instruments")),
    op(st.sampled_from(["a_contains", "a_containedby", "a_equals", "a_overlaps"]),
       prop("instruments"), st.lists(st.sampled_from(["oli", "tirs", "x"]), max_size=2)),
    op(spatial_name, geometry_prop, literal_shapes),
    op(st.sampled_from(oracle.TEMPORAL), time_props | intervals, intervals | times),
)  # fmt: skip
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda name, args: {"op": name, "args": args},
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        op("not", inner),
    ),
    max_leaves=5,
)


# --- Queries --------------------------------------------------------------------------------------
@st.composite
def asked_words(draw) -> list[tuple[str, list[str]]]:
    phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join)
    groups = [("all", draw(st.lists(phrases, min_size=1, max_size=2)))]
    if draw(st.booleans()):
        groups.append(("begin", [draw(st.sampled_from(["for", "FORÊT", "bor", "no", "4"]))]))
    if draw(st.booleans()):
        groups.append(("not", [draw(phrases)]))
    return groups


def written(groups: list[tuple[str, list[str]]]) -> str:
    parts = []
    for kind, phrases in groups:
        if kind == "begin":
            parts.append(f"{phrases[0]}*")
        elif kind == "not":
            parts.append(f'-"{phrases[0]}"')
        else:
            parts.append(" OR ".join(f'"{phrase}"' for phrase in phrases))
    return " ".join(parts)


@st.composite
def queries(draw, filters=filters) -> tuple[Query, dict[str, Any]]:
    said: dict[str, Any] = {}
    fields: dict[str, Any] = {"limit": draw(st.integers(1, 4))}
    wanted = draw(st.sets(st.sampled_from(
        ["bbox", "intersects", "text", "filter", "sort", "ids", "collections", "interval"]
    ), max_size=4))  # fmt: skip
    if "bbox" in wanted:
        box = draw(boxes())
        fields["bbox"] = draw(st.sampled_from([box, (*box[:2], 0, *box[2:], 50)]))
    if "intersects" in wanted:
        said["intersects"] = draw(geometries())
        fields["intersects"] = parse_geometry(said["intersects"])
    if "text" in wanted:
        said["words"] = draw(asked_words())
        fields["text"] = written(said["words"])
    if "filter" in wanted:
        fields["filter"] = draw(filters)
    if "sort" in wanted:
        names = draw(st.lists(st.sampled_from(ORDERS), min_size=1, max_size=3, unique=True))
        fields["sort"] = tuple(SortKey(name, draw(st.booleans())) for name in names)
    if "ids" in wanted:
        fields["ids"] = ("a", "b", "c")
    if "collections" in wanted:
        fields["collections"] = ("ortho",)
    if "interval" in wanted:
        fields["interval"] = tuple(sorted(oracle.micros(draw(moments)) or 0 for _ in range(2)))
    return Query(**fields), said


@contextmanager
def indexed(rows: tuple[Shown, ...]) -> Iterator[Index]:
    """Give an index of these rows, and of one item that has every property and is never shown."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        index = Index.open(Path(directory) / "index.db")
        places = dict.fromkeys((row.catalogue, row.collection) for row in rows)
        for catalogue, collection in places:
            with index.adding(_ref(catalogue, collection)) as adding:
                here = [
                    r.row for r in rows if (r.catalogue, r.collection) == (catalogue, collection)
                ]
                adding.add(here)
        names = ["view:off_nadir", "depth", "title", "acquired", "is_open", "instruments"]
        known = json.dumps({"properties": dict.fromkeys(names, 1)}).encode()
        with index.adding(_ref(CATALOGUES[0], "names")) as adding:
            adding.add([CheckedRow("names", 0, None, None, (0, 0, 0, 0), None, known)])
        index.hide(CATALOGUES[0], "names", ["names"], 99)
        yield index
        index.close()


def _ref(catalogue: CatalogueId, collection: str) -> SegmentRef:
    log = LogId(catalogue, Kid(bytes(16)))
    digest = sha256(catalogue + collection.encode())
    return SegmentRef(log, collection, digest, 1, 1, 1, 1, WORLD, (None, None))


def check(index: Index, rows: tuple[Shown, ...], query: Query, said: dict[str, Any]) -> None:
    expected = [(r.catalogue, r.collection, r.row.id) for r in oracle.search(rows, query, said)]
    assert [(f.catalogue, f.collection, f.id) for f in index.scan(query)] == expected
    facets = index.facets(query)
    assert index.count(query) == facets.count == len(expected)
    assert sum(facets.years.values()) == len(expected)
    for place, number in facets.collections.items():
        assert number == sum(name[:2] == place for name in expected)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=worlds,
    asked=st.lists(queries(), min_size=1, max_size=5),
    limits=st.sampled_from([(20_000, 32), (0, 32), (0, 0)]),  # each of the ways into the index
)
def test_any_query_finds_what_looking_at_every_item_finds(monkeypatch, rows, asked, limits):
    monkeypatch.setattr(search_module, "NEAR_MAX", limits[0])
    monkeypatch.setattr(search_module, "WALKS_MAX", limits[1])
    with indexed(rows) as index:
        for query, said in asked:
            check(index, rows, query, said)


# --- Real items -----------------------------------------------------------------------------------
real_text = prop("platform", "constellation", "title", "license", "proj:code", "collection")
real_leaves = st.one_of(
    op(sign, prop("eo:cloud_cover", "gsd", "view:off_nadir", "view:sun_azimuth"), numbers),
    op("between", prop("eo:cloud_cover", "view:sun_elevation"), numbers, numbers),
    op("like", op("casei", real_text), st.sampled_from(["%land%", "sentinel%", "a%", "%-2_"]).map(
        lambda text: {"op": "casei", "args": [text]})),
    op("isNull", prop("eo:cloud_cover", "platform", "created", "proj:code", "instruments")),
    op(sign, prop("datetime", "created", "updated"), times),
    op("a_overlaps", prop("instruments"), st.just(["oli", "msi"])),
    op(spatial_name, geometry_prop, literal_shapes),
    op(st.sampled_from(oracle.TEMPORAL), prop("datetime"), intervals),
)  # fmt: skip
real_filters = st.recursive(
    real_leaves, lambda inner: op(st.sampled_from(["and", "or"]), inner, inner), max_leaves=3
)


@pytest.mark.slow
def test_real_items_are_found_as_looking_at_each_finds_them(shared):
    rows = real_rows(shared / "data/stac/items.ndjson")
    assert len(rows) > 1_000

    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(asked=queries(real_filters), limit=st.sampled_from([100, 1000]))
    def all_agree(asked, limit):
        query, said = asked
        object.__setattr__(query, "limit", limit)
        check(index, rows, query, said)

    with indexed(rows) as index:
        all_agree()
