"""The rules of the segment check, one by one, in this process."""

from dataclasses import replace

import pyarrow as pa
import pytest

from meshnode.core.names import SegmentRef
from meshnode.errors import PeerError
from meshnode.runtime.segments.segment import write_segment
from meshnode.runtime.segments.worker import Expected, Row, checked_rows
from tests.runtime.stac_samples import (
    COLLECTION,
    COLLECTION_JSON,
    METADATA,
    TOWNS,
    pair,
    ref_of,
    rewritten,
    segment,
    with_column,
)


def rows_of(path, ref: SegmentRef) -> list[Row]:
    expected = Expected(
        collection=ref.collection,
        size_bytes=ref.size_bytes,
        rows=ref.rows,
        format=ref.format,
        clock=ref.clock,
        bbox=ref.bbox,
        span=ref.span,
    )
    return [row for batch in checked_rows(path, expected) for row in batch]


def refusal(path, ref: SegmentRef) -> str:
    with pytest.raises((PeerError, OSError, ValueError, pa.ArrowException)) as caught:
        rows_of(path, ref)
    return str(caught.value)


def test_row_clocks_up_to_the_entrys_pass_and_later_ones_do_not(tmp_path):
    made = write_segment(
        tmp_path / "s", COLLECTION, COLLECTION_JSON, map(pair, TOWNS), clocks=range(1, 31)
    )
    rows = rows_of(tmp_path / "s", ref_of(made, clock=30))
    assert {row[0]: row[5] for row in rows} == {f"t{n}": n + 1 for n in range(30)}
    reason = refusal(tmp_path / "s", ref_of(made, clock=29))
    assert "has clock 30, its entry 29" in reason


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("rows", 31, "it has 30 rows, not 31"),
        ("size_bytes", 99, "bytes, not 99"),
        ("format", 2, "its format is 2"),
        ("collection", "villages", "just the collection 'villages'"),
        ("bbox", (0, 0, 1, 1), "its entry says"),
        ("span", (0, 1), "its entry says"),
    ],
)
def test_a_segment_that_is_not_what_its_entry_says_is_refused(tmp_path, field, value, reason):
    ref = ref_of(segment(tmp_path / "s", TOWNS))
    assert reason in refusal(tmp_path / "s", replace(ref, **{field: value}))


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("id", lambda old: ["x", *old[1:]], "column id differs"),
        ("collection", lambda old: ["x", *old[1:]], "column collection differs"),
        ("datetime", lambda old: [None, *old[1:]], "column datetime differs"),
        ("start_datetime", lambda old: [0] * len(old), "column start_datetime differs"),
        ("end_datetime", lambda old: [0] * len(old), "column end_datetime differs"),
        ("bbox", lambda old: [old[0] | {"xmax": 9.0}, *old[1:]], "column bbox differs"),
        ("clock", lambda old: [0] * len(old), "has clock 0"),
        ("item", lambda old: ["[]", *old[1:]], "not a JSON object"),
        ("item", lambda old: ['{"id":1,"id":1}', *old[1:]], "given twice"),
        ("item", lambda old: [old[0].replace("Polygon", "Circle"), *old[1:]], "no geometry"),
    ],
)
def test_a_column_that_does_not_follow_from_the_items_is_refused(tmp_path, name, edit, reason):
    made = rewritten(tmp_path / "s", with_column(name, edit))
    assert reason in refusal(tmp_path / "s", ref_of(made))


def test_an_untouched_rewrite_passes(tmp_path):
    made = rewritten(tmp_path / "s", lambda table: table)
    assert len(rows_of(tmp_path / "s", ref_of(made))) == 30


def test_an_item_that_stands_twice_is_refused(tmp_path):
    made = rewritten(tmp_path / "s", lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    assert "twice" in refusal(tmp_path / "s", ref_of(made))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table.append_column("more", pa.array(["x"] * 30)), "its columns are"),
        (lambda table: table.drop_columns(["links"]), "its columns are"),
        (lambda table: table.drop_columns(["assets"]), "no struct column assets"),
        (lambda table: table.select(table.column_names[::-1]), "its columns are"),
        (
            lambda table: table.set_column(
                11, pa.field("clock", pa.int32()), pa.nulls(30, pa.int32())
            ),
            "its column clock is int32",
        ),
    ],
)
def test_other_columns_than_those_of_the_format_are_refused(tmp_path, change, reason):
    made = rewritten(tmp_path / "s", change)
    assert reason in refusal(tmp_path / "s", ref_of(made))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "other keys than geo"),
        ({**METADATA, "more": "x"}, "other keys than geo"),
        ({**METADATA, "geo": '{"version":"2.0.0"}'}, "not GeoParquet 1.1.0"),
        ({**METADATA, "geo": "{"}, "not valid JSON"),
        ({**METADATA, "stac-geoparquet": '{"version":"1.0.0"}'}, "not of version 1.1.0"),
        (
            {
                **METADATA,
                "stac-geoparquet": '{"version":"1.1.0","collections":{"towns":{"id":"x"}}}',
            },
            "just the collection",
        ),
    ],
)
def test_other_metadata_than_the_formats_are_refused(tmp_path, metadata, reason):
    made = rewritten(tmp_path / "s", lambda table: table, metadata)
    assert reason in refusal(tmp_path / "s", ref_of(made))


@pytest.mark.parametrize("cut", [0, 3, 11, 500])
def test_a_truncated_file_is_refused(tmp_path, cut):
    made = segment(tmp_path / "s", TOWNS)
    data = (tmp_path / "s").read_bytes()[:cut]
    (tmp_path / "s").write_bytes(data)
    reason = refusal(tmp_path / "s", replace(ref_of(made), size_bytes=cut))
    assert "no Parquet file" in reason


def test_a_footer_of_more_than_4_mib_is_refused_unread(tmp_path):
    data = b"PAR1" + bytes(5 << 20) + (5 << 20).to_bytes(4, "little") + b"PAR1"
    (tmp_path / "s").write_bytes(data)
    ref = replace(ref_of(segment(tmp_path / "t", TOWNS)), size_bytes=len(data))
    assert "footer" in refusal(tmp_path / "s", ref)


def test_a_stored_arrow_schema_is_refused(tmp_path):
    made = rewritten(tmp_path / "s", lambda table: table, store_schema=True)
    assert "other keys than geo" in refusal(tmp_path / "s", ref_of(made))
