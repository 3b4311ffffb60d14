"""What 24 peers cost that have nothing to do: processor time, and bytes to each other.

Each follows 24 catalogues with a head each. Every link is a relay that counts; what TCP and IP add
is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from benchmarks.trials import fleet
from benchmarks.trials.fleet import PEERS, Fleet, cpu_seconds_of
from benchmarks.trials.trial import Figures, Trial, perform

SETTLE_SECONDS: Final = 60.0  # two polls, and the first look at each other
MEASURED_SECONDS: Final = 120.0
ARRIVAL_SECONDS_MAX: Final = 120.0
ANNOUNCEMENT_BYTES: Final = 2_000


def run(folder: Path) -> Figures:
    return perform(_run, folder)


async def _run(folder: Path) -> Figures:
    async with fleet.running(folder, relayed=True) as peers:
        heads = [await peers.publish(number, ANNOUNCEMENT_BYTES) for number in range(PEERS)]
        await peers.arrivals.until_all(heads, ARRIVAL_SECONDS_MAX)
        missing = peers.arrivals.missing(heads)
        await trio.sleep(SETTLE_SECONDS)
        began, sent, cpu = trio.current_time(), peers.sent_bytes(), _cpu_seconds(peers)
        await trio.sleep(MEASURED_SECONDS)
        seconds = trio.current_time() - began
        shares = [
            (after - before) / seconds * 100
            for before, after in zip(cpu, _cpu_seconds(peers), strict=True)
        ]
        minute = [
            (after - before) / seconds * 60
            for before, after in zip(sent, peers.sent_bytes(), strict=True)
        ]
    return {
        "heads that did not arrive": missing,
        "CPU of a peer, % of a core": sum(shares) / PEERS,
        "CPU of the busiest peer, % of a core": max(shares),
        "sent by a peer, bytes a minute": sum(minute) / PEERS,
        "sent by the busiest peer, bytes a minute": max(minute),
    }


def _cpu_seconds(peers: Fleet) -> list[float]:
    return [cpu_seconds_of(peer.pid) for peer in peers.peers if peer.pid is not None]


TRIALS: Final[Sequence[Trial]] = (
    Trial(
        "idle",
        f"{PEERS} peers that have nothing to do",
        run,
        (
            "heads that did not arrive",
            "CPU of a peer, % of a core",
            "sent by the busiest peer, bytes a minute",
        ),
    ),
)
