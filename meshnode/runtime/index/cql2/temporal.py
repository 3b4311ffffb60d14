"""Temporal operations: relations of instants and intervals (Allen, as OGC 21-065r2 section 7.8).

The property `datetime` is here the time of an item from its start to its end, as the parameter
datetime of a search has it. Every other property is an instant.
"""

from __future__ import annotations

import re
from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import Clause
from meshnode.runtime.index.cql2.operands import Require, as_kind, operand_of, sql_of
from meshnode.runtime.index.queryables import Kind
from meshnode.runtime.index.times import INT64_MAX, MOMENT_NONE

# a and b are the start and the end of the first argument, c and d those of the second.
RELATIONS: Final = {
    "t_after": "{a} > {d}",
    "t_before": "{b} < {c}",
    "t_contains": "{a} < {c} AND {b} > {d}",
    "t_disjoint": "{b} < {c} OR {a} > {d}",
    "t_during": "{a} > {c} AND {b} < {d}",
    "t_equals": "{a} = {c} AND {b} = {d}",
    "t_finishedby": "{a} < {c} AND {b} = {d}",
    "t_finishes": "{a} > {c} AND {b} = {d}",
    "t_intersects": "{a} <= {d} AND {b} >= {c}",
    "t_meets": "{b} = {c}",
    "t_metby": "{a} = {d}",
    "t_overlappedby": "{a} > {c} AND {a} < {d} AND {b} > {d}",
    "t_overlaps": "{a} < {c} AND {b} > {c} AND {b} < {d}",
    "t_startedby": "{a} = {c} AND {b} > {d}",
    "t_starts": "{a} = {c} AND {b} < {d}",
}
Span = tuple[Clause, Clause]
_LETTER: Final = re.compile(r"\{(\w)\}")
_HINT: Final = "T_INTERSECTS(datetime, INTERVAL('2021-01-01', '2021-12-31'))"


def relation(name: str, one: Any, other: Any, require: Require) -> Clause:  # noqa: ANN401 - JSON
    """Return the condition.

    Raises:
        UsageError: an argument is no time.
    """
    ends = dict(zip("abcd", (*_span(one, require), *_span(other, require)), strict=True))
    sql, values = (
        RELATIONS[name],
        tuple(
            value for letter in _LETTER.findall(RELATIONS[name]) for value in ends[letter].values
        ),
    )
    return Clause(_LETTER.sub(lambda found: f"({ends[found[1]].sql})", sql), values)


def _span(said: Any, require: Require) -> Span:  # noqa: ANN401 - JSON
    match said:
        case {"property": "datetime" | "properties.datetime"}:
            return Clause("item.first_us"), Clause("item.last_us")
        case {"interval": [first, last]}:
            return _end(first, MOMENT_NONE, require), _end(last, INT64_MAX, require, high=True)
        case {"interval": _}:
            raise UsageError("an interval has a start and an end", hint=_HINT)
        case _:
            operand = as_kind(operand_of(said, require), Kind.TIME)
            return sql_of(operand), sql_of(operand, high=True)


def _end(said: Any, if_open: int, require: Require, *, high: bool = False) -> Clause:  # noqa: ANN401
    if said == "..":
        return Clause("?", (if_open,))
    return sql_of(as_kind(operand_of(said, require), Kind.TIME), high=high)
