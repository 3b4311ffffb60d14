"""JSON as it came: strict parsing, and the exact text of the members of a long array.

Owns what "one JSON object" means for items (protocol/03-segments.md): UTF-8, unique keys at every
depth, finite numbers. It does not know STAC.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from pydantic_core import from_json, to_json

from meshnode.errors import PeerError

_CHUNK_BYTES: Final = 1 << 20
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


class JsonTextError(PeerError):
    """The bytes are not one JSON value in the strict sense of this module."""


def parse_strict(raw: bytes) -> object:
    """Parse one JSON value; what two readers could read differently is refused.

    Raises:
        JsonTextError: no JSON, not UTF-8, nested deeper than 200, a key given twice in one object,
            a number beyond the range of a double.
    """
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise JsonTextError(f"not valid JSON: {error}") from error
    echo = to_json(value)
    # Every member has one colon. Where no colon is written as an escape, the parsed value has as
    # many colons as the text exactly when no key was given twice: counting costs a tenth of
    # looking at every key.
    if b"\\u003" in raw or raw.count(b":") != echo.count(b":"):
        _refuse_repeated_keys(raw)
    if (b"Infinity" in echo or b"NaN" in echo) and not _is_finite(value):
        raise JsonTextError("a number is too large for a double")
    return value


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse one strict JSON object.

    Raises:
        JsonTextError: as `parse_strict`, or another value than an object.
    """
    value = parse_strict(raw)
    if not isinstance(value, dict):
        raise JsonTextError("not a JSON object")
    return value


def written(value: object) -> bytes:
    """Write a value as our stated serialisation (protocol/03-segments.md): the same bytes always.

    No white space, keys sorted by code point, UTF-8 unescaped, the shortest text of a double.

    Raises:
        ValueError: a number that JSON does not have.
    """
    return _ENCODER.encode(value).encode()


def array_members(file: BinaryIO, key: str, size_bytes_max: int) -> Iterator[bytes]:
    """Yield the exact UTF-8 text of each member of the array `key` of the top-level object.

    Reads the file once; memory stays at a few times `size_bytes_max`, the largest allowed member.

    Raises:
        JsonTextError: no JSON object, no such array, a member too large, not UTF-8.
    """
    text = _Text(file, size_bytes_max)
    found = False
    text.expect("{")
    while text.peek() != "}":
        name = text.value()
        text.expect(":")
        if name == key and found:
            raise JsonTextError(f"the key {key!r} is given twice in one object")
        if name == key and text.peek() == "[":
            found = True
            yield from text.members()
        else:
            text.value()
        text.separator("}")
    text.expect("}")
    text.end()
    if not found:
        raise JsonTextError(f"it is a JSON object without an array {key!r}")


class _Text:
    """A window on a long UTF-8 text: grows while one value is read, forgets what was taken."""

    def __init__(self, file: BinaryIO, size_bytes_max: int) -> None:
        self._read: Callable[[], bytes] = lambda: file.read(_CHUNK_BYTES)
        self._size_max = size_bytes_max
        self._scanner = json.JSONDecoder()
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._window = ""
        self._at = 0

    def peek(self) -> str:
        """Skip white space and return the next character without taking it."""
        while True:
            match = _SPACE.match(self._window, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._window):
                return self._window[self._at]
            self._grow_or_refuse()

    def expect(self, character: str) -> None:
        if self.peek() != character:
            found = self._window[self._at : self._at + 20]
            raise JsonTextError(f"not valid JSON: expected {character!r}, found {found!r}")
        self._at += 1

    def separator(self, closing: str) -> None:
        """Take the comma before a next member; none stands before the closing bracket."""
        if self.peek() == closing:
            return
        self.expect(",")
        if self.peek() == closing:
            raise JsonTextError(f"not valid JSON: a comma before {closing!r}")

    def end(self) -> None:
        """Refuse anything but white space up to the end of the file."""
        while True:
            if self._window[self._at :].strip(" \t\n\r"):
                raise JsonTextError("not valid JSON: more text after its end")
            if not self._grow():
                return

    def value(self) -> object:
        """Take one value."""
        self.peek()
        value, self._at = self._scan()
        return value

    def members(self) -> Iterator[bytes]:
        """Take the array that begins here, member by member, each as it is written."""
        self.expect("[")
        while self.peek() != "]":
            _, end = self._scan()
            yield self._window[self._at : end].encode()
            self._at = end
            self.separator("]")
        self.expect("]")

    def _scan(self) -> tuple[object, int]:
        """Return the value here and where it ends; one at the window's very end may go on."""
        while True:
            try:
                value, end = self._scanner.raw_decode(self._window, self._at)
                if end < len(self._window):
                    return value, end
            except json.JSONDecodeError as error:
                if not self._is_cut(error):
                    raise JsonTextError(f"not valid JSON: {error}") from error
            except RecursionError as error:
                raise JsonTextError("not valid JSON: nested too deep") from error
            if len(self._window) - self._at > self._size_max:
                raise JsonTextError(f"one value is larger than {self._size_max} bytes")
            self._grow_or_refuse()

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Tell whether more text could mend the error; a cut string is reported at its start."""
        return error.pos >= len(self._window) - 16 or "Unterminated" in error.msg

    def _grow_or_refuse(self) -> None:
        if not self._grow():
            raise JsonTextError("not valid JSON: it ends too early")

    def _grow(self) -> bool:
        chunk = self._read()
        try:
            more = self._utf8.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise JsonTextError(f"not UTF-8: {error.reason}") from error
        self._window, self._at = self._window[self._at :] + more, 0
        return bool(chunk)


def _refuse_repeated_keys(raw: bytes) -> None:
    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key, member in pairs:
            if key in value:
                raise JsonTextError(f"the key {key!r:.80} is given twice in one object")
            value[key] = member
        return value

    try:
        json.loads(raw, object_pairs_hook=check)
    except ValueError as error:
        raise JsonTextError(f"not valid JSON: {error}") from error


def _is_finite(value: object) -> bool:
    match value:
        case dict():
            return all(_is_finite(member) for member in value.values())
        case list():
            return all(_is_finite(member) for member in value)
        case float():
            return math.isfinite(value)
        case _:
            return True
