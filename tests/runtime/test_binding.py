"""Bindings: a file of a payload is assets of items, and saying so moves no byte of either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.filelist import (
    BINDINGS_MAX,
    FileList,
    PayloadFile,
    decode_file_list,
    encode_file_list,
)
from meshnode.core.identifiers import sha256
from meshnode.errors import UsageError
from meshnode.runtime.maintainer.binding import Bound, bind, encoded, parse_bound

ONE = FileList((PayloadFile("a.tif", 1, sha256(b"a"), sha256(b"r")),))
TWO = FileList(
    tuple(PayloadFile(f"f/year=1/{name}", 1, sha256(b"a"), sha256(b"r")) for name in ("a", "b"))
)
NAMES = st.text("abc:é", min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("item:data", Bound(None, "item", "data")),
        ("urn:item:data", Bound(None, "urn:item", "data")),
        ("f/year=1/a=item:data", Bound("f/year=1/a", "item", "data")),
    ],
)
def test_a_binding_is_read_as_people_write_it(text: str, bound: Bound) -> None:
    assert parse_bound(text) == bound


@pytest.mark.parametrize("text", ["", "item", "item:", ":data", "=item:data", "path=:data"])
def test_what_is_no_binding_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not ITEM:ASSET"):
        parse_bound(text)


def test_several_items_share_a_file_and_the_key_stays() -> None:
    files = bind(ONE, [Bound(None, "b", "data"), Bound("a.tif", "a", "map")])
    assert files.files[0].bindings == (("a", "map"), ("b", "data"))
    assert files.key == ONE.key
    assert bind(files, [Bound(None, "b", "data")]) == files
    assert bind(files, [Bound(None, "b", "data")], drop=True).files[0].bindings == (("a", "map"),)


def test_a_file_of_several_is_named_by_its_path() -> None:
    for path in ("f/year=1/b", "year=1/b"):
        assert bind(TWO, [Bound(path, "i", "data")]).find("i", "data") == 1
    with pytest.raises(UsageError, match="has 2 files"):
        bind(TWO, [Bound(None, "i", "data")])
    with pytest.raises(UsageError, match="no file 'c' is in this payload"):
        bind(TWO, [Bound("c", "i", "data")])


def test_what_is_not_bound_cannot_be_dropped() -> None:
    with pytest.raises(UsageError, match=r"a\.tif is not bound to i:data"):
        bind(ONE, [Bound(None, "i", "data")], drop=True)


def test_too_many_bindings_are_refused() -> None:
    many = [Bound(None, f"i{number}", "data") for number in range(BINDINGS_MAX + 1)]
    with pytest.raises(UsageError, match="4097 bindings"):
        encoded(bind(ONE, many))
    with pytest.raises(UsageError, match="item id"):
        encoded(bind(ONE, [Bound(None, "i" * 256, "data")]))


@given(st.lists(st.tuples(st.sampled_from(["f/year=1/a", "year=1/b"]), NAMES, NAMES)))
def test_whatever_is_bound_is_a_file_list_with_the_key_of_before(
    said: list[tuple[str, str, str]],
) -> None:
    files = bind(TWO, [Bound(*each) for each in said])
    assert decode_file_list(encode_file_list(files)) == files
    assert files.key == TWO.key
    assert sum(len(file.bindings) for file in files.files) == len(
        {(path[-1], item, asset) for path, item, asset in said}
    )
