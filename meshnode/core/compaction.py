"""Which of his own segments a writer rewrites, and which rows he may leave out (L-68).

Pure: rows come as ids, clocks and hashes. What is left out was beaten by the writer's own rows or
withdrawn by himself, so that a closing of another's log never asks for it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshnode.core.identifiers import Digest
from meshnode.core.limits import REPLACES_MAX

SEGMENTS_MAX: Final = 32  # live ones of one writer in a collection
DEAD_SHARE_MAX: Final = 0.3  # of rows that are beaten
SMALL_ROWS: Final = 25_000  # a segment with fewer is worth merging


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One row: its own clock or its entry's, and the SHA-256 of its item; the greatest counts."""

    clock: int
    item: Digest
    id: str


@dataclass(frozen=True, slots=True)
class OwnSegment:
    """A live segment of the writer, with its rows."""

    digest: Digest
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Segments to replace by as few as hold their `kept` rows; `dropped` rows are beaten."""

    segments: tuple[Digest, ...]
    kept: frozenset[Row]
    dropped: int


def plan(segments: Sequence[OwnSegment], withdrawn: Mapping[str, int]) -> Plan | None:
    """Return what to rewrite in one collection, None if nothing is due.

    Args:
        segments: all live segments of the writer in the collection.
        withdrawn: the greatest clock of his own withdrawals of an item, by id.
    """
    best: dict[str, Row] = {}
    for row in (row for segment in segments for row in segment.rows):
        best[row.id] = max(row, best.get(row.id, row))
    alive = frozenset(row for row in best.values() if row.clock >= withdrawn.get(row.id, 0))
    dead = sum(row not in alive for segment in segments for row in segment.rows)
    total = sum(len(segment.rows) for segment in segments)
    if len(segments) <= SEGMENTS_MAX and dead <= DEAD_SHARE_MAX * total:
        return None
    chosen = [each for each in segments if _is_worth(each, alive)][:REPLACES_MAX]
    rows = [row for segment in chosen for row in segment.rows]
    dropped = sum(row not in alive for row in rows)
    if len(chosen) < 2 and not dropped:  # one alone would become itself
        return None
    return Plan(tuple(each.digest for each in chosen), frozenset(rows) & alive, dropped)


def _is_worth(segment: OwnSegment, alive: frozenset[Row]) -> bool:
    return len(segment.rows) < SMALL_ROWS or any(row not in alive for row in segment.rows)
