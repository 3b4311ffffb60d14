"""One line of text for every event and effect: what the runtime logs is what simulations hash.

A line is the kind and then each field as `name=value`. Ids are cut to 8 bytes of hex, long bytes
become their length and digest, so a line is short, ASCII, on one line, and the same on every
machine. Owns nothing of what the events mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Final

from meshnode.core.effects import CheckSnapshot, Effect, SetHidden
from meshnode.core.events import DenyListChanged, Event, SnapshotChecked
from meshnode.core.hello import Greeting
from meshnode.core.identifiers import DIGEST_BYTES
from meshnode.core.names import LogId, SegmentRef
from meshnode.core.snapshots import Beginning

ID_BYTES_SHOWN: Final = 8  # enough to tell ids apart in a log of millions of lines
REMEMBERED_MAX: Final = 1024  # values of a kind whose text is not made again: many lines name one
TEXT_CHARACTERS_MAX: Final = 200  # of one reason or name; the rest adds nothing to a log

# Where a few fields name the whole value.
_NAMING_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    SegmentRef: ("log", "collection", "digest", "clock"),
    SetHidden: ("catalogue", "count"),
    CheckSnapshot: ("log", "ref"),
    SnapshotChecked: ("log", "ref", "is_true"),
    Beginning: ("ref",),
    Greeting: ("versions", "admitted", "base"),
    DenyListChanged: ("ticket", "name", "raw", "erase"),
}
# How the ids of a type are written, and what reads their values.
Form = tuple[str, Callable[[object], tuple[object, ...]]]
_known_forms: dict[type, Form] = {}  # bounded by the number of types in `events`


def kind(item: Event | Effect) -> str:
    """Return the name of the event or effect, for example "AskLog"."""
    return type(item).__name__


def ids(item: Event | Effect) -> str:
    """Return the fields as `name=value`, separated by spaces."""
    shape = type(item)
    form, values = _known_forms.get(shape) or _form_of(shape)
    written = _WRITERS.get  # not by _text: there are millions of lines, with a few fields each
    return form % tuple([(written(type(each)) or _text)(each) for each in values(item)])


def line(item: Event | Effect) -> str:
    """Return the whole line, without an end of line."""
    return f"{type(item).__name__} {ids(item)}".rstrip()


def _form_of(shape: type) -> Form:
    form = _known_forms.get(shape)
    if form is None:
        assert is_dataclass(shape), f"{shape.__name__} has no place in a trace"
        names = _NAMING_FIELDS.get(shape) or tuple(field.name for field in fields(shape))
        form = " ".join(f"{name}=%s" for name in names), _reader(names)
        _known_forms[shape] = form
    return form


def _reader(names: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    read = attrgetter(*names)  # of one name it returns no tuple
    return read if len(names) > 1 else lambda value: (read(value),)


def _text(value: object) -> str:
    if write := _WRITERS.get(type(value)):
        return write(value)
    if isinstance(value, Enum):
        return _quoted(str(value.value))
    return _record(value)


def _record(value: object) -> str:
    _, values = _form_of(type(value))
    return f"({','.join((type(value).__name__, *map(_text, values(value))))})"


def _bytes(value: bytes) -> str:
    if len(value) <= DIGEST_BYTES:
        return value[:ID_BYTES_SHOWN].hex() or "-"
    return _long_bytes(value)


@lru_cache(REMEMBERED_MAX)
def _long_bytes(value: bytes) -> str:
    return f"{len(value)}:{hashlib.sha256(value).digest()[:ID_BYTES_SHOWN].hex()}"


def _tuple(value: tuple[object, ...]) -> str:
    return f"[{','.join(map(_text, value))}]"


def _quoted(value: str) -> str:
    """Write text so that a peer's choice of it can neither end the line nor forge a field."""
    shown = value[:TEXT_CHARACTERS_MAX]
    return shown if shown.isascii() and shown.isalnum() else ascii(shown)


_WRITERS: Final[dict[type, Callable[..., str]]] = {
    bytes: _bytes,
    LogId: lru_cache(REMEMBERED_MAX)(_record),
    SegmentRef: lru_cache(REMEMBERED_MAX)(_record),
    str: _quoted,
    tuple: _tuple,
    int: str,
    bool: lambda value: "yes" if value else "no",
    type(None): lambda _: "-",
}
