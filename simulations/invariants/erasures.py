"""I21: what is withdrawn so that it erases is gone from every disk in time."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.invariants.verdicts import Verdicts
from simulations.ledger import Ledger
from simulations.machine import Machine


def check_erased(machines: Sequence[Machine], ledger: Ledger, verdicts: Verdicts) -> None:
    """Check what is due by now; the rows that were not withdrawn go on being searchable (I15)."""
    for machine in machines:
        due = [key for key, by in ledger.erased_by.items() if by <= machine.world.now]
        for key in due:
            gone = key.digest not in machine.disk.objects
            verdicts.hold("I21", machine, gone, f"still has {key.digest.hex()[:16]}")
