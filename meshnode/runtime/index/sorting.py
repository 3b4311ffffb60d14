"""The order of results: what it is sorted by, and where the next page begins.

Whatever the order, what is not there comes last, and equals stand by catalogue, collection and id,
so that every row has a place of its own and pages neither skip nor repeat. The moment of an item
is its datetime, else its end, else its start; one without any time counts as older than all others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import TRUE, Clause, Value, all_of, any_of
from meshnode.runtime.index.queryables import COLUMNS, Kind

KEYS_MAX: Final = 5  # keys of one order
_KEY: Final = re.compile(r"(?P<sign>[+-]?)(?:properties\.)?(?P<name>[^+\-,\s][^,\s]{0,99})")
_KINDS: Final = {Kind.NUMBER: float, Kind.TEXT: str, Kind.TIME: int, Kind.TRUTH: int}


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an order; its text is as STAC's sort extension writes it: -datetime."""

    name: str
    is_descending: bool = False

    def __str__(self) -> str:
        return ("-" if self.is_descending else "+") + self.name


@dataclass(frozen=True, slots=True)
class Term:
    """One term of ORDER BY; `kind` is the type of its values."""

    sql: str
    kind: type
    is_descending: bool = False
    may_be_null: bool = False


NEWEST_FIRST: Final = (SortKey("datetime", is_descending=True),)


def parse_sort(text: str) -> tuple[SortKey, ...]:
    """Read keys with commas between them: `-datetime,+eo:cloud_cover`; no sign is ascending.

    Raises:
        UsageError: no keys, too many, or one that cannot be sorted by.
    """
    keys = []
    for part in text.split(","):
        found = _KEY.fullmatch(part.strip())
        if found is None:
            raise UsageError(f"{part[:60]!r} is nothing to sort by", hint=_hint())
        keys.append(SortKey(found["name"], found["sign"] == "-"))
    check_sort(keys)
    return tuple(keys)


def check_sort(keys: Sequence[SortKey]) -> None:
    """Check an order.

    Raises:
        UsageError: no keys, too many, or one that cannot be sorted by.
    """
    if not 1 <= len(keys) <= KEYS_MAX:
        raise UsageError(f"an order has 1 to {KEYS_MAX} keys, not {len(keys)}")
    for key in keys:
        if key.name not in COLUMNS or not COLUMNS[key.name].is_sortable:
            raise UsageError(f"results cannot be sorted by {key.name[:60]!r}", hint=_hint())


def terms_of(keys: Sequence[SortKey], *, old: bool) -> list[Term]:
    """Return the terms that give every row a place of its own; `old`: several rows an item."""
    terms: list[Term] = []
    for key in keys:
        terms += _terms(key)
    terms += [
        Term("collection.catalogue", bytes),
        Term("collection.name", str),
        Term("item.id", str),
    ]
    if old:
        digest = "(SELECT digest FROM segment WHERE segment.key = item.segment)"
        terms += [Term("item.clock", int, is_descending=True), Term(digest, bytes)]
    return terms


def backward(terms: Sequence[Term]) -> list[Term]:
    """Return the terms of the opposite order: what was last comes first."""
    return [replace(term, is_descending=not term.is_descending) for term in terms]


def beyond(terms: Sequence[Term], place: Sequence[Value | None]) -> Clause:
    """Say that a row stands after a place."""
    steps = []
    for position, term in enumerate(terms):
        value = place[position]
        if value is None:
            continue  # nothing comes after what is not there, but for the terms that follow
        equal = [_equal(*pair) for pair in zip(terms[:position], place, strict=False)]
        sign = "<" if term.is_descending else ">"
        steps.append(all_of([*equal, Clause(f"{term.sql} {sign} ?", (value,))]))
    if not steps:
        return TRUE
    first, start = terms[0], place[0]
    sign = "<=" if first.is_descending else ">="
    # SQLite finds a beginning in an index by this, not by the alternatives.
    bound = None if start is None else Clause(f"{first.sql} {sign} ?", (start,))
    return all_of([bound, any_of(steps)])


def _terms(key: SortKey) -> list[Term]:
    if key.name == "datetime":
        return [Term("item.moment_us", int, key.is_descending)]
    if key.name == "collection":
        return [Term("collection.name", str, key.is_descending)]
    column = COLUMNS[key.name]
    value = Term(column.sql, _KINDS[column.kind], key.is_descending, may_be_null=True)
    if column.is_never_null:
        return [Term(column.sql, str, key.is_descending)]
    return [Term(f"({column.sql} IS NULL)", int), value]


def _equal(term: Term, value: Value | None) -> Clause:
    if value is None:
        return Clause(f"{term.sql} IS NULL")
    return Clause(f"{term.sql} = ?", (value,))


def _hint() -> str:
    names = ", ".join(name for name, column in COLUMNS.items() if column.is_sortable)
    return f"sort by {names}; with - before it the greatest comes first"
