"""The file list record: one canonical form, safe paths, a key over the content alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import MalformedRecordError, encode
from meshnode.core.filelist import (
    BINDINGS_MAX,
    FILE_BYTES_MAX,
    FileList,
    PayloadFile,
    decode_file_list,
    encode_file_list,
    in_order,
)
from meshnode.core.identifiers import Digest, sha256

ROOT = Digest(b"r" * 32)


def plain(path: str, size_bytes: int = 5) -> PayloadFile:
    return PayloadFile(path, size_bytes, sha256(path.encode()), ROOT if size_bytes else None)


TWO = FileList((plain("set/a"), plain("set/b")))

names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)
safe_names = names.filter(lambda name: name not in (".", "..") and not set(name) & {"/", "\\"})
bindings = st.lists(st.tuples(safe_names, safe_names), max_size=3, unique=True).map(
    lambda found: tuple(sorted(found, key=lambda pair: (pair[0].encode(), pair[1].encode())))
)
file_lists = st.lists(st.tuples(safe_names, st.integers(0, 2**40), bindings), min_size=1).map(
    lambda rows: FileList(
        in_order(
            {
                f"set/{name}": replace(plain(f"set/{name}", size), bindings=bound)
                for name, size, bound in rows
            }.values()
        )
    )
)


@given(file_lists)
def test_what_was_encoded_is_decoded(files):
    assert decode_file_list(encode_file_list(files)) == files


def test_a_list_of_more_files_than_the_limit_is_refused(monkeypatch):
    three = FileList((*TWO.files, plain("set/c")))
    two_raw, three_raw = encode_file_list(TWO), encode_file_list(three)
    monkeypatch.setattr("meshnode.core.filelist.FILES_MAX", 2)
    assert decode_file_list(two_raw) == TWO
    with pytest.raises(MalformedRecordError, match="3 files"):
        decode_file_list(three_raw)
    with pytest.raises(MalformedRecordError, match="3 files"):
        encode_file_list(three)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_list_or_malformed(raw):
    try:
        files = decode_file_list(raw)
    except MalformedRecordError:
        return
    assert encode_file_list(files) == raw


def test_bindings_do_not_change_the_key():
    bound = replace(TWO.files[0], bindings=(("item-1", "data"),))

    assert FileList((bound, TWO.files[1])).key == TWO.key


@pytest.mark.parametrize(
    "other",
    [
        FileList((plain("set/a"), plain("set/c"))),
        FileList((plain("set/a"), plain("set/b", 6))),
        FileList((plain("set/a"), replace(plain("set/b"), sha256=sha256(b"other")))),
        FileList((plain("set/a"), replace(plain("set/b"), root=Digest(b"s" * 32)))),
        FileList((plain("set/a"),)),
    ],
)
def test_any_difference_in_content_changes_the_key(other):
    assert other.key != TWO.key


def test_the_key_is_the_hash_of_the_list_without_bindings():
    content = [[f.path, 5, f.sha256, ROOT] for f in TWO.files]

    assert TWO.key == sha256(encode(["payload", 1, None, content]))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "set/../b",
        "set/./b",
        "set//b",
        "set/",
        "set\\b",
        "set/b\0",
        "set/b\n",
        "set/\u202etxt.exe",
        "set/" + "n" * 241,
        "/".join(["d"] * 33),
        "/".join(["n" * 200] * 6),
    ],
)
def test_a_path_that_is_not_plain_is_refused(path):
    with pytest.raises(MalformedRecordError, match="path"):
        encode_file_list(FileList((plain(path),)))


@pytest.mark.parametrize(
    "files",
    [
        (),
        (plain("set/b"), plain("set/a")),
        (plain("set/a"), plain("set/a")),
        (plain("set/a"), plain("set/a/b")),
        (plain("a"), plain("b")),
        (plain("one/a"), plain("two/a")),
        (plain("a", -1),),
        (plain("a", FILE_BYTES_MAX + 1),),
        (replace(plain("a"), sha256=None),),
        (replace(plain("a"), sha256=Digest(b"short")),),
        (replace(plain("a", 0), root=ROOT),),
        (replace(plain("a"), bindings=(("b", "x"), ("a", "x"))),),
        (replace(plain("a"), bindings=(("a", "x"), ("a", "x"))),),
        (replace(plain("a"), bindings=(("", "x"),)),),
        (replace(plain("a"), bindings=(("a", "x" * 256),)),),
        (replace(plain("a"), bindings=tuple((f"{i:05}", "x") for i in range(BINDINGS_MAX + 1))),),
    ],
)
def test_a_list_that_breaks_a_rule_is_refused(files):
    with pytest.raises(MalformedRecordError, match="file list"):
        encode_file_list(FileList(files))


def test_a_v1_torrent_without_checksums_is_named_by_its_info_hash():
    files = FileList((PayloadFile("a", 5, None, None),), infohash_v1=b"h" * 20)

    assert decode_file_list(encode_file_list(files)) == files
    assert files.key != replace(files, infohash_v1=b"i" * 20).key


def test_checksums_beside_an_info_hash_are_refused():
    with pytest.raises(MalformedRecordError):
        encode_file_list(FileList((plain("a"),), infohash_v1=b"h" * 20))


@pytest.mark.parametrize(
    "value",
    [
        ["files", 2, None, []],
        ["payload", 1, None, []],
        ["files", 1, None, [["a", 5, b"s" * 32]]],
        ["files", 1, None, [["a", 5, b"s" * 32, None, ["x"]]]],
        ["files", 1, None, [["a", True, b"s" * 32, None, []]]],
        ["files", 1, b"short", [["a", 5, None, None, []]]],
        ["files", 1, None],
        {},
    ],
)
def test_another_shape_is_refused(value):
    with pytest.raises(MalformedRecordError):
        decode_file_list(encode(value))


def test_the_file_of_an_asset_is_found():
    bound = replace(TWO.files[1], bindings=(("item-1", "data"),))
    files = FileList((TWO.files[0], bound))

    assert files.find("item-1", "data") == 1
    assert files.find("item-1", "thumbnail") is None
