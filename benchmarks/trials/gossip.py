"""How soon everybody has what somebody says: 24 peers of ours, and 24 of js-libp2p beside them.

Both meshes have the same links and hear as many announcements of the same size at the same pace, in
turns of a few seconds, so that whatever slows the machine slows both. Ours are heads of real
catalogues: a peer has one when it has checked it and told its operator. Theirs are the same bytes
on a bare topic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from benchmarks.trials import fleet, js_fleet
from benchmarks.trials.fleet import PEERS, Arrivals
from benchmarks.trials.trial import Figures, Trial, perform
from simulations.recording import Delays

ANNOUNCEMENT_BYTES: Final = 2_000
PACE_SECONDS: Final = 0.5
WARM_UP: Final = 24  # messages that are not counted, while the gossip meshes form
TURNS: Final = 6
TURN_MESSAGES: Final = 30
ARRIVAL_SECONDS_MAX: Final = 60.0  # a poll finds within 38 s what gossip lost

Publish = Callable[[int], Awaitable[object]]


@dataclass(slots=True)
class Side:
    """One mesh: who publishes, what arrived, and what it cost."""

    publish: Publish  # by number of the peer; returns the message's name
    arrivals: Arrivals
    cpu_seconds_so_far: Callable[[], float]
    delays: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    missing: int = 0
    _published: int = 0

    async def turn(self, count: int) -> None:
        """Publish so many messages, each by another peer, and wait for all of them."""
        began, cpu = trio.current_time(), self.cpu_seconds_so_far()
        sent: dict[object, float] = {}
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(self._publish, sent)
                await trio.sleep_until(began + (number + 1) * PACE_SECONDS)
        await self.arrivals.until_all(list(sent), ARRIVAL_SECONDS_MAX)
        self.seconds += trio.current_time() - began
        self.cpu_seconds += self.cpu_seconds_so_far() - cpu
        self.missing += self.arrivals.missing(list(sent))
        for name, second in sent.items():
            arrived = sorted(self.arrivals.seconds.get(name, {}).values())
            self.delays += [each - second for each in arrived[1:]]  # the first is its own

    async def _publish(self, sent: dict[object, float]) -> None:
        number, self._published = self._published % PEERS, self._published + 1
        second = trio.current_time()
        sent[await self.publish(number)] = second

    def forget(self) -> None:
        """Count from here."""
        self.delays, self.cpu_seconds, self.seconds, self.missing = [], 0.0, 0.0, 0


def run(folder: Path) -> Figures:
    (folder / "js").mkdir()
    return perform(_run, folder)


async def _run(folder: Path) -> Figures:
    async with (
        js_fleet.running(folder / "js") as theirs,
        fleet.running(folder, relayed=False) as ours,
    ):

        async def publish(number: int) -> object:
            return await ours.publish(number, ANNOUNCEMENT_BYTES)

        async def publish_theirs(number: int) -> object:
            return await theirs.publish(number, ANNOUNCEMENT_BYTES)

        sides = (
            Side(publish, ours.arrivals, ours.cpu_seconds),
            Side(publish_theirs, theirs.arrivals, theirs.cpu_seconds),
        )
        for side in sides:
            await side.turn(WARM_UP)
            side.forget()
        for _ in range(TURNS):
            for side in sides:
                await side.turn(TURN_MESSAGES)
    return _figures(*sides)


def _figures(ours: Side, theirs: Side) -> Figures:
    delays, beside = Delays.of(ours.delays), Delays.of(theirs.delays)
    return {
        "undelivered messages": ours.missing,
        "median, s": delays.median,
        "p99, s": delays.p99,
        "longest, s": delays.longest,
        "p99 beside js-libp2p, times": delays.p99 / beside.p99,
        "js-libp2p: undelivered messages": theirs.missing,
        "js-libp2p: median, s": beside.median,
        "js-libp2p: p99, s": beside.p99,
        "js-libp2p: longest, s": beside.longest,
        "CPU of a peer and message, ms": _cpu_ms(ours),
        "js-libp2p: CPU of a peer and message, ms": _cpu_ms(theirs),
        "CPU of a peer, % of a core": ours.cpu_seconds / ours.seconds / PEERS * 100,
    }


def _cpu_ms(side: Side) -> float:
    return side.cpu_seconds / (TURNS * TURN_MESSAGES) / PEERS * 1e3


TRIALS: Final[Sequence[Trial]] = (
    Trial(
        "gossip",
        f"{PEERS} peers hear {1 / PACE_SECONDS:g} announcements of 2 kB a second",
        run,
        ("undelivered messages", "p99, s", "p99 beside js-libp2p, times"),
    ),
)
