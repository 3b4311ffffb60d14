"""Operands of a filter: values, properties and what is computed of them, each as bound SQL.

A property with a column of its own has a kind. Any other is read from the item as whatever kind it
is compared with; where the item says another kind, or nothing, the operand is null and no
comparison with it is true.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import Clause
from meshnode.runtime.index.queryables import COLUMNS, ITEM_SQL, Kind, number_value
from meshnode.runtime.index.times import parse_day, parse_moment

Require = Callable[[str], None]  # raises UsageError for a property that no item has

# SQL functions that read one property of an item: documents.py has them.
_READERS: Final = {
    Kind.NUMBER: "number_of",
    Kind.TEXT: "text_of",
    Kind.TRUTH: "truth_of",
    Kind.TIME: "time_of",
}
ARITHMETIC: Final = ("+", "-", "*", "/")
_FOLDS: Final[dict[str, Callable[[str], str]]] = {}


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. Of a time `low` and `high` are the first and the last microsecond that it is."""

    kind: Kind
    low: float | int | str
    high: float | int | str


@dataclass(frozen=True, slots=True)
class Computed:
    """SQL of one kind."""

    kind: Kind
    clause: Clause


@dataclass(frozen=True, slots=True)
class Property:
    """A property that is read from the item."""

    name: str


Operand = Value | Computed | Property


def operand_of(said: Any, require: Require) -> Operand:  # noqa: ANN401 - JSON
    """Read an operand.

    Raises:
        UsageError: it is none, or names a property that no item has.
    """
    match said:
        case bool():
            return Value(Kind.TRUTH, int(said), int(said))
        case int() | float():
            number = number_value(said)
            if number is None:
                raise UsageError("a number of the filter is beyond all bounds")
            return Value(Kind.NUMBER, number, number)
        case str():
            return Value(Kind.TEXT, bindable(said), said)
        case {"timestamp": str(text)} | {"date": str(text)}:
            return _time(text)
        case {"property": str(name)}:
            return _property(name, require)
        case {"op": "casei" | "accenti" as name, "args": [arg]}:
            return _folded(name, operand_of(arg, require))
        case {"op": str(sign), "args": [left, right]} if sign in ARITHMETIC:
            return _computed(sign, operand_of(left, require), operand_of(right, require))
        case {"op": str(name)}:
            raise UsageError(f"{name[:40]!r} is nothing that can be compared", hint=OPERAND_HINT)
        case _:
            raise UsageError(f"{str(said)[:60]} is nothing that can be compared", hint=OPERAND_HINT)


OPERAND_HINT: Final = (
    "compare properties, texts, numbers, TRUE, TIMESTAMP('…'), DATE('…'), CASEI(…), ACCENTI(…), "
    "and + - * / of numbers"
)


def kind_of(operand: Operand) -> Kind | None:
    """Return the kind of an operand; None for a property that has whatever kind is wanted."""
    return None if isinstance(operand, Property) else operand.kind


def as_kind(operand: Operand, kind: Kind) -> Operand:
    """Return the operand as one of a kind; a text that is compared with a time is one.

    Raises:
        UsageError: it is of another kind.
    """
    if isinstance(operand, Property):
        return Computed(kind, Clause(f"{_READERS[kind]}({ITEM_SQL}, ?)", (operand.name,)))
    if operand.kind is kind:
        return operand
    if kind is Kind.TIME and isinstance(operand, Value) and operand.kind is Kind.TEXT:
        return _time(str(operand.low))
    raise UsageError(f"the filter compares {kind.value} with {operand.kind.value}")


def sql_of(operand: Operand, *, high: bool = False) -> Clause:
    """Return the SQL of an operand that has a kind; `high`: of a day its last microsecond."""
    if isinstance(operand, Value):
        return Clause("?", (operand.high if high else operand.low,))
    assert isinstance(operand, Computed)
    return operand.clause


def bindable(text: str) -> str:
    """Return a text that SQLite can bind.

    Raises:
        UsageError: half a character (a lone surrogate), which no item has.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("a text of the filter has half a character in it") from error
    return text


def without_case(text: str) -> str:
    return text.casefold()


def without_accents(text: str) -> str:
    """Take off the marks that stand above or below letters: é becomes e."""
    plain = (each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
    return unicodedata.normalize("NFC", "".join(plain))


_FOLDS.update(casei=without_case, accenti=without_accents)


def _time(text: str) -> Value:
    if (day := parse_day(text)) is not None:
        return Value(Kind.TIME, *day)
    moment = parse_moment(text)
    if moment is None:
        raise UsageError(
            f"{text[:60]!r} is no time", hint="2021-05-01T00:00:00Z, or the day 2021-05-01"
        )
    return Value(Kind.TIME, moment, moment)


def _property(name: str, require: Require) -> Operand:
    name = bindable(name).removeprefix("properties.")
    column = COLUMNS.get(name)
    if column is not None:
        return Computed(column.kind, Clause(column.sql))
    if name in ("geometry", "bbox"):
        raise UsageError(f"{name} is a place: compare it with S_INTERSECTS and the like")
    require(name)
    return Property(name)


def _folded(name: str, operand: Operand) -> Operand:
    operand = as_kind(operand, Kind.TEXT)
    if isinstance(operand, Value):
        text = _FOLDS[name](str(operand.low))
        return Value(Kind.TEXT, text, text)
    clause = sql_of(operand)
    return Computed(Kind.TEXT, Clause(f"{name}({clause.sql})", clause.values))


def _computed(sign: str, left: Operand, right: Operand) -> Operand:
    one, other = (sql_of(as_kind(each, Kind.NUMBER)) for each in (left, right))
    # 0.0 + x: SQLite divides whole numbers without rest, and columns may have kept some.
    sql = f"((0.0 + {one.sql}) {sign} (0.0 + {other.sql}))"
    return Computed(Kind.NUMBER, Clause(sql, (*one.values, *other.values)))
