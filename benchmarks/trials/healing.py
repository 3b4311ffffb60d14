"""How soon a mesh of 24 peers is one again: cut into halves by chance, both of which publish.

A round cuts every link between the halves for a while; the seed decides who is on which side. It is
healed when a peer has all that was published meanwhile on the other side.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from benchmarks.trials import fleet
from benchmarks.trials.fleet import PEERS, Fleet
from benchmarks.trials.trial import Figures, Trial, perform
from simulations.recording import Delays

SEEDS: Final = range(1, 7)
CUT_SECONDS: Final = 15.0  # longer than a redial takes, and than gossip remembers (5 heartbeats)
PUBLISHERS: Final = 3  # of each half
ANNOUNCEMENT_BYTES: Final = 2_000
HEAL_SECONDS_MAX: Final = 60.0
WARM_SECONDS_MAX: Final = 120.0


def run(folder: Path) -> Figures:
    return perform(_run, folder)


async def _run(folder: Path) -> Figures:
    async with fleet.running(folder, relayed=True) as peers:
        heads = [await peers.publish(number, ANNOUNCEMENT_BYTES) for number in range(PEERS)]
        await peers.arrivals.until_all(heads, WARM_SECONDS_MAX)
        delays: list[float] = []
        missing = 0
        for seed in SEEDS:
            took, lacked = await _round(peers, seed)
            delays += took
            missing += lacked
    healed = Delays.of(delays)
    return {
        "heads that did not arrive": missing,
        "median, s after the heal": healed.median,
        "longest, s after the heal": healed.longest,
        "peers that healed": healed.count,
    }


async def _round(peers: Fleet, seed: int) -> tuple[list[float], int]:
    """Cut and heal once; return how long each peer took, and how many arrivals never were."""
    half = set(random.Random(seed).sample(range(PEERS), PEERS // 2))  # noqa: S311 - who is where
    crossing = [r for (a, b), r in peers.relays.items() if (a in half) != (b in half)]
    for relay in crossing:
        relay.cut()
    others = [number for number in range(PEERS) if number not in half]
    chosen = [*sorted(half)[:PUBLISHERS], *others[:PUBLISHERS]]
    began = trio.current_time()
    heads = [await peers.publish(number, ANNOUNCEMENT_BYTES) for number in chosen]
    await trio.sleep_until(began + CUT_SECONDS)
    for relay in crossing:
        relay.heal()
    healed = trio.current_time()
    await peers.arrivals.until_all(heads, HEAL_SECONDS_MAX)
    seen = [peers.arrivals.seconds.get(head, {}) for head in heads]
    last = [max(s[peer] for s in seen if peer in s) for peer in range(PEERS)]
    return [second - healed for second in last], peers.arrivals.missing(heads)


TRIALS: Final[Sequence[Trial]] = (
    Trial(
        "healing",
        f"{PEERS} peers, cut into halves and healed {len(SEEDS)} times",
        run,
        (
            "heads that did not arrive",
            "median, s after the heal",
            "longest, s after the heal",
        ),
    ),
)
