"""The encoding against cbor2 as an oracle, RFC 8949 Appendix A, and arbitrary bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import libipld
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshnode.core.encoding import (
    QUICK_BYTES_MAX,
    MalformedRecordError,
    _decode_quickly,
    _decode_strictly,
    decode,
    encode,
)
from meshnode.core.limits import DEPTH_MAX

SIZE_BYTES_MAX = 1 << 16
FIRST_TAG = 0xC0  # RFC 8949 §3.1: first bytes from here on are tags, floats, simple values
FALSE_TRUE_NULL = (0xF4, 0xF5, 0xF6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
).filter(lambda value: _depth(value) <= DEPTH_MAX)
LINK = bytes.fromhex("01711220") + bytes(32)  # a CIDv1 of DAG-CBOR: of tag 42, or only bytes
DAG_CBOR = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False) | st.just(LINK),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)


def _depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 0


@given(VALUES)
def test_what_is_encoded_is_decoded(value: object) -> None:
    assert decode(encode(value), SIZE_BYTES_MAX) == value


@given(st.binary(max_size=64))
@example(bytes.fromhex("9b7fffffffffffffff"))
@example(bytes.fromhex("5b7fffffffffffffff"))
@example(bytes.fromhex("bb7fffffffffffffff"))
@example(b"\x81" * 10_000)
def test_any_bytes_are_refused_or_are_the_one_encoding_of_their_value(raw: bytes) -> None:
    try:
        value = decode(raw, SIZE_BYTES_MAX)
    except MalformedRecordError:
        return
    assert encode(value) == raw


@given(DAG_CBOR.map(libipld.encode_dag_cbor) | st.binary(max_size=64), st.data())
@example(bytes.fromhex("81fb3ff8000000000000"), None)
@example(b"\x81" + libipld.encode_dag_cbor(LINK), None)
@example(b"\x81" + encode(LINK), None)
@example(b"\x81\xd9\x00\x2a" + libipld.encode_dag_cbor(LINK)[2:], None)
@example(bytes.fromhex("811817"), None)
def test_what_the_quick_reader_takes_is_what_the_strict_one_takes(
    raw: bytes, data: st.DataObject | None
) -> None:
    if data is not None and raw:
        at, more = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.binary(max_size=3))
        raw = raw[:at] + more + raw[at + data.draw(st.integers(0, 3)) :]
    taken = _decode_quickly(raw)
    if taken is not None:
        assert repr(taken) == repr(_decode_strictly(raw))  # True is no 1 here


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["segment+", 1, 7, "towns", [bytes(32), 48_213, 250, 1], [-1, 2, 3, 4], [None, 2**53]],
        [bytes(range(256)), "Zürich", [[[[[[[-(2**64), 2**64 - 1]]]]]]], True, False],
    ],
)
def test_the_quick_reader_takes_arrays_as_records_are_made_of(value: list[object]) -> None:
    assert _decode_quickly(encode(value)) == value


def test_bytes_that_could_be_a_link_are_decoded_as_what_they_are() -> None:
    raw = encode([LINK])
    assert _decode_quickly(raw) is None
    assert decode(raw, SIZE_BYTES_MAX) == [LINK]


def test_what_is_too_long_for_the_quick_reader_is_decoded_all_the_same() -> None:
    value: list[object] = [bytes(QUICK_BYTES_MAX), 1]
    assert decode(encode(value), SIZE_BYTES_MAX) == value


@given(VALUES, st.data())
def test_a_changed_byte_is_refused_or_another_value(value: object, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(raw), SIZE_BYTES_MAX)
    except MalformedRecordError:
        return
    assert encode(found) != encode(value)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "end too early"),
        ("18", "end too early"),
        ("1900", "end too early"),
        ("4261", "end too early"),
        ("8101ff", "too many"),
        ("1817", "shortest form"),
        ("190018", "shortest form"),
        ("1a0000ffff", "shortest form"),
        ("1b00000000ffffffff", "shortest form"),
        ("5801aa", "shortest form"),
        ("9f01ff", "indefinite"),
        ("5f4101ff", "indefinite"),
        ("bf616101ff", "indefinite"),
        ("1c", "indefinite"),
        ("c001", "tags"),
        ("d81c80", "tags"),
        ("f93c00", "simple values"),
        ("fb3ff0000000000000", "simple values"),
        ("f7", "simple values"),
        ("f820", "simple values"),
        ("ff", "simple values"),
        ("62c328", "UTF-8"),
        ("63eda080", "UTF-8"),
        ("a10102", "keys of maps are text"),
        ("a2616101616102", "not in order"),
        ("a2616201616102", "not in order"),
        ("a262616101616201", "not in order"),
        ("81" * (DEPTH_MAX + 1) + "00", "deeper"),
        ("a16161" * (DEPTH_MAX + 1) + "00", "deeper"),
    ],
)
def test_what_is_not_canonical_is_refused_with_its_reason(raw: str, reason: str) -> None:
    with pytest.raises(MalformedRecordError, match=reason):
        decode(bytes.fromhex(raw), SIZE_BYTES_MAX)


def test_the_deepest_nesting_is_decoded() -> None:
    raw = b"\x81" * DEPTH_MAX + b"\x00"
    assert encode(decode(raw, SIZE_BYTES_MAX)) == raw


def test_more_bytes_than_allowed_are_refused_unread() -> None:
    assert decode(b"\x42ab", 3) == b"ab"
    with pytest.raises(MalformedRecordError, match="3 bytes, the limit is 2"):
        decode(b"\x42ab", 2)


def test_appendix_a_of_rfc_8949_is_decoded_exactly_as_far_as_the_subset_reaches(
    shared: Path,
) -> None:
    cases = json.loads((shared / "vectors/cbor-appendix-a/appendix_a.json").read_text())
    raws = [bytes.fromhex(case["hex"]) for case in cases]
    assert len(raws) == 82
    inside = [raw for raw, case in zip(raws, cases, strict=True) if _in_subset(raw, case)]
    assert [raw for raw in raws if _is_taken(raw)] == inside
    for raw in inside:
        assert decode(raw, SIZE_BYTES_MAX) == cbor2.loads(raw)
        assert encode(decode(raw, SIZE_BYTES_MAX)) == raw


def _in_subset(raw: bytes, case: dict[str, Any]) -> bool:
    """Say by E-1 to E-6 whether a case is ours: `roundtrip` marks what is definite and shortest."""
    untagged = raw[0] < FIRST_TAG or raw[0] in FALSE_TRUE_NULL
    return case["roundtrip"] and untagged and _is_plain(cbor2.loads(raw))


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    return value is None or isinstance(value, bool | int | bytes | str)


def _is_taken(raw: bytes) -> bool:
    try:
        decode(raw, SIZE_BYTES_MAX)
    except MalformedRecordError:
        return False
    return True
