"""The simulator: a thousand peers with a split, beside a loop that does nothing but steps; and ten
thousand, beside a hundred of them.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.measuring import Case, Work

SCENARIO: Final = "split-1000"
LARGEST: Final = "split-10000"
FEW: Final = 100  # peers
SEEDS_OF_FEW: Final = 5  # one run of so few takes a second
STEPS: Final = 300_000
_PENDING: Final = 1_000  # steps that wait at any time


def _simulate(name: str, nodes: int, seeds: int, _: Path) -> Work:
    # Loaded here, so that the other cases do not pay for it.
    from simulations import overrides, scenario
    from simulations.run import Simulation

    chosen = overrides.apply(scenario.load(name), {"nodes": nodes})

    def work() -> int:
        steps = 0
        for seed in range(1, 1 + seeds):
            simulation = Simulation(chosen, seed)
            outcome = simulation.run()
            assert outcome.faults == []
            steps += simulation.world.steps
        return steps

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
    Case(
        "simulator",
        f"the scenario {SCENARIO}",
        "step",
        partial(_simulate, SCENARIO, 1_000, 1),
        {"a heap": _step},
        repeat=2,
    ),
    Case(
        "scale",
        f"the scenario {LARGEST}",
        "step",
        partial(_simulate, LARGEST, 10_000, 1),
        {"a hundred peers": partial(_simulate, LARGEST, FEW, SEEDS_OF_FEW)},
        repeat=1,
    ),
)
