"""The simulator: a thousand peers with a split, beside a loop that does nothing but steps."""

from __future__ import annotations

import hashlib
import heapq
import random
from pathlib import Path
from typing import Final

from benchmarks.measuring import Case, Work

SCENARIO: Final = "split-1000"
STEPS: Final = 300_000
_PENDING: Final = 1_000  # steps that wait at any time


def _simulate(_: Path) -> Work:
    # Loaded here, so that the other cases do not pay for it.
    from simulations import scenario
    from simulations.run import Simulation

    chosen = scenario.load(SCENARIO)

    def work() -> int:
        simulation = Simulation(chosen, chosen.seed)
        outcome = simulation.run()
        assert outcome.faults == []
        return simulation.world.steps

    return work


def _step(_: Path) -> Work:
    """The floor of any simulator: take the next step from a heap, hash a line, add another."""
    rng = random.Random(1)  # noqa: S311 - made-up times
    waits = [rng.random() for _ in range(STEPS)]

    def work() -> int:
        heap = [(wait, number) for number, wait in enumerate(waits[:_PENDING])]
        heapq.heapify(heap)
        digest = hashlib.sha256()
        for number, wait in enumerate(waits):
            now, step = heapq.heappop(heap)
            digest.update(f"{now:.6f} {step}\n".encode())
            heapq.heappush(heap, (now + wait, number))
        return STEPS

    return work


CASES: Final = (
    Case("simulator", f"the scenario {SCENARIO}", "step", _simulate, {"a heap": _step}, repeat=2),
)
