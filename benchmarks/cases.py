"""Every case by name, in the order in which a peer does the work."""

from __future__ import annotations

from typing import Final

from benchmarks import (
    attack,
    index,
    keys,
    mesh,
    reconciling,
    records,
    searches,
    segments,
    simulator,
    snapshots,
    transfer,
)
from benchmarks.measuring import Case

CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (
        *records.CASES,
        *snapshots.CASES,
        *reconciling.CASES,
        *keys.CASES,
        *segments.CASES,
        *index.CASES,
        *searches.CASES,
        *simulator.CASES,
        *mesh.CASES,
        *transfer.CASES,
        *attack.CASES,
    )
}
