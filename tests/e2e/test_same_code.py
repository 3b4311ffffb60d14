"""A simulation runs the node's code: what is changed in the core moves both worlds alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.control import Control
from meshnode.core import events as ev
from meshnode.core import syncing
from meshnode.core.announcements import Announcements
from meshnode.runtime.home import Home
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import running
from simulations.calibration.simulated import Witness
from simulations.run import Simulation
from simulations.scenario import Scenario
from simulations.settings import LinkModel, Workload
from tests.runtime.homes import WITHIN_SECONDS, follow, loopback, made_home, publish, publisher_of

HEADS = 10
FAST_POLL_SECONDS = 0.2
SLOW_POLL_SECONDS = 10 * FAST_POLL_SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every node pass over gossip, so that polls alone bring heads."""

    def pass_over(*_: Any) -> Iterator[ev.Effect]:
        return iter(())

    monkeypatch.setattr(Announcements, "received", pass_over)


def simulated_steps(poll_seconds: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return in how many steps a follower adopts all heads, while one is published a second."""
    monkeypatch.setattr(syncing, "POLL_SECONDS", poll_seconds)
    scenario = Scenario(
        name="polls",
        title="One publisher, one follower, no gossip.",
        nodes=2,
        idle_seconds=0,
        links=LinkModel(degree=2),
        workload=Workload(institutions=1, segments_each=HEADS, interval_seconds=1),
    )
    witness = Witness()
    assert Simulation(scenario, 1, watchers=(witness,)).run().settled_seconds is not None
    seen = [seconds["p1"] for seconds in witness.account.heads.values()]
    assert len(seen) == HEADS
    return len(set(seen))


async def real_steps(poll_seconds: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the same of two peers on loopback, while heads are published one after the other."""
    monkeypatch.setattr(syncing, "POLL_SECONDS", poll_seconds)
    home, other = made_home(folder / "home"), made_home(folder / "other")
    institution, publisher = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            await follow(home, institution)
            await publish(publisher, folder, "item-0")
            seeds = peer.network.mesh.addresses() if peer.network else ()
            async with running(other.root, loopback(*seeds), online=True) as follower:
                await follow(other, institution)
                # Its segment check is a process that starts here: while a publisher signs, it would
                # take his lock along.
                await until_shown(other, 1)
                steps: list[int] = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(until_adopted, follower, HEADS, steps)
                    for number in range(1, HEADS):
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
    return notice.heads[-1][0] if isinstance(notice, ev.ExtendLog) else None


@pytest.mark.usefixtures("deaf")
async def test_slower_anti_entropy_brings_heads_in_fewer_steps_in_both_worlds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = [simulated_steps(s, monkeypatch) for s in (FAST_POLL_SECONDS, SLOW_POLL_SECONDS)]
    real = []
    for poll_seconds in (FAST_POLL_SECONDS, SLOW_POLL_SECONDS):
        (folder := tmp_path / f"{poll_seconds:g}").mkdir()
        real.append(await real_steps(poll_seconds, folder, monkeypatch))

    assert simulated[0] > simulated[1]
    assert real[0] > real[1]
