"""HTTP copies of payloads, with the addresses at which a peer finds them.

A bait is a mirror that a liar signs: its name leads a peer into its own network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulations.settings import Payloads

# What each name says when it is looked up, and again when somebody connects (DNS rebinding).
BAITS: Final = (
    ("127.0.0.1", "127.0.0.1"),
    ("45.255.0.1", "192.168.1.1"),
    ("169.254.169.254", "169.254.169.254"),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
    ("fd00::1", "fd00::1"),
    ("45.255.0.2", "::1"),
)


@dataclass(frozen=True, slots=True)
class Mirror:
    """One HTTP copy of a payload; the addresses are IP addresses as text."""

    payload: int
    number: int
    looked_up: str
    connected: str
    is_bait: bool


def mirrors_of(payload: int, model: Payloads) -> tuple[Mirror, ...]:
    """Return the mirrors of a payload that its writer has signed, baits last."""
    high, low = divmod(payload, 256)
    places = (f"45.{high}.{low}.{number + 1}" for number in range(model.mirrors))
    good = [Mirror(payload, number, place, place, False) for number, place in enumerate(places)]
    baits = (BAITS[number % len(BAITS)] for number in range(model.baits))
    return (*good, *(Mirror(payload, n, *bait, True) for n, bait in enumerate(baits)))
