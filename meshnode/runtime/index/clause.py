"""Pieces of SQL with the values they bind: no value ever stands in the text of a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Value = int | float | str | bytes


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of SQL with the values it binds."""

    sql: str
    values: tuple[Value, ...] = ()


TRUE: Final = Clause("true")


def all_of(clauses: Sequence[Clause | None]) -> Clause:
    """Join conditions by AND; None is no condition."""
    made = [clause for clause in clauses if clause is not None]
    return joined(" AND ", made) if made else TRUE


def any_of(clauses: Sequence[Clause]) -> Clause:
    """Join one condition or more by OR."""
    return joined(" OR ", clauses)


def among(column: str, values: Sequence[int] | Sequence[str] | Sequence[bytes]) -> Clause | None:
    """Say that a column is one of the values; no values are no condition."""
    if not values:
        return None
    return Clause(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def joined(by: str, clauses: Sequence[Clause]) -> Clause:
    """Join clauses, each in parentheses."""
    values = tuple(value for clause in clauses for value in clause.values)
    return Clause(by.join(f"({clause.sql})" for clause in clauses), values)
