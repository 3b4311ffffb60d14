"""Runs a scenario over a grid of settings and many seeds, one process a run.

Every run is a folder `<folder>/<point>/seed-<seed>/` that appears whole or not at all, so a sweep
that was interrupted or killed goes on where it stopped and does only what is missing. A process
that dies takes nothing with it but its own run.
"""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from meshnode.errors import StorageError, UsageError
from simulations import output, overrides, provenance
from simulations.overrides import Value
from simulations.run import Simulation
from simulations.samples import read_run
from simulations.scenario import Scenario

SEEDS_MAX = 10_000  # of one point
NAME_CHARACTERS_MAX = 120  # of a point's folder; file systems allow 255 bytes
UNFINISHED: Final = ".seed-"  # how the folder of a run begins that is not whole
LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run to do: a point of the grid, its resolved scenario with the seed, its folder."""

    point: str
    scenario: Scenario
    folder: Path


def seeds(text: str) -> list[int]:
    """Read `1..20`, `7` or `1,3,8..10`.

    Raises:
        UsageError: it has no such form, or names too many.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        matched = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", part.strip(), re.ASCII)
        first = int(matched[1]) if matched else 1
        last = int(matched[2] or first) if matched else 0
        if last < first or last - first >= SEEDS_MAX:
            raise UsageError(
                f"--seeds {text} names no seeds, or more than {SEEDS_MAX:,}",
                hint="for example 1..20 or 1,3,8",
            )
        found |= dict.fromkeys(range(first, last + 1))
    return sorted(found)


def plan(
    chosen: Scenario, choices: Mapping[str, Sequence[Value]], numbers: Sequence[int], folder: Path
) -> list[Cell]:
    """Return every run of the sweep, point by point.

    Raises:
        UsageError, ConfigError: a setting does not exist or a value is out of bounds.
    """
    if "seed" in choices:
        raise UsageError("a sweep varies the seed anyway", hint="name seeds with --seeds 1..20")
    cells = []
    for point in overrides.grid(choices):
        name = point_name(point)
        changed = overrides.apply(chosen, point)
        for seed in numbers:
            resolved = overrides.apply(changed, {"seed": seed})
            cells.append(Cell(name, resolved, folder / name / f"seed-{seed}"))
    return cells


def point_name(point: Mapping[str, Value]) -> str:
    """Return the point's folder: its settings, legible, and unlike any other point's."""
    full = ",".join(f"{name}={value}" for name, value in point.items()) or "as-it-is"
    name = re.sub(r"[^\w.,=+-]", "_", full, flags=re.ASCII)
    if name == full and len(name) <= NAME_CHARACTERS_MAX:
        return name
    return f"{name[:NAME_CHARACTERS_MAX]}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def missing(cells: Sequence[Cell]) -> list[Cell]:
    """Return the runs that are not there yet.

    Raises:
        UsageError: a run is there that another scenario or another commit made.
    """
    commit = provenance.commit()
    return [cell for cell in cells if not _is_done(cell, commit)]


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Keep other sweeps out of a folder, and remove what a killed one left unfinished.

    Raises:
        UsageError: another sweep works there.
        StorageError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise StorageError(
            f"cannot write into {folder}: {error.strerror}", hint="name another folder with --out"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another sweep works in {folder}", hint="wait for it, or name another with --out"
            ) from error
        for left in folder.glob(f"*/{UNFINISHED}*"):
            shutil.rmtree(left)
        yield


def run(cells: Sequence[Cell], jobs: int, ended: Callable[[Cell], None]) -> None:
    """Do the runs, so many at a time; tell of each that ended, whether it left a result or not.

    An interrupt ends the runs in motion and is raised on; what was measured stays.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])  # imported once, not in each process
    waiting = deque(cells)
    running: dict[int, tuple[ForkServerProcess, Cell]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.popleft()
                worker = context.Process(target=_measure, args=(cell,), daemon=True)
                worker.start()
                running[worker.sentinel] = worker, cell
            for sentinel in connection.wait(list(running)):
                assert isinstance(sentinel, int)
                worker, cell = running.pop(sentinel)
                worker.join()
                ended(cell)
    finally:
        for worker, _ in running.values():
            worker.kill()
            worker.join()


def _is_done(cell: Cell, commit: str) -> bool:
    if not cell.folder.exists():
        return False
    found = read_run(cell.folder)
    digest, made = found.summary["scenario_sha256"], found.summary["commit"]
    if digest != cell.scenario.digest or made != commit:
        other = f"commit {made}" if made != commit else "another scenario"
        raise UsageError(
            f"{cell.folder} was measured with {other}; this is {commit}",
            hint="name another folder with --out: one sweep is of one code and one scenario",
        )
    return True


def _measure(cell: Cell) -> None:
    """Do one run, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides when this ends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        cell.folder.parent.mkdir(exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cell.folder.parent))
        began = datetime.now(UTC)  # noqa: TID251 - told in the summary; not of the simulated world
        started = time.process_time()
        simulation = Simulation(cell.scenario, cell.scenario.seed)
        simulation.run()
        used = time.process_time() - started
        output.write(aside, simulation, began, used, place=cell.folder)
        aside.rename(cell.folder)
    except OSError as error:
        sys.exit(f"{cell.folder} is not measured: {error}")


def _end_with_parent() -> None:
    """End when the sweep was killed; nobody would read the result."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
