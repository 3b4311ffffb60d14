"""I13: a peer connects to no address inside its own network, whoever names it.

What is inside is read from Python's copy of IANA's registries, not from the list under test.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from simulations.invariants.verdicts import Verdicts
from simulations.machine import Machine


def check_connection(verdicts: Verdicts, machine: Machine, address: str) -> None:
    """Check a connection that a peer makes to an IP address, given as text."""
    parsed = ip_address(address)
    meant = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    verdicts.hold("I13", machine, (meant or parsed).is_global, f"connects to {address}")
