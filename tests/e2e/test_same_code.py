"""A simulation runs the node's code: what is changed in the core moves both worlds alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.control import Control
from meshnode.core import syncing
from meshnode.core.announcements import Announcements
from meshnode.core.durable import ExtendLog
from meshnode.core.effects import Effect
from meshnode.core.events import Event, Now
from meshnode.core.node import Node
from meshnode.runtime import service
from meshnode.runtime.home import Home
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import running
from simulations.calibration.simulated import Witness
from simulations.run import Simulation
from simulations.scenario import Scenario
from simulations.settings import LinkModel, Workload
from tests.runtime.homes import WITHIN_SECONDS, follow, loopback, made_home, publish, publisher_of

HEADS = 10
INTERVAL_SECONDS = 1  # between two heads, where polls bring them
FAST_POLL_SECONDS = 0.2
SLOW_POLL_SECONDS = 10 * FAST_POLL_SECONDS
MANY_HEADS = 25  # a follower is told some three times of each
DROPPED = 10  # one event of so many

pytestmark = pytest.mark.slow


class DropsEveryTenth(Node):
    """Passes over one event of ten."""

    told = 0

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        kept = []
        for event in batch:
            self.told += 1
            if self.told % DROPPED:
                kept.append(event)
        return super().handle(kept, now)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every node pass over gossip, so that polls alone bring heads."""

    def pass_over(*_: Any) -> Iterator[Effect]:
        return iter(())

    monkeypatch.setattr(Announcements, "received", pass_over)


def simulated_steps(heads: int, node: type[Node] = Node) -> int:
    """Return in how many steps a follower adopts all heads, while one is published a second."""
    scenario = Scenario(
        name="follower",
        title="One publisher, one follower.",
        nodes=2,
        idle_seconds=0,
        settle_seconds_max=100,
        links=LinkModel(degree=2),
        workload=Workload(institutions=1, segments_each=heads, interval_seconds=INTERVAL_SECONDS),
    )
    witness, nodes = Witness(), iter((Node, node))
    Simulation(scenario, 1, lambda *given: next(nodes)(*given), watchers=(witness,)).run()
    seen = [seconds["p1"] for seconds in witness.account.heads.values()]
    assert len(seen) == heads
    return len(set(seen))


async def real_steps(
    heads: int, folder: Path, node: type[Node] = Node, interval_seconds: float = 0.0
) -> int:
    """Return the same of two peers on loopback, while heads are published one after the other."""
    home, other = made_home(folder / "home"), made_home(folder / "other")
    institution, publisher = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            await follow(home, institution)
            await publish(publisher, folder, "item-0")
            seeds = peer.network.mesh.addresses() if peer.network else ()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(service, "Node", node)
                async with running(other.root, loopback(*seeds), online=True) as follower:
                    await follow(other, institution)
                    # Its segment check is a process that starts here: while a publisher signs, it
                    # would take his lock along.
                    await until_shown(other, 1)
                    steps: list[int] = []
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(until_adopted, follower, heads, steps)
                        began = trio.current_time()
                        for number in range(1, heads):
                            await trio.sleep_until(began + number * interval_seconds)
                            await publish(publisher, folder, f"item-{number}")
    return len(steps)


async def until_shown(home: Home, items: int) -> None:
    async with aclosing(Control(home.control).follow("watch")) as changes:
        async for change in changes:
            if sum(each["items"] for each in change["event"]["catalogues"]) == items:
                return


async def until_adopted(peer: Peer, seq: int, steps: list[int]) -> None:
    """Note the seq of each extension of the only log, until it has come to this one."""
    with peer.journal.notices.watch(adopted_seq) as watcher:
        while not steps or steps[-1] < seq:
            steps.append(await watcher.receive())


def adopted_seq(notice: object) -> int | None:
    return notice.heads[-1][0] if isinstance(notice, ExtendLog) else None


@pytest.mark.usefixtures("deaf")
async def test_slower_anti_entropy_brings_heads_in_fewer_steps_in_both_worlds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated, real = [], []
    for poll_seconds in (FAST_POLL_SECONDS, SLOW_POLL_SECONDS):
        monkeypatch.setattr(syncing, "POLL_SECONDS", poll_seconds)
        simulated.append(simulated_steps(HEADS))
        folder = tmp_path / f"{poll_seconds:g}"
        real.append(await real_steps(HEADS, folder, interval_seconds=INTERVAL_SECONDS))

    assert simulated[0] > simulated[1]
    assert real[0] > real[1]


async def test_a_follower_that_drops_every_tenth_event_adopts_in_fewer_steps_in_both_worlds(
    tmp_path: Path,
) -> None:
    simulated, real = [], []
    for node in (Node, DropsEveryTenth):
        simulated.append(simulated_steps(MANY_HEADS, node))
        real.append(await real_steps(MANY_HEADS, tmp_path / node.__name__, node))

    assert simulated[0] > simulated[1]
    assert real[0] > real[1]
