"""The same scenario and seed give the same history, to the bit, in any process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from simulations.run import Simulation
from tests.simulations.worlds import TROUBLED

PROGRAM = """
from simulations.run import Simulation
from tests.simulations.worlds import TROUBLED
simulation = Simulation(TROUBLED, {seed})
assert simulation.run().finished
print(simulation.trace_hash)
"""


# What the simulation needs to run; pure Python or built for several versions.
NEEDED = ("cbor2", "cryptography", "libipld", "nacl", "numpy", "pydantic")
OTHER_PYTHON = "MESHNODE_OTHER_PYTHON"  # an interpreter with what is NEEDED: it must be used


def trace_in_another_process(seed: int, hash_seed: str, python: str = sys.executable) -> str:
    done = subprocess.run(
        [python, "-c", PROGRAM.format(seed=seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_the_hash_seed_of_python_changes_nothing() -> None:
    one = trace_in_another_process(5, "0")
    other = trace_in_another_process(5, "4242")

    assert one == other


@pytest.mark.slow
def test_another_version_of_python_gives_the_same_history() -> None:
    named = os.environ.get(OTHER_PYTHON)
    other = named or found_python()
    if other is None:
        pytest.skip(f"no second version of Python has {', '.join(NEEDED)}: set {OTHER_PYTHON}")

    assert trace_in_another_process(5, "0", other) == trace_in_another_process(5, "0")


def found_python() -> str | None:
    """Return an interpreter of another version that can run the simulation."""
    names = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]
    return next((python for python in map(shutil.which, names) if python and can_run(python)), None)


def can_run(python: str) -> bool:
    done = subprocess.run(
        [python, "-c", f"import {', '.join(NEEDED)}"], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.slow
def test_another_seed_gives_another_history() -> None:
    assert trace_in_another_process(5, "0") != trace_in_another_process(6, "0")


@pytest.mark.slow
def test_writing_the_events_down_changes_nothing() -> None:
    lines: list[str] = []
    silent = Simulation(TROUBLED, 5)
    recorded = Simulation(TROUBLED, 5, sink=lambda *row: lines.append(row[2]))
    silent.run()
    recorded.run()

    restarts = recorded.recorder.counts["Restored"]
    assert silent.trace_hash == recorded.trace_hash
    assert len(lines) == sum(recorded.recorder.counts.values()) - restarts
