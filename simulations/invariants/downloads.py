"""I20: whoever wants a payload gets it while one source of it is there."""

from __future__ import annotations

from simulations.invariants.verdicts import Verdicts
from simulations.swarm.payloads import Swarm


def check_downloads(swarm: Swarm, verdicts: Verdicts) -> None:
    """Check once, when the settling time is over."""
    for share in swarm.downloads():
        machine = share.machine
        if share.ended is None and (not machine.running or not swarm.has_source(share)):
            continue  # nobody can give it what it lacks
        said = f"has {len(share.held)} of {swarm.pieces} pieces of payload {share.payload}"
        verdicts.hold("I20", machine, share.ended is not None, said)
