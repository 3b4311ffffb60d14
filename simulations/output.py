"""The folder that a run leaves: what was run, what happened, what was measured, the verdict.

`<scenario>-<nodes>-<seed>-<time>-<commit>/` holds scenario.json (resolved), summary.json,
invariants.json and, as Parquet, events (t, node, kind, ids) and metrics (name, value, unit).
"""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from meshnode import __version__
from meshnode.core.identifiers import PeerId
from meshnode.errors import UsageError
from simulations.invariants import TITLES
from simulations.recording import Delays
from simulations.run import Simulation
from simulations.scenario import Scenario, library

ROWS_AT_ONCE = 65_536  # events kept in memory before they are written
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # the unit of getrusage's ru_maxrss
SUMMARY, INVARIANTS, SCENARIO = "summary.json", "invariants.json", "scenario.json"


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
            columns = dict(zip(self._schema.names, zip(*self._rows, strict=True), strict=True))
            self._writer.write_table(self._table(columns, schema=self._schema))
            self._rows.clear()


def folder_name(scenario: Scenario, seed: int, began: datetime) -> str:
    stamp = began.strftime("%Y%m%dT%H%M%SZ")
    return f"{scenario.name}-{scenario.nodes}-{seed}-{stamp}-{commit()}"


def commit() -> str:
    """Return the commit of the code that runs, or its version outside a checkout."""
    git, root = shutil.which("git"), Path(__file__).parents[1]
    if git is None or not (root / ".git").exists():
        return f"v{__version__}"
    command = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else f"v{__version__}"


def write(
    folder: Path, simulation: Simulation, began: datetime, cpu_seconds: float
) -> dict[str, Any]:
    """Write everything but the events, which were written as they came; return the summary."""
    said = summary(folder, simulation, began, cpu_seconds)
    _write_json(folder / SCENARIO, simulation.scenario.model_dump(mode="json"))
    _write_json(folder / SUMMARY, said)
    _write_json(folder / INVARIANTS, invariants(simulation))
    _write_metrics(folder / "metrics.parquet", said["metrics"])
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
        "reproduce": reproduction(folder, simulation),
        "verdict": "pass" if not outcome.faults else "fail",
        "faults": outcome.faults,
        "raised": outcome.raised,
        "trace_sha256": simulation.trace_hash,
        "virtual_seconds": simulation.world.now,
        "settled_seconds": outcome.settled_seconds,
        "steps": simulation.world.steps,
        "cpu_seconds": round(cpu_seconds, 3),
        "memory_most_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES,
        "metrics": metrics(simulation),
    }


def reproduction(folder: Path, simulation: Simulation) -> str:
    """Return the command that runs the same again; a scenario from a file is in the folder."""
    scenario = simulation.scenario
    if scenario.name not in library():
        return f"meshsim replay {folder}"
    return f"meshsim run {scenario.name} --nodes {scenario.nodes} --seed {simulation.seed}"


def metrics(simulation: Simulation) -> dict[str, float]:
    """Return the measured figures; units are the last word of each name."""
    measured: dict[str, float] = {}
    recorder, members = simulation.recorder, simulation.gossip.members.values()
    for name, seconds in (
        ("head_propagation", recorder.propagation),
        ("segment_visibility", recorder.visibility),
    ):
        delays = Delays.of(seconds)
        measured[f"{name}_count"] = delays.count
        for part in ("median", "p90", "p99", "longest"):
            measured[f"{name}_{part}_seconds"] = getattr(delays, part)
    sent = [simulation.network.bytes_sent(name) for name in simulation.machines]
    fate = simulation.network.fate
    delivered = sum(member.delivered for member in members)
    measured["gossip_delivered_count"] = delivered
    measured["gossip_duplicates_count"] = sum(member.duplicates for member in members)
    measured["sent_mean_bytes"] = sum(sent) / len(sent)
    measured["sent_most_bytes"] = max(sent)
    measured["messages_count"] = fate.sent
    measured["messages_dropped_count"] = fate.dropped
    measured["messages_cut_count"] = fate.cut
    for kind, count in sorted(recorder.counts.items()):
        measured[f"{kind}_count"] = count
    return measured


def invariants(simulation: Simulation) -> dict[str, Any]:
    """Return each invariant with how often it was checked and broken, and each fault's effect."""
    verdicts = simulation.outcome.verdicts
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
        "faults": [dataclasses.asdict(felt) for felt in simulation.outcome.felt],
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


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_metrics(path: Path, measured: dict[str, float]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "name": [name.rpartition("_")[0] for name in measured],
        "unit": [name.rpartition("_")[2] for name in measured],
        "value": [float(value) for value in measured.values()],
    }
    pq.write_table(pa.table(columns), path)
