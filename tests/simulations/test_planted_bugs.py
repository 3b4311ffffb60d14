"""A checker is worth what it catches: known bugs are planted in the node, each must be caught.

The bugs are in `bugs`; each runs in a world in which the honest node passes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulations.invariants import TITLES
from simulations.outcome import Outcome
from simulations.run import Simulation
from simulations.scenario import Scenario
from tests.simulations.bugs import BUGS, Bug
from tests.simulations.worlds import (
    BAITED,
    ERASED,
    FORKED,
    GROWN,
    HOSTILE,
    MIXED,
    SPOKEN,
    STOLEN,
    TROUBLED,
    WORN,
)

SEEDS_MAX = 100
WORLDS = (TROUBLED, MIXED, SPOKEN, HOSTILE, WORN, STOLEN, ERASED, FORKED, GROWN, BAITED)


def outcome_of(world: Scenario, seed: int) -> Outcome:
    return Simulation(world, seed).run()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_honest_node_passes_and_every_fault_was_felt(world: Scenario, seed: int) -> None:
    assert outcome_of(world, seed).faults == []


@pytest.mark.slow
def test_every_checker_saw_its_subject() -> None:
    verdicts = [outcome_of(world, 1).verdicts for world in WORLDS]

    assert [name for name in TITLES if not any(v.checked[name] for v in verdicts)] == []


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught_by_its_invariant(
    bug: Bug, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bug.patch is not None:
        monkeypatch.setattr(*bug.patch)

    assert any(is_caught(bug, seed) for seed in range(1, SEEDS_MAX + 1))


def test_the_page_names_every_bug_and_what_catches_it() -> None:
    page = Path(__file__).parents[2] / "docs" / "simulations" / "index.md"
    rows = [f"| {b.name} | {', '.join(b.invariants)} | {b.world.name} |" for b in BUGS]

    assert [row for row in rows if row not in page.read_text(encoding="utf-8")] == []


def is_caught(bug: Bug, seed: int) -> bool:
    outcome = Simulation(bug.world, seed, build_node=bug.node).run()
    return all(name in outcome.verdicts.broken for name in bug.invariants)
