"""Shapes: what decoded values they take, as what, and in which words they refuse the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import pytest

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError

SHORT = shapes.integer(1, 9)


class Colour(IntEnum):
    RED = 1
    BLUE = 3


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int
    names: tuple[str, ...] = ()


POINT = shapes.Layout(
    "point", 2, Point, (shapes.group(SHORT, SHORT), shapes.unique(shapes.name, 0, 2))
)


def _odd(value: object) -> object:
    if value is not False:
        raise MalformedRecordError("only false is odd")
    return "odd"


@pytest.mark.parametrize(
    ("shape", "value", "read"),
    [
        (SHORT, 9, 9),
        (shapes.integer(-(2**53), 2**53), -(2**53), -(2**53)),
        (shapes.blob(2), b"ab", b"ab"),
        (shapes.blob(0, 2), b"", b""),
        (shapes.text(1, 4), "éé", "éé"),
        (shapes.member(Colour), 3, Colour.BLUE),
        (shapes.optional(SHORT), None, None),
        (shapes.array(SHORT, shapes.name), [1, "a"], (1, "a")),
        (shapes.row(Point, SHORT, SHORT), [1, 2], Point(1, 2)),
        (shapes.listed(SHORT, 0, 2), [], ()),
        (shapes.unique(SHORT, 1, 2), [1, 2], (1, 2)),
        (shapes.unique(shapes.array(SHORT, SHORT), 0, 2), [[1, 2], [1, 3]], ((1, 2), (1, 3))),
        (shapes.checked(SHORT, lambda value: value < 3, "too much"), 2, 2),
        (shapes.read_by(_odd), False, "odd"),
    ],
)
def test_a_value_of_the_shape_is_read(shape: shapes.Shape, value: object, read: object) -> None:
    found = shapes.reader(shape)(value)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("shape", "value", "reason"),
    [
        (SHORT, 0, "^0 is not an integer from 1 to 9$"),
        (SHORT, 10, "^10 is not"),
        (SHORT, 2**64 - 1, "is not an integer from 1 to 9"),
        (SHORT, -(2**64), "is not an integer from 1 to 9"),
        (SHORT, True, "^True is not an integer"),
        (SHORT, "1", "^'1' is not an integer"),
        (SHORT, b"1", "^b'1' is not an integer"),
        (SHORT, None, "^None is not an integer"),
        (shapes.blob(2), b"abc", "^b'abc' is not 2 to 2 bytes$"),
        (shapes.blob(2), "ab", "^'ab' is not 2 to 2 bytes$"),
        (shapes.text(1, 4), "", "^'' is not text of 1 to 4 bytes$"),
        (shapes.text(1, 4), "€€", "^'€€' is not text of 1 to 4 bytes$"),
        (shapes.text(1, 4), b"ab", "^b'ab' is not text"),
        (shapes.text(0, 9), "x" * 99, "^'x{56}… is not text"),
        (shapes.member(Colour), 2, "^2 is no colour$"),
        (shapes.member(Colour), True, "^True is not a colour$"),
        (shapes.optional(SHORT), False, "^False is not an integer"),
        (shapes.array(SHORT, SHORT), [1], "Field required"),
        (shapes.array(SHORT, SHORT), [1, 2, 3], "at most 2 items"),
        (shapes.array(SHORT, SHORT), {"1": 1, "2": 2}, "valid tuple"),
        (shapes.array(SHORT, SHORT), "12", "valid tuple"),
        (shapes.array(SHORT, SHORT), b"12", "valid tuple"),
        (shapes.row(Point, SHORT, SHORT), [1, "2"], "^'2' is not an integer"),
        (shapes.listed(SHORT, 1, 2), [], "at least 1 item"),
        (shapes.listed(SHORT, 1, 2), [1, 1, 1], "at most 2 items"),
        (shapes.listed(SHORT, 1, 2), [1, 99], "^99 is not an integer"),
        (shapes.unique(SHORT, 1, 2), [1, 1], "names something twice"),
        (
            shapes.unique(shapes.row(Point, SHORT, SHORT), 0, 2, lambda p: p.x),
            [[1, 1], [1, 2]],
            "twice",
        ),
        (shapes.checked(SHORT, lambda value: value < 3, "too much"), 3, "^too much$"),
        (shapes.checked(SHORT, lambda value: value < 3, "too much"), 99, "^99 is not an integer"),
        (shapes.read_by(_odd), True, "^only false is odd$"),
    ],
)
def test_another_value_is_refused(shape: shapes.Shape, value: object, reason: str) -> None:
    with pytest.raises(MalformedRecordError, match=reason):
        shapes.reader(shape)(value)


def test_a_layout_reads_what_it_writes() -> None:
    point = Point(1, 2, ("a", "b"))
    assert POINT.write(point) == ["point", 2, [1, 2], ["a", "b"]]
    assert POINT.read(POINT.write(point)) == point


@pytest.mark.parametrize(
    "value",
    [
        ["line", 2, [1, 2], []],
        [b"point", 2, [1, 2], []],
        ["point", 1, [1, 2], []],
        ["point", "2", [1, 2], []],
        ["point", 2, [1], []],
        ["point", 2, [1, 2]],
        ["point", 2, [1, 2], [], 1],
        ["point", 2, 1, 2, []],
        {"point": 2},
        None,
    ],
)
def test_a_layout_refuses_another_record(value: object) -> None:
    with pytest.raises(MalformedRecordError):
        POINT.read(value)


def test_true_is_no_version_one() -> None:
    layout = shapes.Layout("point", 1, Point, (SHORT, SHORT))
    assert layout.read(["point", 1, 1, 2]) == Point(1, 2)
    with pytest.raises(MalformedRecordError):
        layout.read(["point", True, 1, 2])


def test_of_many_faults_the_first_is_named() -> None:
    with pytest.raises(MalformedRecordError, match=r"^'x' is not an integer from 1 to 9$"):
        shapes.reader(shapes.listed(SHORT, 0, 3))([1, "x", "y"])
