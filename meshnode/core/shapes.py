"""Shapes of decoded values: small checkers, composed into the field tables of the records.

A shape takes a decoded value and returns it typed, or raises `MalformedRecordError`. A `Layout` is
the shape of a whole record: it reads an array into a dataclass and writes it back, so that the two
directions cannot disagree (protocol/02-records.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final, Generic, TypeVar

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import DIGEST_BYTES, KID_BYTES
from meshnode.core.limits import CLOCK_MAX, INTEGER_MAX, NAME_BYTES_MAX, URL_BYTES_MAX

T = TypeVar("T")
Shape = Callable[[object], Any]


def integer(low: int, high: int) -> Shape:
    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:  # a bool is no integer here
            raise MalformedRecordError(f"{_shown(value)} is not an integer from {low} to {high}")
        return value

    return check


def blob(low: int, high: int | None = None) -> Shape:
    """Byte strings of `low` to `high` bytes, of exactly `low` without `high`."""
    most = low if high is None else high

    def check(value: object) -> bytes:
        if type(value) is not bytes or not low <= len(value) <= most:
            raise MalformedRecordError(f"{_shown(value)} is not {low} to {most} bytes")
        return value

    return check


def text(low: int, high: int) -> Shape:
    """Text of `low` to `high` bytes of UTF-8."""

    def check(value: object) -> str:
        if type(value) is not str or not low <= len(value.encode()) <= high:
            raise MalformedRecordError(f"{_shown(value)} is not text of {low} to {high} bytes")
        return value

    return check


def member(choices: type[Enum]) -> Shape:
    known: Final = {choice.value: choice for choice in choices}

    def check(value: object) -> Enum:
        if type(value) is not int or value not in known:
            raise MalformedRecordError(f"{_shown(value)} is no {choices.__name__.lower()}")
        return known[value]

    return check


def optional(shape: Shape) -> Shape:
    def check(value: object) -> object:
        return None if value is None else shape(value)

    return check


def listed(shape: Shape, low: int, high: int) -> Shape:
    """Arrays of `low` to `high` values of one shape, as tuples."""

    def check(value: object) -> tuple[Any, ...]:
        if type(value) is not list or not low <= len(value) <= high:
            raise MalformedRecordError(f"{_shown(value)} is not a list of {low} to {high}")
        return tuple(map(shape, value))

    return check


def unique(shape: Shape, low: int, high: int, name: Callable[[Any], Any] | None = None) -> Shape:
    """Lists in which no value (or no `name` of one) comes twice."""
    read = listed(shape, low, high)

    def check(value: object) -> tuple[Any, ...]:
        values: tuple[Any, ...] = read(value)
        names = values if name is None else tuple(map(name, values))
        if len(dict.fromkeys(names)) != len(names):
            raise MalformedRecordError("a list names something twice")
        return values

    return check


def row(make: Callable[..., T], *shapes: Shape) -> Callable[[object], T]:
    """Arrays with one value a shape, made into a value by `make`."""
    number: Final = len(shapes)

    def check(value: object) -> T:
        if type(value) is not list or len(value) != number:
            raise MalformedRecordError(f"{_shown(value)} is not an array of {number}")
        return make(*[shape(part) for shape, part in zip(shapes, value, strict=True)])

    return check


def together(*values: object) -> tuple[Any, ...]:
    """What `row` makes where the parts have no name of their own."""
    return values


@dataclass(frozen=True, slots=True)
class Group:
    """A nested array whose parts are fields of the record around it; `read` returns them all."""

    shapes: tuple[Shape, ...]
    read: Callable[[object], tuple[Any, ...]]


def group(*shapes: Shape) -> Group:
    return Group(shapes, row(together, *shapes))


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """The array of one kind of record: kind, version, then the fields in order of the dataclass.

    `check` raises MalformedRecordError for what no single field shows.
    """

    kind: str
    version: int
    make: Callable[..., T]
    parts: tuple[Shape | Group, ...]
    check: Callable[[T], None] | None = None

    def read(self, value: object) -> T:
        """Raises MalformedRecordError: another kind, version or shape."""
        if type(value) is not list or len(value) != 2 + len(self.parts):
            raise MalformedRecordError(f"{_shown(value)} has not the fields of a {self.kind}")
        if value[0] != self.kind or type(value[1]) is not int or value[1] != self.version:
            raise MalformedRecordError(f"{_shown(value[:2])} is no {self.kind} {self.version}")
        arguments: list[Any] = []
        for part, given in zip(self.parts, value[2:], strict=True):
            if isinstance(part, Group):
                arguments += part.read(given)
            else:
                arguments.append(part(given))
        record = self.make(*arguments)
        if self.check is not None:
            self.check(record)
        return record

    def write(self, record: T) -> list[object]:
        given = iter(parts_of(record))
        body: list[object] = []
        for part in self.parts:
            if isinstance(part, Group):
                body.append([next(given) for _ in part.shapes])
            else:
                body.append(next(given))
        return [self.kind, self.version, *body]


def parts_of(record: object) -> list[object]:
    """Return a dataclass's fields in order, as plain values."""
    assert is_dataclass(record)
    return [plain(getattr(record, field.name)) for field in fields(record)]


def plain(value: object) -> object:
    """Return the value as CBOR knows it: dataclasses and tuples become lists, enums numbers."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return parts_of(value) if is_dataclass(value) else value


def rising(values: Sequence[Any]) -> bool:
    return all(before < after for before, after in pairwise(values))


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise MalformedRecordError(reason)


def _shown(value: object) -> str:
    """Return a value of a peer, cut short for a message."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


digest = blob(DIGEST_BYTES)
kid = blob(KID_BYTES)
public_key = blob(32)
signature = blob(64)
name = text(1, NAME_BYTES_MAX)
url = text(1, URL_BYTES_MAX)
count = integer(0, INTEGER_MAX)
second = integer(0, INTEGER_MAX)
clock = integer(1, CLOCK_MAX)
