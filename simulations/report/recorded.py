"""A run as its folder tells it, in the shapes that the report draws.

Owns the reading of `metrics.parquet`, `invariants.json` and `network.json`, whose form stands in
`simulations/output.py`. What a run did not write is empty here, never an error: a run of an older
commit has a shorter report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from simulations import output
from simulations.samples import Run

MESH: Final = "*"  # the node of rows about the whole mesh
WAITS: Final = {
    "head_propagation_seconds": "heads: signed until on disk",
    "segment_visibility_seconds": "segments: named until searchable",
    "payload_download_seconds": "payloads: asked for until whole",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of the mesh over virtual time, in the order of time."""

    seconds: Sequence[float]
    values: Sequence[float]

    def between(self, begin: float, end: float) -> list[float]:
        return [v for t, v in zip(self.seconds, self.values, strict=True) if begin <= t <= end]

    def rates(self) -> Series:
        """Return the growth in a second, of a total that only grows."""
        steps = zip(self.seconds, self.seconds[1:], self.values, self.values[1:], strict=False)
        grown = [(t1, (v1 - v0) / (t1 - t0)) for t0, t1, v0, v1 in steps if t1 > t0]
        return Series([t for t, _ in grown], [rate for _, rate in grown])


@dataclass(slots=True)
class Recorded:
    """A run and what it left beside its summary."""

    run: Run
    invariants: Mapping[str, Any]
    network: Mapping[str, Any]
    mesh: Mapping[str, Series] = field(default_factory=dict)  # by figure
    waits: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by figure, ascending
    peers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # name -> figure -> end

    @property
    def faults(self) -> Sequence[Mapping[str, Any]]:
        return self._told("faults")

    @property
    def adversaries(self) -> Sequence[Mapping[str, Any]]:
        return self._told("adversaries")

    @property
    def violations(self) -> Sequence[Mapping[str, Any]]:
        return self._told("violations")

    def _told(self, name: str) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.invariants.get(name, ())
        return found


def read(run: Run) -> Recorded:
    """Read what lies beside a run's summary."""
    found = Recorded(run, _json(run.folder / output.INVARIANTS), _json(run.folder / "network.json"))
    rows = _rows(run.folder / "metrics.parquet")
    found.mesh = _series(row for row in rows if row[1] == MESH)
    mine = [row for row in rows if row[1] not in (MESH, "")]
    found.waits = {
        name: sorted(value for _, _, other, value in mine if other == name) for name in WAITS
    }
    found.peers = _ends(mine)
    return found


Row = tuple[float, str, str, float]  # virtual second, node, figure, value


def _json(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _rows(path: Path) -> list[Row]:
    import pyarrow.parquet as pq

    wanted = ("t", "node", "name", "value")
    if not path.exists() or not set(wanted) <= set(pq.read_schema(path).names):
        return []
    columns = pq.read_table(path, columns=list(wanted)).to_pydict()
    return list(zip(*(columns[name] for name in wanted), strict=True))


def _series(rows: Iterable[Row]) -> dict[str, Series]:
    points: dict[str, list[tuple[float, float]]] = {}
    for second, _, name, value in rows:
        points.setdefault(name, []).append((second, value))
    return {
        name: Series([t for t, _ in found], [value for _, value in found])
        for name, found in points.items()
    }


def _ends(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Return each peer's totals at the end, and of what it waited for, the longest."""
    found: dict[str, dict[str, float]] = {}
    for _, node, name, value in rows:
        peer = found.setdefault(node, {})
        key = f"{name.removesuffix('_seconds')}_longest_seconds" if name in WAITS else name
        peer[key] = max(value, peer.get(key, value)) if name in WAITS else value
    return found
