"""The folder that a run leaves: what was run, what happened, what was measured, the verdict.

`<scenario>-<nodes>-<seed>-<time>-<commit>/` holds

- `scenario.json`: the resolved scenario; `summary.json`: the run, the verdict, the figures.
- `invariants.json`: `invariants` (name, says, checked, broken), `violations` (invariant, second,
  peer, said), `faults` (kind, at_seconds, until_seconds, what, count, peers: names; empty means the
  whole mesh), `adversaries` (kind, peers, what, count: deeds done; refused: {check: count}).
- `network.json`: `peers` (name, role: publisher, follower, newcomer, or the kind of an adversary;
  side: in the first split) and `links` ([a, b, latency_seconds]).
- `events.parquet`: t, node, kind, ids. Each event and effect, in order; not written by default
  for large runs.
- `metrics.parquet`: t, node, name, value; t in virtual seconds, the unit is the last word of the
  name. `node` says which of three things a row is:
  - "*": the mesh, sampled every `sample_seconds` of the summary. Levels: `peers_running_count`,
    `peers_behind_count` (that lack a head), `heads_missing_count`,
    `segments_missing_count` (published and not held or shown; summed over running peers),
    `connections_count`, `copies_least_count`, `copies_mean_count` (of one segment: peers that show
    it, running or not). Totals since the beginning: `sent_bytes`, `messages_count`,
    `messages_delayed_count`, `messages_cut_count`, `blames_count`, `gossip_delivered_count`,
    `gossip_duplicates_count`.
  - a peer: one row each time something took a while there, at the second when it had ended:
    `head_propagation_seconds` (signed until on disk), `segment_visibility_seconds` (named until
    searchable), `payload_download_seconds`, `heal_seconds` (from the last heal until it holds
    each head confirmed before, if it lacked one); and once, at the end: `sent_bytes`,
    `gossip_delivered_count`, `gossip_duplicates_count`, `objects_held_count`, `blamed_count`.
  - "": the figures of `summary.json`'s `metrics`, once, at the end.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from meshnode import __version__
from meshnode.core.identifiers import PeerId
from meshnode.errors import UsageError
from simulations.adversaries import Deeds
from simulations.columns import floats, strings
from simulations.faults import side_of
from simulations.invariants import TITLES
from simulations.machine import Machine
from simulations.provenance import commit, reproduction, versions
from simulations.recording import Delays
from simulations.run import Simulation
from simulations.scenario import Scenario
from simulations.timeline import Split

ROWS_AT_ONCE = 65_536  # of a Parquet file, kept in memory before they are written
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # the unit of getrusage's ru_maxrss
SUMMARY, INVARIANTS, SCENARIO = "summary.json", "invariants.json", "scenario.json"
NETWORK = "network.json"


class EventsFile:
    """A Parquet file of events, written as they come. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        # Loaded here, so that a run that writes nothing does not pay for it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [("t", pa.float64()), ("node", pa.string()), ("kind", pa.string())]
        self._schema = pa.schema([*fields, ("ids", pa.string())])
        self._table = pa.table
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[tuple[float, str, str, str]] = []

    def __enter__(self) -> EventsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._flush()
        self._writer.close()

    def add(self, second: float, node: PeerId, kind: str, ids: str) -> None:
        self._rows.append((second, node, kind, ids))
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            seconds, *texts = zip(*self._rows, strict=True)
            columns = [floats(seconds), *map(strings, texts)]
            self._writer.write_table(self._table(columns, schema=self._schema))
            self._rows.clear()


def folder_name(scenario: Scenario, seed: int, began: datetime) -> str:
    stamp = began.strftime("%Y%m%dT%H%M%SZ")
    return f"{scenario.name}-{scenario.nodes}-{seed}-{stamp}-{commit()}"


def write(
    folder: Path,
    simulation: Simulation,
    began: datetime,
    cpu_seconds: float,
    place: Path | None = None,
) -> dict[str, Any]:
    """Write everything but the events, which were written as they came; return the summary.

    `place` is where the folder will lie in the end, if not where it is.
    """
    said = summary(place or folder, simulation, began, cpu_seconds)
    _write_json(folder / SCENARIO, simulation.scenario.model_dump(mode="json"))
    _write_json(folder / SUMMARY, said)
    _write_json(folder / INVARIANTS, invariants(simulation))
    # Without indents: the writer of Python's library that makes them is slow for all links.
    _write_json(folder / NETWORK, network(simulation), indent=None)
    _write_metrics(folder / "metrics.parquet", simulation, said["metrics"])
    return said


def summary(
    folder: Path, simulation: Simulation, began: datetime, cpu_seconds: float
) -> dict[str, Any]:
    """Return the run in one JSON object: what was run, the verdict, the figures."""
    outcome, scenario = simulation.outcome, simulation.scenario
    return {
        "scenario": scenario.name,
        "scenario_sha256": scenario.digest,
        "nodes": scenario.nodes,
        "seed": simulation.seed,
        "began": began.isoformat(),
        "commit": commit(),
        "version": __version__,
        "versions": versions(),
        "reproduce": reproduction(scenario, folder),
        "verdict": "pass" if not outcome.faults else "fail",
        "faults": outcome.faults,
        "raised": outcome.raised,
        "trace_sha256": simulation.trace_hash,
        "sample_seconds": simulation.sample_seconds,
        "virtual_seconds": simulation.world.now,
        "settled_seconds": outcome.settled_seconds,
        "steps": simulation.world.steps,
        "cpu_seconds": round(cpu_seconds, 3),
        "memory_most_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES,
        "metrics": metrics(simulation),
    }


def metrics(simulation: Simulation) -> dict[str, float]:
    """Return the measured figures; units are the last word of each name."""
    measured: dict[str, float] = {}
    recorder, members = simulation.recorder, simulation.gossip.members.values()
    for name, seconds in (
        ("head_propagation", recorder.propagation),
        ("segment_visibility", recorder.visibility),
        ("heal", simulation.healing.seconds),
    ):
        delays = Delays.of(seconds)
        measured[f"{name}_count"] = delays.count
        for part in ("median", "p90", "p99", "longest"):
            measured[f"{name}_{part}_seconds"] = getattr(delays, part)
    sent = [simulation.network.bytes_sent(name) for name in simulation.machines]
    fate = simulation.network.fate
    delivered = sum(member.delivered for member in members)
    measured |= _times(simulation)
    measured["gossip_delivered_count"] = delivered
    measured["gossip_duplicates_count"] = sum(member.duplicates for member in members)
    measured["sent_mean_bytes"] = sum(sent) / len(sent)
    measured["sent_most_bytes"] = max(sent)
    measured["messages_count"] = fate.sent
    measured["messages_delayed_count"] = fate.delayed
    measured["messages_cut_count"] = fate.cut
    for kind, count in sorted(recorder.counts.items()):
        measured[f"{kind}_count"] = count
    return measured


def _times(simulation: Simulation) -> dict[str, float]:
    """Return how long newcomers and downloads took, and who sent the pieces."""
    came = [newcomer for newcomer in simulation.newcomers if newcomer.caught_up is not None]
    caught_up = Delays.of([found.caught_up - found.joined for found in came if found.caught_up])
    shares = list(simulation.swarm.downloads())
    took = Delays.of([share.ended - share.began for share in shares if share.ended is not None])
    return {
        "newcomers_count": len(simulation.newcomers),
        "newcomers_caught_up_count": caught_up.count,
        "newcomer_caught_up_longest_seconds": caught_up.longest,
        "downloads_count": len(shares),
        "downloads_whole_count": took.count,
        "payload_download_median_seconds": took.median,
        "payload_download_longest_seconds": took.longest,
        "pieces_refused_count": simulation.swarm.pieces_refused,
        "pieces_from_mirrors_bytes": simulation.swarm.mirror_bytes,
        "pieces_from_peers_bytes": simulation.swarm.peer_bytes,
    }


def invariants(simulation: Simulation) -> dict[str, Any]:
    """Return each invariant with how often it was checked and broken, and what troubled the run."""
    verdicts, outcome = simulation.outcome.verdicts, simulation.outcome
    return {
        "invariants": [
            {
                "name": name,
                "says": says,
                "checked": verdicts.checked[name],
                "broken": verdicts.broken.get(name, 0),
            }
            for name, says in TITLES.items()
        ],
        "violations": [dataclasses.asdict(found) for found in verdicts.violations],
        "faults": [dataclasses.asdict(felt) for felt in outcome.felt],
        "adversaries": [
            {**dataclasses.asdict(deeds), "refused": refused(simulation, deeds)}
            for deeds in outcome.deeds
        ],
    }


def refused(simulation: Simulation, deeds: Deeds) -> dict[str, int]:
    """Return how often each check refused what these adversaries sent; "gossip" is a REJECT."""
    counts: dict[str, int] = {}
    for peer in deeds.peers:
        for check, count in simulation.series.blames.get(peer, {}).items():
            counts[check] = counts.get(check, 0) + count
        rejected = sum(m.rejected.get(peer, 0) for m in simulation.gossip.members.values())
        if rejected:
            counts["gossip"] = counts.get("gossip", 0) + rejected
    return counts


def network(simulation: Simulation) -> dict[str, Any]:
    """Return who took part, and who was linked to whom."""
    splits = [fault for fault in simulation.scenario.faults if isinstance(fault, Split)]
    names = list(simulation.machines)
    sides = side_of(splits[0], names) if splits else {}
    return {
        "peers": [
            {"name": name, "role": simulation.role_of(name), "side": sides.get(name)}
            for name in names
        ],
        "links": [list(link) for link in simulation.network.links()],
    }


def make_folder(parent: Path, name: str) -> Path:
    """Make the run's folder.

    Raises:
        UsageError: it cannot be made.
    """
    folder = parent / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    except OSError as error:
        raise UsageError(
            f"cannot make {folder}: {error.strerror}", hint="name another folder with --output"
        ) from error
    return folder


def read_run(folder: Path) -> tuple[Scenario, dict[str, Any]]:
    """Return a run's resolved scenario and its summary.

    Raises:
        UsageError: the folder does not hold a run.
    """
    try:
        text = (folder / SCENARIO).read_text(encoding="utf-8")
        said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return Scenario.model_validate_json(text), said
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} does not hold a run: {error}", hint="give a folder that `meshsim run` made"
        ) from error


def _write_json(path: Path, value: object, indent: int | None = 2) -> None:
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_metrics(path: Path, simulation: Simulation, figures: dict[str, float]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, end = simulation.series.rows, simulation.world.now
    for peer, machine in simulation.machines.items():
        for name, value in _figures_of(simulation, machine).items():
            rows.add(end, peer, name, value)
    for name, value in figures.items():
        rows.add(end, "", name, value)
    fields = [("t", pa.float64()), ("node", pa.string()), ("name", pa.string())]
    schema = pa.schema([*fields, ("value", pa.float64())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(rows.seconds), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            names = strings(rows.nodes[part]), strings(rows.names[part])
            columns = [floats(rows.seconds[part]), *names, floats(rows.values[part])]
            writer.write_table(pa.table(columns, schema=schema))


def _figures_of(simulation: Simulation, machine: Machine) -> dict[str, float]:
    """Return what one peer did in the whole run."""
    name, member = machine.name, simulation.gossip.members[machine.name]
    return {
        "sent_bytes": simulation.network.bytes_sent(name),
        "gossip_delivered_count": member.delivered,
        "gossip_duplicates_count": member.duplicates,
        "objects_held_count": len(machine.disk.objects),
        "blamed_count": sum(simulation.series.blames.get(name, {}).values()),
    }
