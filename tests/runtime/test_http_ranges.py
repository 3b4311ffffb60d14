"""Ranges, conditions and types of files, as RFC 9110 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.runtime.http.ranges import UnsatisfiableError, is_known, wanted_span
from meshnode.runtime.http.representation import content_type

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-9", range(10)),
        ("bytes=3-", range(3, 10)),
        ("bytes=3-99", range(3, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-99", range(10)),
        (" bytes=1-2 ", range(1, 3)),
        (None, None),
        ("bytes=2-1", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=٣-٤", None),
        ("bytes=0-" + "9" * 40, None),
    ],
)
def test_one_range_of_bytes_is_obeyed_and_anything_else_ignored(wanted, span) -> None:
    assert wanted_span(10, wanted, None, ETAG) == span


@pytest.mark.parametrize(("size", "wanted"), [(10, "bytes=10-"), (10, "bytes=-0"), (0, "bytes=0-")])
def test_a_range_without_a_byte_of_the_file_cannot_be_satisfied(size, wanted) -> None:
    with pytest.raises(UnsatisfiableError):
        wanted_span(size, wanted, None, ETAG)


@pytest.mark.parametrize("if_range", ['"other"', 'W/"abc"', "Fri, 27 Nov 2026 18:00:00 GMT"])
def test_a_range_of_another_version_is_ignored(if_range) -> None:
    assert wanted_span(10, "bytes=0-1", if_range, ETAG) is None
    assert wanted_span(10, "bytes=0-1", ETAG, ETAG) == range(2)


@given(st.integers(1, 50), st.text("bytes=-0123456789, ", max_size=20))
def test_whatever_is_asked_a_span_lies_in_the_file(size, text) -> None:
    try:
        span = wanted_span(size, f"bytes={text}", None, ETAG)
    except UnsatisfiableError:
        return
    assert span is None or 0 <= span.start < span.stop <= size


def test_a_known_version_is_found_among_others() -> None:
    assert is_known('"x", W/"abc"', ETAG)
    assert is_known("*", ETAG)
    assert not is_known('"x"', ETAG)
    assert not is_known(None, ETAG)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/map.PMTiles", "application/vnd.pmtiles"),
        ("cog.tif", "image/tiff"),
        ("t.parquet", "application/vnd.apache.parquet"),
        ("readme.txt", "text/plain"),
        ("page.html", "application/octet-stream"),
        ("drawing.svg", "application/octet-stream"),
        ("code.js", "application/octet-stream"),
        ("feed.xml", "application/octet-stream"),
        ("noext", "application/octet-stream"),
    ],
)
def test_types_are_those_of_the_field_and_none_that_a_browser_would_run(path, kind) -> None:
    assert content_type(path) == kind
