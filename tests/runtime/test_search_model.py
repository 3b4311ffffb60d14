"""What a search can ask beside boxes and times: words, order, heights, budgets, old rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshnode.core.rows import CheckedRow
from meshnode.errors import UsageError
from meshnode.runtime.index.cql2.checking import parse_filter
from meshnode.runtime.index.fields import parse_fields
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.reader import Budget, Facets
from meshnode.runtime.index.shapes import parse_geometry
from meshnode.runtime.index.sorting import parse_sort
from meshnode.runtime.index.times import parse_interval
from tests.runtime.test_index import CITY, OTTAWA, PROVINCE, add, ids, ref

YEAR_US = 366 * 86_400_000_000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index.open(tmp_path / "index.db")
    yield index
    index.close()


def row(id_: str, bbox: Any = OTTAWA, moment: Any = 0, **properties: Any) -> CheckedRow:
    west, south, east, north = bbox
    corners = [[west, south], [east, south], [east, north], [west, south]]  # half of the box
    item = {
        "id": id_,
        "bbox": properties.pop("written", bbox),
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": properties,
    }
    return CheckedRow(id_, moment, None, None, bbox, None, json.dumps(item).encode())


def filtered(index: Index, text: str) -> list[str]:
    return ids(index, filter=parse_filter(text))


# --- Words ----------------------------------------------------------------------------------------
def test_words_are_found_without_their_accents_and_in_any_case(index):
    forest = row("a", title="Forêt boréale", **{"title:fr": "L'Île"}, keywords=["Neige", 5])
    add(index, ref("s", 1), forest, row("b", description="boreal forests"), row("c", note="foret"))

    assert ids(index, text="FORET") == ["a"]
    assert ids(index, text="forêt boreale") == ["a"]
    assert ids(index, text='"boréale forêt"') == []
    assert ids(index, text="for*") == ["a", "b"]
    assert ids(index, text="neige OR forests") == ["a", "b"]
    assert ids(index, text="ile") == ["a"]
    assert ids(index, text="bor* -forests") == ["a"]
    assert index.count(Query(text="bor*")) == 2


def test_an_id_is_among_the_words(index):
    add(index, ref("s", 1), row("ca-yt_whitehorse-2019"), row("ca-yt_dawson-2019"))

    assert ids(index, text="whitehorse") == ["ca-yt_whitehorse-2019"]
    assert ids(index, text="whitehorse-2019") == ["ca-yt_whitehorse-2019"]


@pytest.mark.parametrize("text", ["", "  ", "-a", "!?", '""', "OR", "x" * 1001, "a " * 51])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(UsageError):
        Query(text=text)


@pytest.mark.parametrize("text", ['a"b', "NEAR(a b)", "a AND b", "text:a", "^a", "a + b", "(a"])
def test_the_syntax_of_the_engine_is_only_text(index, text):
    add(index, ref("s", 1), row("x", title="near a b and text"))
    assert ids(index, text=text) in (["x"], [])


def test_words_of_rows_that_are_gone_are_not_found(index):
    add(index, ref("s", 1), row("a", title="old words"))
    add(index, ref("t", 2), row("a", title="new words"))

    assert ids(index, text="old") == []
    assert index.count(Query(text="words")) == 1
    index.drop(ref("t", 2).key)
    assert ids(index, text="old") == ["a"]


def test_words_and_property_names_of_what_is_erased_leave_no_byte_in_the_files(index, tmp_path):
    secret = row("a", title="zyxwvuname lives here", zyxwvuproperty=1)
    add(index, ref("s", 3), secret, *(row(f"b{n}", title=f"other {n}") for n in range(50)))
    index.hide(CITY, "ortho", ["a"], 9, erases=True)
    index.erase(CITY, "ortho", ["a"], 9)

    held = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert b"zyxwvu" not in held
    assert ids(index, text="other 7") == ["b7"]
    assert "title" in index.properties()


# --- Order ----------------------------------------------------------------------------------------
def test_what_is_not_there_comes_last_whichever_way_it_is_sorted(index):
    covers = {"a": 5, "b": None, "c": 1.5, "d": "cloudy", "e": 90}
    add(index, ref("s", 1), *(row(id_, **{"eo:cloud_cover": c}) for id_, c in covers.items()))

    assert ids(index, sort=parse_sort("eo:cloud_cover")) == ["c", "a", "e", "b", "d"]
    assert ids(index, sort=parse_sort("-properties.eo:cloud_cover")) == ["e", "a", "c", "b", "d"]
    assert ids(index, sort=parse_sort("-id")) == ["e", "d", "c", "b", "a"]


ORDERS = (
    "-gsd,+platform,-id",
    "platform",
    "-datetime",
    "created,gsd",
    "eo:cloud_cover",
    "-eo:cloud_cover,datetime",
)


def add_many(index: Index) -> None:
    """Add 23 items of two catalogues; some have no gsd, some no clouds, none was created."""
    rows = [
        row(
            f"{n:02}",
            moment=n % 3,
            gsd=n % 4 or None,
            platform="ab"[n % 2],
            created=f"{n % 2}",
            **{"eo:cloud_cover": n % 5 or None},
        )
        for n in range(23)
    ]
    add(index, ref("s", 1), *rows[::2])
    add(index, ref("t", 1, catalogue=PROVINCE), *rows[1::2])


@pytest.mark.parametrize("order", ORDERS)
def test_pages_neither_skip_nor_repeat_under_any_order(index, order):
    add_many(index)
    whole = [found.id for found in index.search(Query(sort=parse_sort(order), limit=100))]

    paged = [found.id for found in index.scan(Query(sort=parse_sort(order), limit=2))]

    assert paged == whole
    assert len(set(paged)) == 23


@pytest.mark.parametrize("order", ORDERS)
def test_pages_backward_are_the_pages_forward(index, order):
    add_many(index)
    query = Query(sort=parse_sort(order), limit=100)
    whole = index.search(query)

    for place, found in enumerate(whole):
        before = index.search(replace(query, before=found.token, limit=5))
        assert [each.id for each in before] == [e.id for e in whole[max(0, place - 5) : place]]


def test_a_page_is_after_a_place_or_before_one(index):
    add(index, ref("s", 1), row("a"))
    [found] = index.search(Query())

    with pytest.raises(UsageError, match="not both"):
        Query(after=found.token, before=found.token)


def test_a_token_of_another_order_is_refused(index):
    add(index, ref("s", 1), row("a"), row("b"))
    [found] = index.search(Query(limit=1))

    with pytest.raises(UsageError, match="another order"):
        index.search(Query(sort=parse_sort("id"), after=found.token))


@pytest.mark.parametrize("text", ["", "-", "title", "dguid", "id,,gsd", "id," * 5 + "gsd", "a b"])
def test_what_cannot_be_sorted_by_is_refused_with_what_can(text):
    with pytest.raises(UsageError) as caught:
        parse_sort(text)
    assert "eo:cloud_cover" in caught.value.hint or "keys" in str(caught.value)


def test_collections_of_one_name_are_told_apart_by_their_catalogues(index):
    for n, (catalogue, name) in enumerate(
        [(CITY, "ortho"), (CITY, "dem"), (PROVINCE, "ortho"), (PROVINCE, "dem")]
    ):
        segment = ref(f"s{n}", 1, catalogue=catalogue, collection=name)
        add(index, segment, row(f"{n}"))

    assert ids(index, pairs=((CITY, "ortho"), (PROVINCE, "dem"))) == ["0", "3"]
    assert ids(index, pairs=((CITY, "nothing"),)) == []
    assert ids(index, pairs=((PROVINCE, "ortho"),), ids=("2", "0")) == ["2"]
    assert index.count(Query(pairs=((CITY, "ortho"), (PROVINCE, "dem")))) == 2


# --- Places ---------------------------------------------------------------------------------------
def test_a_geometry_is_compared_exactly_and_not_only_its_box(index):
    add(index, ref("s", 1), row("half"))
    north_west = {"type": "Point", "coordinates": [-75.9, 45.9]}  # in the box, beside the triangle
    south_east = {"type": "Point", "coordinates": [-75.1, 45.1]}

    assert ids(index, intersects=parse_geometry(north_west)) == []
    assert ids(index, intersects=parse_geometry(south_east)) == ["half"]
    assert filtered(index, "S_INTERSECTS(geometry, POINT(-75.9 45.9))") == []
    assert filtered(index, "S_DISJOINT(geometry, POINT(-75.9 45.9))") == ["half"]


def test_a_geometry_beyond_180_degrees_is_found_where_it_lies(index):
    value = json.loads(row("x").item) | {"geometry": {"type": "Point", "coordinates": [190, 0]}}
    box = (-170.0, 0.0, -170.0, 0.0)  # as a peer wraps it
    odd = CheckedRow("x", 0, None, None, box, None, json.dumps(value).encode())
    add(index, ref("s", 1), odd)

    point = parse_geometry({"type": "Point", "coordinates": [-170, 0]})
    assert ids(index, intersects=point) == ["x"]


@pytest.mark.parametrize(
    "box",
    [(180, -10, -170, 10), (170, -10, -180, 10), (180, 0, -180, 0), (5, -5, 5, -5), (5, 0, 5, 9)],
)
def test_a_box_without_width_on_one_side_is_a_box_still(index, box):
    add(index, ref("s", 1), row("a", bbox=(-180.0, -20.0, 180.0, 20.0)))
    numbers = ", ".join(map(str, box))
    assert filtered(index, f"S_INTERSECTS(geometry, BBOX({numbers}))") == ["a"]


def test_a_box_with_heights_leaves_out_what_is_above_or_below_it(index):
    add(
        index,
        ref("s", 1),
        row("flat"),
        row("deep", written=[-76, 45, -50, -75, 46, -10]),
        row("high", written=[-76, 45, 100, -75, 46, 200]),
    )

    assert ids(index, bbox=(-76, 45, -20, -75, 46, 50)) == ["deep", "flat"]
    assert ids(index, bbox=(-76, 45, 200, -75, 46, 900)) == ["flat", "high"]
    assert ids(index, bbox=(-76, 45, -75, 46)) == ["deep", "flat", "high"]
    with pytest.raises(UsageError, match="not a box"):
        Query(bbox=(0, 0, 9, 1, 1, 8))


# --- Filters --------------------------------------------------------------------------------------
def test_a_property_that_no_item_has_is_refused_with_what_it_may_have_been(index):
    add(index, ref("s", 1), row("a", **{"view:off_nadir": 3}))

    with pytest.raises(UsageError, match="'view:offnadir'") as caught:
        filtered(index, "view:offnadir < 10")
    assert "view:off_nadir" in caught.value.hint
    assert filtered(index, "view:off_nadir < 10 AND gsd IS NULL") == ["a"]


def test_the_properties_of_a_segment_go_with_it(index):
    add(index, ref("s", 1), row("a", odd=1))
    add(index, ref("t", 1), row("b", even=1))
    assert index.properties() == ["even", "odd"]

    index.drop(ref("s", 1).key)
    assert index.properties() == ["even"]


def test_hostile_properties_neither_fill_the_index_nor_stop_it(index):
    many = {f"p{n}": n for n in range(2_000)} | {"x" * 300: 1, "eo:cloud_cover": 10**400}
    add(index, ref("s", 1), row("a", platform="p" * 5_000, title="t" * 50_000, **many))

    assert len(index.properties()) == 500
    assert filtered(index, "eo:cloud_cover IS NULL AND platform IS NULL") == ["a"]


# --- Counting, old rows, budgets ------------------------------------------------------------------
def test_facets_count_by_collection_and_by_year(index):
    add(index, ref("s", 1), row("a", moment=-1), row("b", moment=0), row("c", moment=None))
    add(index, ref("t", 1, collection="census"), row("d", moment=YEAR_US))

    assert index.facets(Query()) == Facets(
        4,
        {(CITY, "census"): 1, (CITY, "ortho"): 3},
        {None: 1, 1969: 1, 1970: 1, 1971: 1},
    )
    assert index.facets(Query(collections=("nowhere",))) == Facets(0, {}, {})


def test_old_rows_are_shown_on_request_and_erased_ones_never(index):
    add(index, ref("s", 1), row("a", title="first"), row("b"), row("c"))
    add(index, ref("t", 2), row("a", title="second"))
    index.hide(CITY, "ortho", ["b"], 9)
    index.hide(CITY, "ortho", ["c"], 9, erases=True)
    with index.adding(ref("half", 5)) as adding:
        adding.add([row("a", title="not yet whole")])

        found = index.search(Query(old=True))

    said = [(each.id, each.clock, each.is_visible) for each in found]
    assert said == [("a", 2, True), ("a", 1, False), ("b", 1, False)]
    assert ids(index, old=True, text="first") == ["a"]
    assert len(list(index.scan(Query(old=True, limit=1)))) == 4  # with the one that is whole now


def test_a_search_that_outruns_its_budget_is_ended_with_a_sentence(index):
    add(index, ref("s", 1), *(row(f"{n}", odd=n) for n in range(3_000)))
    slow = Query(filter=parse_filter("odd < 0 OR odd > 5000"))

    with pytest.raises(UsageError, match=r"took more than 0\.0001 seconds"):
        index.count(slow, Budget(cpu_seconds=0.0001))
    assert index.count(slow, Budget(cpu_seconds=60)) == 0  # the same connection goes on


def test_an_index_of_format_3_is_made_anew(tmp_path):
    index = Index.open(tmp_path / "index.db")
    add(index, ref("s", 1), row("a"))
    index._writer.execute("DROP TABLE property")
    index._writer.pragma("user_version", 3)
    index.close()

    again = Index.open(tmp_path / "index.db")
    assert (again.indexed(), again.properties()) == ((), [])
    again.close()


# --- Fields ---------------------------------------------------------------------------------------
def test_fields_choose_members_and_leave_members_out():
    item = {
        "type": "Feature",
        "id": "a",
        "properties": {"title": "t", "gsd": 1},
        "assets": {"x": {}},
    }

    assert parse_fields("properties.title").of(item) == {
        "type": "Feature", "id": "a", "properties": {"title": "t"},
    }  # fmt: skip
    assert parse_fields("-assets,-properties.gsd").of(item) == {
        "type": "Feature", "id": "a", "properties": {"title": "t"},
    }  # fmt: skip
    assert parse_fields("properties,-properties.gsd,nothing.there").of(item)["properties"] == {
        "title": "t"
    }


def test_what_is_asked_for_is_not_left_out():
    item = {"type": "Feature", "id": "a", "properties": {"title": "t", "gsd": 1}, "bbox": [1]}

    assert parse_fields("-properties,properties.gsd").of(item)["properties"] == {"gsd": 1}
    assert parse_fields("bbox,-bbox").of(item)["bbox"] == [1]


@pytest.mark.parametrize("text", ["1937-01-01T12:00:27.87+0100", "1985-04-12T23:20:50,52Z", "2012"])
def test_a_time_that_is_none_of_rfc_3339_is_refused(text):
    with pytest.raises(UsageError):
        parse_interval(text)


def test_a_time_in_small_letters_is_a_time():
    assert parse_interval("1985-04-12t23:20:50.5z") == parse_interval("1985-04-12T23:20:50.5Z")


@pytest.mark.parametrize(
    "text", ["", "a,,b", "a..b", "-", "a b", "a," * 200 + "a", ".".join("a" * 20)]
)
def test_what_is_no_field_is_refused(text):
    with pytest.raises(UsageError):
        parse_fields(text)
