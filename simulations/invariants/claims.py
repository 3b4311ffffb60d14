"""I22: what a peer stated reaches every peer that follows it, and is kept, across crashes."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.invariants.verdicts import Verdicts
from simulations.machine import Machine
from simulations.statements import Statements


def check_claims(machines: Sequence[Machine], statements: Statements, verdicts: Verdicts) -> None:
    """Check once, when the settling time is over."""
    for machine in machines if statements.due else ():
        missing = statements.missing(machine)
        verdicts.hold("I22", machine, missing == 0, f"lacks {missing} statements")
