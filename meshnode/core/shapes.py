"""Shapes of decoded values, composed into the field tables of the records.

A shape says what a decoded value must be and what it is read as; pydantic-core checks it in native
code. A `Layout` is the shape of a whole record: it reads an array into a dataclass and writes it
back, so that the two directions cannot disagree (protocol/02-records.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final, Generic, TypeVar

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import DIGEST_BYTES, KID_BYTES
from meshnode.core.limits import CLOCK_MAX, INTEGER_MAX, NAME_BYTES_MAX, URL_BYTES_MAX

T = TypeVar("T")
Shape = CoreSchema


def reader(shape: Shape) -> Callable[[object], Any]:
    """Return what reads values of this shape, or raises MalformedRecordError."""
    validate: Final = SchemaValidator(shape).validate_python

    def read(value: object) -> Any:  # noqa: ANN401 - the shape says what
        try:
            return validate(value)
        except ValidationError as error:
            raise MalformedRecordError(_sentence(error)) from None

    return read


def integer(low: int, high: int) -> Shape:
    """Integers from `low` to `high`; a bool is none."""
    wanted = f"an integer from {low} to {high}"
    return _said(core_schema.int_schema(ge=low, le=high, strict=True), wanted)


def blob(low: int, high: int | None = None) -> Shape:
    """Byte strings of `low` to `high` bytes, of exactly `low` without `high`."""
    most = low if high is None else high
    wanted = f"{low} to {most} bytes"
    return _said(core_schema.bytes_schema(min_length=low, max_length=most, strict=True), wanted)


def text(low: int, high: int) -> Shape:
    """Text of `low` to `high` bytes of UTF-8."""
    wanted: Final = f"text of {low} to {high} bytes"

    def read(value: str) -> str:
        if not low <= len(value.encode()) <= high:
            raise MalformedRecordError(f"{_shown(value)} is not {wanted}")
        return value

    return _then(_said(core_schema.str_schema(strict=True), wanted), read)


def member(choices: type[Enum]) -> Shape:
    known: Final = {choice.value: choice for choice in choices}
    name = choices.__name__.lower()

    def read(value: int) -> Enum:
        if value not in known:
            raise MalformedRecordError(f"{value} is no {name}")
        return known[value]

    return _then(_said(core_schema.int_schema(strict=True), f"a {name}"), read)


def optional(shape: Shape) -> Shape:
    return core_schema.nullable_schema(shape)


def array(*shapes: Shape) -> Shape:
    """Arrays with one value a shape, as tuples."""
    return core_schema.tuple_schema(list(shapes), fail_fast=True)


def row(make: Callable[..., T], *shapes: Shape) -> Shape:
    """Arrays with one value a shape, made into a value by `make`."""
    return _then(array(*shapes), lambda parts: make(*parts))


def listed(shape: Shape, low: int, high: int) -> Shape:
    """Arrays of `low` to `high` values of one shape, as tuples."""
    return core_schema.tuple_schema(
        [shape], variadic_item_index=0, min_length=low, max_length=high, fail_fast=True
    )


def unique(shape: Shape, low: int, high: int, name: Callable[[Any], Any] | None = None) -> Shape:
    """Lists in which no value (or no `name` of one) comes twice."""

    def read(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values if name is None else map(name, values))) != len(values):
            raise MalformedRecordError("a list names something twice")
        return values

    return _then(listed(shape, low, high), read)


def checked(shape: Shape, holds: Callable[[Any], bool], reason: str) -> Shape:
    """Values of a shape for which something more holds; `reason` says what does not."""

    def read(value: T) -> T:
        if not holds(value):
            raise MalformedRecordError(reason)
        return value

    return _then(shape, read)


def read_by(read: Callable[[object], Any]) -> Shape:
    """What a function reads by itself; it raises MalformedRecordError."""
    return core_schema.no_info_plain_validator_function(read)


@dataclass(frozen=True, slots=True)
class Group:
    """A nested array whose parts are fields of the record around it."""

    shapes: tuple[Shape, ...]


def group(*shapes: Shape) -> Group:
    return Group(shapes)


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
    _read: Callable[[object], tuple[Any, ...]] = field(init=False)
    _groups: tuple[int, ...] = field(init=False)  # where in `parts`, from the end on

    def __post_init__(self) -> None:
        shapes = [array(*part.shapes) if isinstance(part, Group) else part for part in self.parts]
        named = core_schema.literal_schema([self.kind]), integer(self.version, self.version)
        groups = [at for at, part in enumerate(self.parts) if isinstance(part, Group)]
        object.__setattr__(self, "_read", reader(array(*named, *shapes)))
        object.__setattr__(self, "_groups", tuple(reversed(groups)))

    def read(self, value: object) -> T:
        """Raises MalformedRecordError: another kind, version or shape."""
        _, _, *arguments = self._read(value)
        for at in self._groups:
            arguments[at : at + 1] = arguments[at]
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


def _then(shape: Shape, read: Callable[[Any], Any]) -> Shape:
    """The shape, made into what `read` returns; it raises MalformedRecordError."""
    return core_schema.no_info_after_validator_function(read, shape)


def _said(shape: Shape, wanted: str) -> Shape:
    """The shape, with what it wants in our words."""
    return core_schema.custom_error_schema(shape, _OURS, custom_error_message=f"is not {wanted}")


def _sentence(error: ValidationError) -> str:
    """Say what is wrong first in a value of a peer."""
    first = error.errors(include_url=False, include_context=False)[0]
    between = " " if first["type"] == _OURS else ": "
    return f"{_shown(first['input'])}{between}{first['msg']}"


def _shown(value: object) -> str:
    """Return a value of a peer, cut short for a message."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


_OURS: Final = "shape"  # the type of errors that speak in our words

digest = blob(DIGEST_BYTES)
kid = blob(KID_BYTES)
public_key = blob(32)
signature = blob(64)
name = text(1, NAME_BYTES_MAX)
url = text(1, URL_BYTES_MAX)
count = integer(0, INTEGER_MAX)
second = integer(0, INTEGER_MAX)
clock = integer(1, CLOCK_MAX)
