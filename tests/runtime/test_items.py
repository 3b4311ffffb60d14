"""Reading items: exact bytes from JSON, one refusal per broken place, clear words for the rest."""

import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.errors import UsageError
from meshnode.runtime.segments.format import ITEM_BYTES_MAX
from meshnode.runtime.segments.items import ItemText, RefusedItem, read_items
from meshnode.runtime.segments.json_text import (
    JsonTextError,
    array_members,
    parse_object,
    parse_strict,
)
from tests.runtime.stac_samples import item, segment


def written(folder: Path, data: bytes, name: str = "input.json") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def raws(path: Path) -> list[bytes]:
    return [one.raw for one in read_items(path) if isinstance(one, ItemText)]


def reasons(path: Path) -> list[str]:
    return [one.reason for one in read_items(path) if isinstance(one, RefusedItem)]


ODD = b'{"id": "\xc3\xa9\\u0301", "type":"Feature",\t"n": 1.0, "e": 1E2, "k": "a:b\\"}{"}'


def test_ndjson_lines_come_back_byte_for_byte(tmp_path):
    path = written(tmp_path, ODD + b"\r\n\n  " + b'{"type": "Feature"}  \n' + ODD)
    assert raws(path) == [ODD, b'{"type": "Feature"}', ODD]


def test_a_single_pretty_printed_item_is_the_bytes_between_its_braces(tmp_path):
    document = json.dumps(item(), indent=2).encode()
    assert raws(written(tmp_path, b"\n " + document + b"\n")) == [document]


def test_an_item_with_a_property_named_features_is_still_one_item(tmp_path):
    document = b'{"type": "Feature", "properties": {"features": [1, 2]}}'
    assert raws(written(tmp_path, document)) == [document]


def test_members_of_an_item_collection_are_sliced_byte_for_byte(tmp_path):
    document = (
        b'{"note": [1, {"features": []}], "features" : [ ' + ODD + b" ,\n" + ODD + b"],"
        b'"type": "FeatureCollection", "links": []}\n'
    )
    assert raws(written(tmp_path, document)) == [ODD, ODD]


def test_members_longer_than_a_read_chunk_are_whole(tmp_path):
    members = [
        json.dumps({"type": "Feature", "id": str(n), "text": "é" * 700_001}, ensure_ascii=False)
        for n in range(4)
    ]
    text = '{"type": "FeatureCollection", "features": [' + ", ".join(members) + "]}"
    assert raws(written(tmp_path, text.encode())) == [member.encode() for member in members]


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=9),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=5,
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_any_members_are_found_whatever_their_layout(values, indent, ascii_only):
    members = [json.dumps(value, indent=indent, ensure_ascii=ascii_only) for value in values]
    text = '{"features":[' + " ,\n".join(members) + '], "type": "FeatureCollection"}'
    found = array_members(io.BytesIO(text.encode()), "features", ITEM_BYTES_MAX)
    assert list(found) == [member.encode() for member in members]


def test_a_broken_line_is_refused_with_its_place_and_the_others_are_read(tmp_path):
    path = written(tmp_path, ODD + b'\n{"id": \n' + ODD + b"\n", "in.ndjson")
    first, broken, last = read_items(path)
    assert isinstance(first, ItemText)
    assert isinstance(last, ItemText)
    assert isinstance(broken, RefusedItem)
    assert broken.where == "in.ndjson line 2"
    assert last.where == "in.ndjson line 3"
    assert "not valid JSON" in broken.reason


def test_a_broken_first_line_does_not_hide_the_lines_after_it(tmp_path):
    path = written(tmp_path, b'{"id": 1, }\n' + ODD + b"\n")
    assert raws(path) == [ODD]


def test_a_line_above_the_size_limit_is_refused_and_skipped(tmp_path):
    long = b'{"x": "' + b"y" * ITEM_BYTES_MAX + b'"}'
    path = written(tmp_path, ODD + b"\n" + long + b"\n" + ODD + b"\n")
    assert raws(path) == [ODD, ODD]
    assert reasons(path) == [f"larger than {ITEM_BYTES_MAX} bytes"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
        (b'{"p": [{"a": 1, "b": 2, "a" : 3}]}', "the key 'a' is given twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' is given twice"),
        (b'{"a": 1, "a": "\\u003a"}', "the key 'a' is given twice"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": -Infinity}', "not valid JSON"),
        (b'{"a": 1e999}', "too large for a double"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{} {}", "not valid JSON"),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(tmp_path, line, reason):
    found = reasons(written(tmp_path, ODD + b"\n" + line + b"\n"))
    assert len(found) == 1
    assert reason in found[0]


def test_words_like_infinity_inside_text_are_no_numbers():
    assert parse_object(b'{"a": "Infinity: NaN \\u003a"}') == {"a": "Infinity: NaN :"}


def json_values(leaf: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | leaf,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )


@given(json_values(st.floats(allow_nan=False, allow_infinity=False)), st.booleans())
def test_strict_parsing_agrees_with_the_standard_library(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_strict(text.encode("utf-8")) == json.loads(text)


@given(json_values(st.nothing()), st.sampled_from([math.inf, -math.inf, math.nan]))
def test_numbers_that_are_not_finite_are_refused_wherever_they_stand(value, number):
    with pytest.raises(JsonTextError):
        parse_strict(json.dumps([value, {"deep": number}]).encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no items"),
        (b" \n\n", "holds no items"),
        (b'{"type": "FeatureCollection", "features": []}', "holds no items"),
        (b"\x1f\x8b\x08 compressed", "is gzip"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"id,name\n1,2\n", "neither JSON objects nor Parquet"),
        (b'{"type": "Collection", "id": "x"}', "without an array 'features'"),
        (b'{"type": "FeatureCollection", "features": [{"id": 1}, {"id', "after feature 1"),
        (b'{"features": [{},]}', "a comma before"),
        (b'{"features": [{}]} trailing', "more text after its end"),
        (b'{"features": [{}], "features": []}', "given twice"),
        (b'{"features": [{}], "x": "\xff"}', "not UTF-8"),
        (b"PAR1 not really PAR1", "broken Parquet"),
    ],
)
def test_a_file_without_items_is_refused_with_what_and_a_next_step(tmp_path, data, message):
    path = written(tmp_path, data)
    with pytest.raises(UsageError, match=message) as caught:
        list(read_items(path))
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        list(read_items(tmp_path / "absent.json"))


def test_one_of_our_segments_gives_back_the_exact_items(tmp_path):
    values = [item("a"), item("b", west=10), item("c", west=100)]
    segment(tmp_path / "s.parquet", values)
    assert sorted(raws(tmp_path / "s.parquet")) == sorted(json.dumps(v).encode() for v in values)


def test_geoparquet_that_is_not_stac_is_refused_with_the_missing_columns(shared):
    (path,) = (shared / "data/d4c").glob("*.parquet")
    with pytest.raises(UsageError, match="is GeoParquet, but not STAC-GeoParquet") as caught:
        list(read_items(path))
    assert "links, assets" in str(caught.value)
    assert "geo_point_2d" in caught.value.hint


@pytest.mark.parametrize("name", ["ARROW-GH-41321", "ARROW-GH-43605", "PARQUET-1481"])
def test_malformed_parquet_is_refused_as_a_usage_error(shared, name):
    path = shared / f"vectors/parquet-testing-bad/bad_data/{name}.parquet"
    with pytest.raises(UsageError):
        list(read_items(path))
