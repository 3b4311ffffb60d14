"""The system's clock jumps by a day while peers run: they go on, and blame nobody for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.runtime import clock
from meshnode.runtime.home import Home
from meshnode.runtime.service import running
from tests.runtime.homes import (
    WITHIN_SECONDS,
    follow,
    ids_found,
    loopback,
    made_home,
    publish,
    publisher_of,
)

pytestmark = pytest.mark.slow

DAY_SECONDS = 86_400


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what puts the clock so many seconds before or after the true time."""
    true_clock = clock.read_clock

    def put(seconds: int) -> None:
        monkeypatch.setattr(clock, "read_clock", lambda: true_clock() + seconds)

    return put


async def until_found(home: Home, *ids: str) -> None:
    async with aclosing(Control(home.control).follow("watch")) as changes:
        async for _ in changes:
            if await ids_found(home) == sorted(ids):
                return


@pytest.mark.parametrize(
    "jumps", [(DAY_SECONDS, 0), (-DAY_SECONDS, 0), (DAY_SECONDS, -DAY_SECONDS)]
)
async def test_peers_go_on_when_the_clock_jumps_and_jumps_back(
    tmp_path: Path, jump: Callable[[int], None], jumps: tuple[int, int]
) -> None:
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, publisher = publisher_of(home)
    names: list[str] = []

    async def publish_next(name: str) -> None:
        names.append(name)
        await publish(publisher, tmp_path, name)
        await until_found(other, *names)

    with trio.fail_after(2 * WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            await follow(home, institution)
            assert peer.network is not None
            seeds = peer.network.mesh.addresses()
            async with running(other.root, loopback(*seeds), online=True):
                await Control(other.control).ask("follow", catalogue=institution.text)
                await publish_next("before")
                for number, seconds in enumerate(jumps):
                    jump(seconds)
                    await publish_next(f"after jump {number}")
                    subject = institution.catalogue.hex()
                    said = await Control(home.control).ask("report", subject=subject, problem=0)
                    assert said["own"]
                for each in (home, other):
                    assert (await Control(each.control).ask("peers"))["blames"] == []
                    assert (await Control(each.control).ask("status"))["read_only"] == ""
            async with running(other.root, loopback(*seeds), online=True):
                await publish_next("after a start")
