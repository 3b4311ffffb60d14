"""One measurement a process: CPU-seconds and memory of one side of one case.

A case has our side and the sides of peer tools that do comparable work on the same data. Sides are
measured in turn, so that whatever slows the machine slows them alike.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.limits import Limits

OURS: Final = "meshnode"
MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024  # the unit of getrusage's ru_maxrss

Work = Callable[[], int]  # does the work once; returns how many units it did
Side = Callable[[Path], Work]  # prepares the work in an empty folder, unmeasured


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured. `unit` is the noun that is counted, `repeat` how often at most.

    `by_clock`: the wall-clock is judged as well, by a limit of its own.
    """

    name: str
    what: str
    unit: str
    ours: Side
    peers: Mapping[str, Side]
    repeat: int = 9
    by_clock: bool = False

    def side(self, name: str) -> Side:
        return self.ours if name == OURS else self.peers[name]


@dataclass(frozen=True, slots=True)
class Sample:
    """One process: CPU-seconds of all its threads, units done, memory at most, the wall-clock."""

    cpu_seconds: float
    units: int
    memory_bytes: int
    clock_seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All samples of one side."""

    side: str
    samples: tuple[Sample, ...]

    @property
    def seconds_min(self) -> float:
        return min(sample.cpu_seconds for sample in self.samples)

    @property
    def seconds_median(self) -> float:
        return statistics.median(sample.cpu_seconds for sample in self.samples)

    @property
    def unit_seconds(self) -> float:
        """CPU-seconds a unit, of the best sample: noise only ever adds."""
        return min(sample.cpu_seconds / sample.units for sample in self.samples)

    @property
    def unit_clock_seconds(self) -> float:
        """Seconds a unit by the wall-clock, of the fastest sample."""
        return min(sample.clock_seconds / sample.units for sample in self.samples)

    @property
    def memory_bytes(self) -> int:
        return max(sample.memory_bytes for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Result:
    """One case as measured: our figures, those of the peers, and what the limits say."""

    case: Case
    ours: Figures
    peers: tuple[Figures, ...]
    limits: Mapping[str, float]

    def ratio(self, peer: Figures) -> float:
        return self.ours.unit_seconds / peer.unit_seconds

    def ratios(self) -> dict[str, float]:
        """Return what is judged, under the names that the limits have."""
        judged = {peer.side: self.ratio(peer) for peer in self.peers}
        if self.case.by_clock:
            ours = self.ours.unit_clock_seconds
            judged |= {by_clock(p.side): ours / p.unit_clock_seconds for p in self.peers}
        return judged

    def broken(self) -> list[str]:
        """Return in sentences which limits do not hold."""
        said = []
        for name, ratio in self.ratios().items():
            limit = self.limits.get(name)
            if limit is None:
                said.append(f"{self.case.name}: no limit is set beside {name}")
            elif ratio > limit:
                said.append(f"{self.case.name}: {ratio:.2f} x {name}, the limit is {limit:g} x")
        return said


def by_clock(side: str) -> str:
    """Return the name under which a side is judged by the wall-clock."""
    return f"{side}, by the clock"


def measure(case: Case, limits: Limits, repeat: int) -> Result:
    """Run every side of the case in turn, `repeat` times or as often as the case allows."""
    names = [OURS, *case.peers]
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for _ in range(min(repeat, case.repeat)):
        for name in names:
            samples[name].append(_in_process(case.name, name))
    ours, *peers = [Figures(name, tuple(samples[name])) for name in names]
    return Result(case, ours, tuple(peers), limits.of(case.name))


def sample(side: Side) -> Sample:
    """Measure one side once, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        work = side(Path(folder))
        began, clock = time.process_time(), time.perf_counter()
        units = work()
        cpu_seconds = time.process_time() - began
        clock_seconds = time.perf_counter() - clock
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES
    return Sample(cpu_seconds, units, memory, clock_seconds)


def _in_process(case: str, side: str) -> Sample:
    command: Sequence[str] = (sys.executable, "-m", "benchmarks.child", case, side)
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"{case} beside {side} ended with {done.returncode}:\n{done.stderr}")
    return Sample(**json.loads(done.stdout))
