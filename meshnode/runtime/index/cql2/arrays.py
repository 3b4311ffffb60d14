"""Array operations: a property that is a list, and values that the filter says."""

from __future__ import annotations

import json
from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import Clause
from meshnode.runtime.index.cql2.operands import Property, Require, bindable, operand_of
from meshnode.runtime.index.queryables import ITEM_SQL

_TURNED: Final = {"a_contains": "a_containedby", "a_containedby": "a_contains"}
RELATIONS: Final = ("a_contains", "a_containedby", "a_equals", "a_overlaps")


def relation(name: str, one: Any, other: Any, require: Require) -> Clause:  # noqa: ANN401 - JSON
    """Return the condition.

    Raises:
        UsageError: the arguments are not a property and texts, numbers or truths.
    """
    if not _is_property(one):
        name, one, other = _TURNED.get(name, name), other, one
    found = operand_of(one, require) if _is_property(one) else None
    values = other if isinstance(other, list) else [other]
    if not isinstance(found, Property) or not all(map(_is_plain, values)):
        raise UsageError(
            f"{name} compares a property that is a list with a list of values",
            hint="A_CONTAINS(instruments, ('oli', 'tirs'))",
        )
    written = bindable(json.dumps(values, ensure_ascii=False))
    return Clause(f"array_relates({ITEM_SQL}, ?, ?, ?)", (name, found.name, written))


def holds(name: str, have: list[Any], wanted: list[Any]) -> bool:
    """Say whether a relation holds; order and repetition do not count, true is not 1."""
    one, other = _members(have), _members(wanted)
    match name:
        case "a_contains":
            return one >= other
        case "a_containedby":
            return one <= other
        case "a_equals":
            return one == other
        case _:
            return bool(one & other)


def _members(values: list[Any]) -> set[tuple[bool, Any]]:
    return {
        (isinstance(value, bool), value if _is_plain(value) else json.dumps(value, sort_keys=True))
        for value in values
    }


def _is_property(said: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(said, dict) and isinstance(said.get("property"), str)


def _is_plain(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, str | int | float)
