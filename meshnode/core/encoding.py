"""Deterministic CBOR, strictly: the one encoding of everything signed (protocol/01-encoding.md).

The subset of RFC 8949 §4.2.1 that is DAG-CBOR too: integers, byte strings, text, arrays, maps with
text keys, false, true and null. A value has exactly one encoding; any other bytes are refused.

Two readers take the same bytes. The strict one reads once, takes nothing but the canonical form and
says what is wrong. The quick one lets libipld read short bytes and write them again, and gives up
wherever that would not prove the same; then the strict one decides.
"""

from __future__ import annotations

from typing import Final

import cbor2
import libipld

from meshnode.core.limits import DEPTH_MAX
from meshnode.errors import PeerError

# libipld reserves the memory that nested arrays claim: up to 6 MiB for so many bytes, which takes
# no longer than the strict reader may need for them.
QUICK_BYTES_MAX: Final = 2 << 10
_LINK: Final = b"\xd8\x2a"  # the head of tag 42, the only tag of DAG-CBOR
_PLAIN: Final = frozenset({int, bytes, str, bool, type(None)})


class MalformedRecordError(PeerError):
    """Bytes that no conforming peer produces."""


def encode(value: object) -> bytes:
    """Return the canonical encoding of None, bool, int, bytes, str, list, tuple or dict of these.

    The value must lie within the subset: what `decode` returns, or what a record is made of.
    """
    return cbor2.dumps(value, canonical=True)


def decode(raw: bytes, size_max: int) -> object:
    """Return the value, arrays as lists and maps as dicts.

    Raises:
        MalformedRecordError: over `size_max` bytes, nested over DEPTH_MAX arrays and maps, not
            canonical, or not one value of the subset.
    """
    if len(raw) > size_max:
        raise MalformedRecordError(f"{len(raw)} bytes, the limit is {size_max}")
    value = _decode_quickly(raw) if len(raw) <= QUICK_BYTES_MAX else None
    return _decode_strictly(raw) if value is None else value


def _decode_quickly(raw: bytes) -> list[object] | None:
    """Return the array of these bytes; None says nothing about them.

    libipld takes more of DAG-CBOR than the protocol: longer forms of numbers, floats, and links,
    which it returns as byte strings. So the array counts if there is nothing else in it than the
    protocol has, and these bytes are how it is written, without a link.
    """
    try:
        value = libipld.decode_dag_cbor(raw)
    except (ValueError, RecursionError):
        return None
    if type(value) is not list or not _is_plain(value, DEPTH_MAX - 1):
        return None
    has_link = _LINK[0] in raw and _LINK in raw  # one byte is found sooner than two
    return None if has_link or libipld.encode_dag_cbor(value) != raw else value


def _is_plain(values: list[object], depth: int) -> bool:
    """Say whether all of this array is plain; maps are so rare that they are not."""
    for value in values:
        if type(value) in _PLAIN:
            continue
        if type(value) is not list or depth == 0 or not _is_plain(value, depth - 1):
            return False
    return True


def _decode_strictly(raw: bytes) -> object:
    try:
        value, end = _read(raw, 0, DEPTH_MAX)
    except IndexError:
        raise MalformedRecordError("the bytes end too early") from None
    except UnicodeDecodeError:
        raise MalformedRecordError("text is not UTF-8") from None
    if end != len(raw):
        raise MalformedRecordError(f"{len(raw) - end} bytes too many")
    return value


# Major types, RFC 8949 §3.1.
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_CONSTANTS: Final[dict[int, object]] = {0xF4: False, 0xF5: True, 0xF6: None}
# The least argument that needs the 1, 2, 4 or 8 bytes which follow the first.
_ARGUMENT_MIN: Final = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}


def _read(raw: bytes, at: int, depth: int) -> tuple[object, int]:
    """Read the value at offset `at`; return it and the offset behind it."""
    first = raw[at]
    major = first >> 5
    if major == _SIMPLE:
        if first not in _CONSTANTS:
            raise MalformedRecordError("only false, true and null are allowed as simple values")
        return _CONSTANTS[first], at + 1
    argument, at = _argument(raw, first & 31, at + 1)
    if major == _UNSIGNED:
        return argument, at
    if major == _NEGATIVE:
        return -1 - argument, at
    if major in (_BYTES, _TEXT):
        end = at + argument
        if end > len(raw):
            raise IndexError
        return (raw[at:end] if major == _BYTES else raw[at:end].decode()), end
    if major == _TAG:
        raise MalformedRecordError("tags are not allowed")
    if depth == 0:
        raise MalformedRecordError(f"nested deeper than {DEPTH_MAX}")
    return (_read_array if major == _ARRAY else _read_map)(raw, at, argument, depth - 1)


def _argument(raw: bytes, short: int, at: int) -> tuple[int, int]:
    if short < 24:
        return short, at
    least = _ARGUMENT_MIN.get(short)
    if least is None:
        raise MalformedRecordError("indefinite lengths are not allowed")
    end = at + (1 << (short - 24))
    if end > len(raw):
        raise IndexError
    argument = int.from_bytes(raw[at:end], "big")
    if argument < least:
        raise MalformedRecordError("a number is not in its shortest form")
    return argument, end


def _read_array(raw: bytes, at: int, length: int, depth: int) -> tuple[object, int]:
    values = []
    for _ in range(length):
        value, at = _read(raw, at, depth)
        values.append(value)
    return values, at


def _read_map(raw: bytes, at: int, length: int, depth: int) -> tuple[object, int]:
    values: dict[str, object] = {}
    before = b""  # the key before, encoded: keys rise bytewise, so none comes twice
    for _ in range(length):
        start = at
        key, at = _read(raw, at, depth)
        if not isinstance(key, str):
            raise MalformedRecordError("keys of maps are text")
        if raw[start:at] <= before:
            raise MalformedRecordError("keys of a map are not in order")
        before = raw[start:at]
        values[key], at = _read(raw, at, depth)
    return values, at
