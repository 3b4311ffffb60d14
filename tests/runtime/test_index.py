"""The index: which row is visible, what a search finds, and what survives an interruption."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from meshnode.core.identifiers import CatalogueId, Kid, sha256
from meshnode.core.names import LogId, SegmentRef, Withdrawal
from meshnode.core.rows import CheckedRow
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.index import reader as reader_module
from meshnode.runtime.index import search as search_module
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.reader import Reader
from meshnode.runtime.index.schema import FORMAT
from meshnode.runtime.index.times import parse_interval

CITY = CatalogueId(bytes([1]) * 32)
PROVINCE = CatalogueId(bytes([2]) * 32)
ANNA = Kid(b"a" * 16)
BORIS = Kid(b"b" * 16)
OTTAWA = (-76.0, 45.0, -75.0, 46.0)
FIJI = (177.0, -19.0, -178.0, -16.0)  # across the antimeridian
YEAR_US = 365 * 86_400_000_000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index.open(tmp_path / "index.db")
    yield index
    index.close()


def ref(
    name: str, clock: int, *, catalogue: CatalogueId = CITY, collection: str = "ortho", writer=ANNA
) -> SegmentRef:
    log = LogId(catalogue, writer)
    box = (-1_800_000_000, -900_000_000, 1_800_000_000, 900_000_000)
    digest = sha256(name.encode())
    return SegmentRef(log, collection, digest, 1, 1, 1, clock, box, (None, None))


def row(id_: str, text: str = "", **fields) -> CheckedRow:
    item = json.dumps({"id": id_, "text": text}).encode()
    values = {"datetime_us": 0, "start_us": None, "end_us": None, "bbox": OTTAWA, "clock": None}
    return CheckedRow(id=id_, item=item, **(values | fields))


def add(index: Index, segment: SegmentRef, *rows: CheckedRow) -> None:
    with index.adding(segment) as adding:
        adding.add(rows)


def ids(index: Index, **fields) -> list[str]:
    return [found.id for found in index.search(Query(**fields))]


def shown(index: Index, id_: str) -> list[str]:
    return [json.loads(found.item)["text"] for found in index.item(None, None, id_)]


# --- Closing while somebody reads -----------------------------------------------------------------
def test_a_read_that_nobody_waits_for_ends_when_the_index_is_closed(tmp_path, monkeypatch):
    index = Index.open(tmp_path / "index.db")
    add(index, ref("s", 1), row("a"))
    begun, ended = threading.Event(), []

    def without_end(reader: Reader, _query: Query) -> None:
        begun.set()
        list(reader.database.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
                              "SELECT i FROM n WHERE i > 1"))  # fmt: skip

    monkeypatch.setattr(Reader, "_scope", without_end)

    def read() -> None:
        with pytest.raises(StorageError, match="the peer is ending"):
            index.count(Query())
        ended.append(True)

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    while not ended:
        index.close()  # once more, should the statement not have begun yet
    reader.join()
    with pytest.raises(StorageError, match="is closed"):
        index.counts()


# --- Which row is visible -------------------------------------------------------------------------
def test_an_item_comes_back_with_its_exact_bytes_and_its_origin(index):
    segment = ref("s", 7)
    item = b'{ "id":"a",\t"properties" : {"title":"\\u00e9 \xc3\xa9"} }'
    add(index, segment, CheckedRow("a", 5, None, None, OTTAWA, None, item))

    [found] = index.item(CITY, "ortho", "a")

    assert found.item == item
    assert (found.segment, found.writer, found.clock) == (segment.digest, ANNA, 7)


def test_the_row_with_the_greatest_clock_is_visible_whatever_the_order_of_arrival(index):
    add(index, ref("new", 9), row("a", "new"))
    add(index, ref("old", 3), row("a", "old"))

    assert shown(index, "a") == ["new"]


def test_a_row_clock_counts_before_the_clock_of_the_entry(index):
    add(index, ref("compacted", 9), row("a", "from long ago", clock=2))
    add(index, ref("plain", 5), row("a", "plain"))

    assert shown(index, "a") == ["plain"]


def test_equal_clocks_are_decided_by_the_writer(index):
    add(index, ref("one", 3, writer=BORIS), row("a", "by boris"))
    add(index, ref("two", 3, writer=ANNA), row("a", "by anna"))

    assert shown(index, "a") == ["by boris"]


def test_equal_clocks_of_one_writer_are_decided_by_the_hash_of_the_item(index):
    texts = ["one", "two", "three", "four"]
    for text in texts:
        add(index, ref(text, 3), row("a", text))

    greatest = max(texts, key=lambda text: sha256(row("a", text).item))
    assert shown(index, "a") == [greatest]


def test_two_catalogues_with_one_collection_name_never_merge(index):
    add(index, ref("s", 1), row("a", "of the city"))
    add(index, ref("s", 1, catalogue=PROVINCE), row("a", "of the province"))

    assert shown(index, "a") == ["of the city", "of the province"]
    assert index.counts() == {(CITY, "ortho"): 1, (PROVINCE, "ortho"): 1}


def test_dropping_a_segment_brings_back_what_it_had_beaten(index):
    add(index, ref("old", 1), row("a", "old"), row("b", "only old"))
    add(index, ref("new", 2), row("a", "new"), row("c", "only new"))

    index.drop(ref("new", 2).key)

    assert shown(index, "a") == ["old"]
    assert ids(index) == ["a", "b"]


def test_a_withdrawal_hides_smaller_clocks_now_and_later(index):
    add(index, ref("before", 3), row("a"))
    index.hide(CITY, "ortho", ["a", "b"], 4)
    add(index, ref("late", 2), row("b"))

    assert ids(index) == []
    assert index.counts() == {}


def test_a_withdrawal_does_not_hide_its_own_clock_or_a_greater_one(index):
    index.hide(CITY, "ortho", ["a", "b"], 4)
    add(index, ref("same", 4), row("a"))
    add(index, ref("again", 5), row("b"))

    assert ids(index) == ["a", "b"]


def test_an_older_withdrawal_does_not_weaken_a_newer_one(index):
    index.hide(CITY, "ortho", ["a"], 9)
    index.hide(CITY, "ortho", ["a"], 2)
    add(index, ref("s", 5), row("a"))

    assert ids(index) == []


def test_what_is_withdrawn_no_longer_shows_again(index):
    add(index, ref("first", 3), row("a", "a"), row("b", "b"), row("c", "c"))
    index.hide(CITY, "ortho", ["a", "b"], 9)
    index.hide(PROVINCE, "ortho", ["c"], 9)
    add(index, ref("elsewhere", 3, catalogue=PROVINCE), row("c", "theirs"))

    index.set_hidden(CITY, [Withdrawal("ortho", ("b", "c"), 4), Withdrawal("ortho", ("b",), 3)])

    assert [shown(index, id_) for id_ in "abc"] == [["a"], [], []]


def test_withdrawals_that_are_set_hide_what_is_added_later_too(index):
    index.hide(CITY, "ortho", ["a"], 9)
    index.set_hidden(CITY, [Withdrawal("ortho", ("a",), 4)])
    add(index, ref("first", 3), row("a", "hidden"))
    add(index, ref("second", 5), row("a", "shown"))

    assert shown(index, "a") == ["shown"]


def test_a_forgotten_catalogue_leaves_nothing_not_even_its_withdrawals(index):
    index.hide(CITY, "ortho", ["a"], 9)
    add(index, ref("s", 1), row("b"))
    add(index, ref("s", 1, catalogue=PROVINCE), row("c"))

    index.forget(CITY)

    assert ids(index) == ["c"]
    assert [key.catalogue for key, _ in index.indexed()] == [PROVINCE]
    add(index, ref("s", 1), row("a"))
    assert ids(index) == ["a", "c"]


def test_the_same_segment_at_another_clock_takes_its_own_place(index):
    add(index, ref("s", 1), row("a", "first"))
    index.hide(CITY, "ortho", ["a"], 3)
    add(index, ref("s", 4, writer=BORIS), row("a", "published again"))

    assert shown(index, "a") == ["published again"]
    assert index.indexed() == ((ref("s", 4).key, 4),)


def test_dropping_an_unknown_segment_changes_nothing(index):
    add(index, ref("s", 1), row("a"))

    index.drop(ref("other", 1).key)

    assert ids(index) == ["a"]


# --- All or nothing -------------------------------------------------------------------------------
def test_rows_are_invisible_until_the_segment_is_whole(index):
    with index.adding(ref("s", 1)) as adding:
        adding.add([row("a")])
        assert ids(index) == []
        assert index.indexed() == ()
        adding.add([row("b")])

    assert ids(index) == ["a", "b"]


def test_an_exception_in_the_middle_leaves_nothing(index):
    add(index, ref("s", 1), row("a", "as before"))

    with pytest.raises(RuntimeError, match="worker died"), index.adding(ref("s", 2)) as adding:
        adding.add([row("a", "half"), row("b")])
        raise RuntimeError("worker died")

    assert shown(index, "a") == ["as before"]
    assert index.indexed() == ((ref("s", 1).key, 1),)
    assert _rows_on_disk(index) == 1


def test_an_id_twice_in_one_segment_is_refused_and_leaves_nothing(index):
    with pytest.raises(apsw.ConstraintError):
        add(index, ref("s", 1), row("a"), row("a"))

    assert _rows_on_disk(index) == 0


def test_what_a_killed_process_had_half_added_is_gone_at_the_next_start(tmp_path):
    index = Index.open(tmp_path / "index.db")
    add(index, ref("whole", 1), row("a"))
    index.begin(ref("half", 2)).add([row("a", "half"), row("b")])
    index.close()

    again = Index.open(tmp_path / "index.db")

    assert ids(again) == ["a"]
    assert _rows_on_disk(again) == 1
    again.close()


def test_changes_made_while_a_segment_is_added_count(index):
    with index.adding(ref("s", 2)) as adding:
        adding.add([row("a"), row("b", "slow")])
        index.hide(CITY, "ortho", ["a"], 3)
        add(index, ref("other", 4), row("b", "quick"))

    assert ids(index) == ["b"]
    assert shown(index, "b") == ["quick"]


def test_many_threads_search_while_one_writes(index):
    seen: list[int] = []

    def read() -> None:
        seen.extend(len(ids(index, limit=1000)) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(10):
        add(index, ref(f"s{n}", 1), *[row(f"{n}-{m}") for m in range(10)])
    for thread in threads:
        thread.join()

    assert len(seen) == 80
    assert {count % 10 for count in seen} == {0}


# --- The file -------------------------------------------------------------------------------------
def test_the_index_is_there_after_a_restart(tmp_path):
    index = Index.open(tmp_path / "index.db")
    add(index, ref("s", 1), row("a", "kept"))
    index.hide(CITY, "ortho", ["b"], 5)
    index.close()

    again = Index.open(tmp_path / "index.db")
    add(again, ref("t", 2), row("b"))

    assert shown(again, "a") == ["kept"]
    assert ids(again) == ["a"]
    again.close()


def test_an_index_of_a_newer_format_is_refused_with_what_to_do(tmp_path):
    _set_format(tmp_path / "index.db", FORMAT + 1)

    with pytest.raises(StorageError, match=f"format {FORMAT + 1}") as caught:
        Index.open(tmp_path / "index.db")

    assert "newer meshnode" in caught.value.hint


def test_an_index_of_an_older_format_is_made_anew(tmp_path, monkeypatch):
    index = Index.open(tmp_path / "index.db")
    add(index, ref("s", 1), row("a"))
    index.close()
    monkeypatch.setattr("meshnode.runtime.index.schema.FORMAT", FORMAT + 1)

    again = Index.open(tmp_path / "index.db")

    assert again.indexed() == ()
    again.close()


def test_a_file_that_is_not_an_index_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "index.db").write_bytes(b"not a database at all " * 100)

    with pytest.raises(StorageError) as caught:
        Index.open(tmp_path / "index.db")

    assert "built again" in caught.value.hint


def test_a_full_disk_is_a_storage_error_and_leaves_what_was_there(index):
    add(index, ref("s", 1), row("a"))
    pages = index._writer.pragma("page_count")
    index._writer.pragma("max_page_count", pages)

    with pytest.raises(StorageError, match="full"):
        add(index, ref("big", 2), *[row(f"r{n}", f"{n * 7919}" * 300) for n in range(500)])

    index._writer.pragma("max_page_count", 1 << 30)
    assert ids(index) == ["a"]


# --- Searching ------------------------------------------------------------------------------------
def test_results_are_newest_first_and_then_by_name(index):
    add(index, ref("s", 1), row("b", datetime_us=5), row("a", datetime_us=5))
    add(index, ref("t", 1, collection="census"), row("z", datetime_us=5), row("y", datetime_us=9))
    add(index, ref("u", 1, catalogue=PROVINCE), row("0", datetime_us=5))

    assert ids(index) == ["y", "z", "a", "b", "0"]


def test_an_item_without_datetime_stands_at_its_end_and_one_without_any_time_comes_last(index):
    add(
        index,
        ref("s", 1),
        row("never", datetime_us=None),
        row("year", datetime_us=None, start_us=0, end_us=YEAR_US),
        row("spring", datetime_us=YEAR_US // 3),
    )

    assert ids(index) == ["year", "spring", "never"]


def test_an_interval_matches_by_overlap_with_its_ends_included(index):
    add(
        index,
        ref("s", 1),
        row("instant", datetime_us=100),
        row("span", datetime_us=None, start_us=50, end_us=200),
        row("both", datetime_us=10, start_us=10, end_us=40),
        row("never", datetime_us=None),
    )

    assert ids(index, interval=(100, 100)) == ["span", "instant"]
    assert ids(index, interval=(None, 50)) == ["span", "both"]
    assert ids(index, interval=(200, None)) == ["span"]
    assert ids(index, interval=(201, None)) == []
    assert ids(index, interval=(30, 45)) == ["both"]


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ((178.0, -18.0, 179.0, -17.0), ["fiji"]),
        ((-179.0, -18.0, -178.5, -17.0), ["fiji"]),
        ((170.0, -90.0, -170.0, 90.0), ["fiji", "pole"]),
        ((170.0, -90.0, -75.5, 90.0), ["fiji", "ottawa", "pole"]),
        ((-180.0, 90.0, 180.0, 90.0), ["pole"]),
        ((-75.0, 46.0, -70.0, 50.0), ["ottawa"]),
        ((0.0, -20.0, 176.0, -10.0), []),
        ((-180.0, -90.0, 180.0, 90.0), ["fiji", "ottawa", "pole"]),
    ],
)
def test_a_box_finds_what_it_touches_across_the_antimeridian_and_at_the_poles(
    index, bbox, expected
):
    pole = (-180.0, 89.0, 180.0, 90.0)
    add(index, ref("s", 1), row("fiji", bbox=FIJI), row("ottawa"), row("pole", bbox=pole))

    assert ids(index, bbox=bbox) == expected


def test_a_box_is_compared_in_double_precision(index):
    edge = -75.123456789012
    add(index, ref("s", 1), row("west", bbox=(-76.0, 45.0, edge, 46.0)))

    assert ids(index, bbox=(edge, 45.0, -75.0, 46.0)) == ["west"]
    assert ids(index, bbox=(edge + 1e-12, 45.0, -75.0, 46.0)) == []


def test_filters_by_catalogue_collection_and_id_combine(index):
    add(index, ref("s", 1), row("a"), row("b"))
    add(index, ref("t", 1, collection="census"), row("a"))
    add(index, ref("u", 1, catalogue=PROVINCE), row("a"))

    assert len(index.search(Query(ids=("a",)))) == 3
    assert len(index.search(Query(ids=("a",), catalogues=(CITY,)))) == 2
    assert len(index.search(Query(ids=("a", "b"), catalogues=(CITY,), collections=("ortho",)))) == 2
    assert index.search(Query(collections=("nowhere",))) == []
    assert index.count(Query(collections=("nowhere",), ids=("a",))) == 0


def test_a_place_is_found_by_its_dguid_in_one_year_or_in_all(index):
    said = b'{"properties":{"dguid":"2021A00056001009"}}'
    named = "ca-yt_whitehorse-2019A00056001009_orthoimagery_2019_200mm"
    both = "ca-ab_edmonton-2023A00054811061_orthoimagery_2023"
    rows = [CheckedRow("x", 0, None, None, OTTAWA, None, said), row(named)]
    add(index, ref("s", 1), *rows, CheckedRow(both, 0, None, None, OTTAWA, None, said), row("none"))

    assert set(ids(index, dguids=("A00056001009",))) == {"x", named, both}
    assert ids(index, dguids=("2019a00056001009",)) == [named]
    assert set(ids(index, dguids=("2021A00056001009",), ids=("x", named))) == {"x"}
    assert ids(index, dguids=("A00054811061",)) == []  # what the item says counts, not its id
    assert len(ids(index, dguids=("A00056001009",) * 1000)) == 3

    index.drop(ref("s", 1).key)
    assert ids(index, dguids=("A00056001009",)) == []


def test_pages_follow_each_other_without_gap_or_repetition(index):
    for n in range(7):
        add(
            index, ref(f"s{n}", n + 1), *[row(f"{m:02}", f"{n}", datetime_us=m % 3) for m in (n, 9)]
        )
    everything = ids(index, limit=100)

    paged = [found.id for found in index.scan(Query(limit=2))]

    assert paged == everything
    assert len(paged) == len(set(paged)) == 8


def test_a_page_ends_early_rather_than_hold_too_many_bytes(index, monkeypatch):
    monkeypatch.setattr(reader_module, "PAGE_BYTES_MAX", 1000)
    add(index, ref("s", 1), *[row(f"{n}", "x" * 600) for n in range(5)])

    assert len(index.search(Query(limit=5))) == 1
    assert len(list(index.scan(Query(limit=5)))) == 5


@pytest.mark.parametrize("near_max", [0, 10_000])
def test_counting_agrees_with_searching(index, monkeypatch, near_max):
    monkeypatch.setattr(search_module, "NEAR_MAX", near_max)
    add(index, ref("s", 1), row("a", datetime_us=3), row("fiji", bbox=FIJI), row("b"))
    add(index, ref("t", 1, catalogue=PROVINCE), row("a", datetime_us=3))

    for query in (
        Query(),
        Query(bbox=OTTAWA),
        Query(interval=(1, None)),
        Query(catalogues=(CITY,)),
        Query(ids=("a",), bbox=OTTAWA, interval=(3, 3), collections=("ortho",)),
        Query(dguids=("A00056001009",)),
    ):
        assert index.count(query) == len(index.search(query))


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": 0},
        {"limit": 10_001},
        {"bbox": (0.0, 5.0, 1.0, 4.0)},
        {"bbox": (0.0, 0.0, 181.0, 1.0)},
        {"bbox": (0.0, float("nan"), 1.0, 1.0)},
        {"interval": (2, 1)},
        {"interval": (1 << 64, None)},
        {"ids": ("x",) * 1001},
        {"dguids": ("2021",)},
        {"dguids": ("A00021",) * 1001},
    ],
)
def test_a_query_outside_its_bounds_is_the_operators_error(fields):
    with pytest.raises(UsageError):
        Query(**fields)


@pytest.mark.parametrize("token", ["", "x", "%%%", "W10", "WzEsMiwzLDRd", "bnVsbA", "é"])
def test_a_token_that_is_not_ours_is_the_operators_error(index, token):
    add(index, ref("s", 1), row("a"))

    with pytest.raises(UsageError, match="page token"):
        index.search(Query(after=token))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", (1_000_000, 1_000_000)),
        ("1970-01-01T01:00:00.5+01:00/..", (500_000, None)),
        ("/1970-01-01T00:00:00Z", (None, 0)),
        ("1969-12-31T23:59:59Z/1970-01-01T00:00:00Z", (-1_000_000, 0)),
    ],
)
def test_an_interval_is_read_as_the_stac_api_writes_it(text, expected):
    assert parse_interval(text) == expected


@pytest.mark.parametrize("text", ["", "..", "../..", "yesterday", "2020-01-01T00:00:00", "a/b/c"])
def test_what_is_no_interval_is_the_operators_error(text):
    with pytest.raises(UsageError):
        parse_interval(text)


def test_a_segment_of_alike_items_takes_little_room(tmp_path):
    index = Index.open(tmp_path / "index.db")
    boilerplate = " ".join(str(sha256(bytes([n])).hex()) for n in range(30))
    rows = [row(f"item-{n:06}", boilerplate + str(n), datetime_us=n) for n in range(2000)]
    add(index, ref("s", 1), *rows)
    index.close()

    assert (tmp_path / "index.db").stat().st_size / 2000 < 700


def _rows_on_disk(index: Index) -> int:
    counts: list[Any] = [
        index._writer.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        for table in ("item", "body")
    ]
    assert counts[0] == counts[1]
    return int(counts[0])


def _set_format(path: Path, number: int) -> None:
    database = apsw.Connection(str(path))
    database.pragma("user_version", number)
    database.close()


# --- Erasing --------------------------------------------------------------------------------------
SECRET = "a name that must not be kept " * 20


@pytest.fixture
def erased(tmp_path: Path) -> Iterator[Index]:
    """An index from which the first item of a segment, which the others are compressed against,
    was erased.
    """
    index = Index.open(tmp_path / "index.db")
    rows = [row("a", SECRET), *(row(str(n), f"{n} {SECRET[:20]}") for n in range(50))]
    add(index, ref("s", 3), *rows)
    index.hide(CITY, "ortho", ["a"], 9, erases=True)
    index.erase(CITY, "ortho", ["a"], 9)
    yield index
    index.close()


def test_what_is_erased_leaves_no_byte_in_the_files(erased, tmp_path):
    held = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert SECRET[:40].encode() not in held
    assert b"that must not" not in held.replace(SECRET[:20].encode(), b"")


def test_the_dguid_of_what_is_erased_leaves_no_byte_in_the_files(index, tmp_path):
    said = b'{"properties":{"dguid":"2021A00054299999"}}'
    add(index, ref("s", 3), CheckedRow("a", 0, None, None, OTTAWA, None, said), row("b"))
    assert ids(index, dguids=("A00054299999",)) == ["a"]
    index.hide(CITY, "ortho", ["a"], 9, erases=True)
    index.erase(CITY, "ortho", ["a"], 9)
    held = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert b"A00054299999" not in held


def test_the_other_items_of_a_segment_stay_searchable_when_one_is_erased(erased):
    assert len(ids(erased, limit=100)) == 50
    assert shown(erased, "7") == [f"7 {SECRET[:20]}"]


def test_only_rows_with_a_smaller_clock_are_erased(index):
    add(index, ref("s", 3), row("a", "old"), row("b", "b"))
    add(index, ref("t", 9), row("a", "new"))
    assert index.segments_with(CITY, "ortho", ["a"], 9) == (ref("s", 3).digest,)
    index.erase(CITY, "ortho", ["a"], 9)
    assert index.segments_with(CITY, "ortho", ["a"], 9) == ()
    assert [shown(index, id_) for id_ in "ab"] == [["new"], ["b"]]


def test_a_segment_with_a_row_that_must_not_be_served_is_sealed(index):
    old, new, other = ref("s", 3), ref("t", 9), ref("u", 3, catalogue=PROVINCE)
    for segment in (old, new, other):
        add(index, segment, row("a"), row("b"))
    index.hide(CITY, "ortho", ["b"], 9)
    assert not index.is_sealed(old.digest)
    index.hide(CITY, "ortho", ["a"], 9, erases=True)
    assert [index.is_sealed(s.digest) for s in (old, new, other)] == [True, False, False]
    index.set_hidden(CITY, [Withdrawal("ortho", ("a",), 9)])
    assert not index.is_sealed(old.digest)
