"""CQL2 JSON to SQL over the table `item`: every value bound, every name from our own tables.

Comparisons have three outcomes, as in SQL: with something that is not there they are neither true
nor false, and neither they nor their negation find an item.
"""

from __future__ import annotations

from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import TRUE, Clause, all_of, joined
from meshnode.runtime.index.cql2 import arrays, spatial, temporal
from meshnode.runtime.index.cql2.operands import (
    Operand,
    Property,
    Require,
    Value,
    as_kind,
    kind_of,
    operand_of,
    sql_of,
)
from meshnode.runtime.index.queryables import ITEM_SQL, Kind
from meshnode.runtime.index.shapes import Box

SIGNS: Final = ("=", "<>", "<", "<=", ">", ">=")
_ANY_KINDS: Final = (Kind.NUMBER, Kind.TEXT, Kind.TRUTH)  # of which two properties may both be


def compile_filter(said: Any, require: Require) -> Clause:  # noqa: ANN401 - JSON
    """Return the condition that a filter within the limits of `checking` says.

    Raises:
        UsageError: what it says is not CQL2 or beyond what is known here, in a sentence.
    """
    match said:
        case bool():
            return TRUE if said else Clause("false")
        case {"property": str()}:
            return sql_of(as_kind(operand_of(said, require), Kind.TRUTH))
        case {"op": str(name), "args": list(args)}:
            return _operation(name, args, require)
        case {"op": _}:
            raise UsageError("an operation of the filter has no list of args")
        case _:
            raise UsageError(f"{str(said)[:60]} is neither true nor false, as a filter must be")


def box_of(said: Any) -> Box | None:  # noqa: ANN401 - JSON
    """Return a box that every match touches, if the filter says one at its top."""
    match said:
        case {"op": "and", "args": list(args)}:
            return next((box for arg in args if (box := box_of(arg)) is not None), None)
        case {"op": str(name), "args": [one, other]} if name in spatial.NEAR:
            return spatial.literal_box(one, other)
        case _:
            return None


def _operation(name: str, args: list[Any], require: Require) -> Clause:
    match name, args:
        case (("and" | "or"), [_, *_]):
            return joined(f" {name.upper()} ", [compile_filter(arg, require) for arg in args])
        case "not", [arg]:
            return _not(compile_filter(arg, require))
        # The standard has three arguments; a draft that clients still speak had a pair of bounds.
        case "between", [value, low, high] | [value, [low, high]]:
            found = operand_of(value, require)
            first, last = operand_of(low, require), operand_of(high, require)
            return all_of([_compare(">=", found, first), _compare("<=", found, last)])
        case "isNull", [arg]:
            return _is_null(arg, require)
        case name, [one, other] if (clause := _relation(name, one, other, require)) is not None:
            return clause
        case _:
            said = f"{name[:40]!r} of {len(args)} arguments"
            raise UsageError(f"the filter has the operation {said}, which is not known here")


def _relation(name: str, one: Any, other: Any, require: Require) -> Clause | None:  # noqa: ANN401
    """Return what relates two arguments; None for an operation that is not known."""
    if name == "in":
        return _is_among(one, other, require)
    if name in spatial.RELATIONS:
        return spatial.relation(name, one, other)
    if name in temporal.RELATIONS:
        return temporal.relation(name, one, other, require)
    if name in arrays.RELATIONS:
        return arrays.relation(name, one, other, require)
    if name not in (*SIGNS, "like"):
        return None
    left, right = operand_of(one, require), operand_of(other, require)
    return _like(left, right) if name == "like" else _compare(name, left, right)


def _not(clause: Clause) -> Clause:
    return Clause(f"NOT ({clause.sql})", clause.values)


def _compare(sign: str, left: Operand, right: Operand) -> Clause:
    kinds = [kind for kind in (kind_of(left), kind_of(right)) if kind is not None]
    if not kinds:
        return _compare_properties(sign, left, right)
    kind = Kind.TIME if Kind.TIME in kinds else kinds[0]
    return _compare_kind(sign, as_kind(left, kind), as_kind(right, kind))


def _compare_properties(sign: str, left: Operand, right: Operand) -> Clause:
    each = [_compare_kind(sign, as_kind(left, kind), as_kind(right, kind)) for kind in _ANY_KINDS]
    values = tuple(value for clause in each for value in clause.values)
    return Clause(f"coalesce({', '.join(clause.sql for clause in each)})", values)


def _compare_kind(sign: str, left: Operand, right: Operand) -> Clause:
    """Compare by first and last microsecond: a day equals each moment in it."""
    low, high = sql_of(left), sql_of(left, high=True)
    first, last = sql_of(right), sql_of(right, high=True)
    match sign:
        case "=" | "<>" if _is_day(left) or _is_day(right):
            equal = all_of([_sign(low, "<=", last), _sign(high, ">=", first)])
            return equal if sign == "=" else _not(equal)
        case "<":
            return _sign(high, "<", first)
        case "<=":
            return _sign(low, "<=", last)
        case ">":
            return _sign(low, ">", last)
        case ">=":
            return _sign(high, ">=", first)
        case _:
            return _sign(low, sign, first)


def _is_day(operand: Operand) -> bool:
    return isinstance(operand, Value) and operand.low != operand.high


def _sign(left: Clause, sign: str, right: Clause) -> Clause:
    return Clause(f"({left.sql}) {sign} ({right.sql})", (*left.values, *right.values))


def _is_among(said: Any, values: Any, require: Require) -> Clause:  # noqa: ANN401 - JSON
    options = values if isinstance(values, list) else [values]
    if not options:
        raise UsageError("IN has no values")
    operand = operand_of(said, require)
    found = [operand_of(option, require) for option in options]
    if not all(isinstance(each, Value) and not _is_day(each) for each in found):
        return joined(" OR ", [_compare("=", operand, each) for each in _few(found)])
    kinds = {kind_of(each) for each in found} | {kind_of(operand)} - {None}
    kind = Kind.TIME if Kind.TIME in kinds else kind_of(found[0])
    assert kind is not None
    left = sql_of(as_kind(operand, kind))
    bound = [sql_of(as_kind(each, kind)).values[0] for each in found]
    return Clause(f"({left.sql}) IN ({', '.join('?' * len(bound))})", (*left.values, *bound))


def _few(operands: list[Operand]) -> list[Operand]:
    if len(operands) > 50:
        raise UsageError("IN takes 50 days, properties and computed values at most")
    return operands


def _like(value: Operand, pattern: Operand) -> Clause:
    pattern = as_kind(pattern, Kind.TEXT)
    if not isinstance(pattern, Value):
        raise UsageError("LIKE takes a text after it, which may stand in CASEI or ACCENTI")
    left = sql_of(as_kind(value, Kind.TEXT))
    return Clause(f"({left.sql}) GLOB ?", (*left.values, _glob(str(pattern.low))))


def _glob(pattern: str) -> str:
    """Translate % and _ of LIKE and its escape, the backslash; GLOB heeds case, as CQL2 does."""
    made, characters = [], iter(pattern)
    for character in characters:
        match character:
            case "%":
                made.append("*")
            case "_":
                made.append("?")
            case "\\":
                made.append(_literal(next(characters, "\\")))
            case _:
                made.append(_literal(character))
    return "".join(made)


def _literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character


def _is_null(said: Any, require: Require) -> Clause:  # noqa: ANN401 - JSON
    if said == {"property": "geometry"}:
        return Clause("false")  # every item has one
    operand = operand_of(said, require)
    if isinstance(operand, Property):
        return Clause(f"NOT has({ITEM_SQL}, ?)", (operand.name,))
    clause = sql_of(operand)
    return Clause(f"({clause.sql}) IS NULL", clause.values)
