"""A question for what is just being fetched waits for it, and not for ever."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from meshnode.core.effects import FetchObject
from meshnode.core.events import Event, ObjectStored
from meshnode.core.identifiers import Digest, sha256
from meshnode.runtime.network.arrivals import WAIT_SECONDS_MAX, Arrivals
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from tests.runtime.peers import ANSWERER, Folder, Line, Shelf, no_peers, no_provider

BYTES = b"a segment" * 1000
NAME = sha256(BYTES)


def linked(nursery: trio.Nursery, shelf: Shelf, arrivals: Arrivals, folder: Path) -> Requests:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider, arrives=arrivals.wait)
    return Requests(line.open_stream, Folder(folder), list)


async def test_whoever_asks_for_what_is_on_its_way_gets_it_when_it_is_here(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    asked = trio.Event()

    def is_expected(_: Digest) -> bool:
        asked.set()
        return True

    shelf, arrivals = Shelf(), Arrivals(is_expected)
    requests = linked(nursery, shelf, arrivals, tmp_path)
    ended: list[Event] = []

    async def ask() -> None:
        ended.append(await requests.perform(FetchObject(ANSWERER, NAME, len(BYTES))))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        before = list(ended)
        shelf.objects[NAME] = BYTES
        arrivals.came(NAME)

    assert before == []
    assert ended == [ObjectStored(NAME)]


async def test_what_is_not_expected_is_refused_at_once(autojump_clock: trio.abc.Clock) -> None:
    began = trio.current_time()

    assert not await Arrivals(lambda _: False).wait(NAME)
    assert trio.current_time() == began


async def test_who_waits_in_vain_is_let_go_and_leaves_nothing_behind(
    autojump_clock: trio.abc.Clock,
) -> None:
    arrivals = Arrivals(lambda _: True)
    came: list[tuple[bool, float]] = []

    async def wait(first: float) -> None:
        await trio.sleep(first)
        came.append((await arrivals.wait(NAME), trio.current_time() - began))

    began = trio.current_time()
    async with trio.open_nursery() as waiting:
        waiting.start_soon(wait, 0.0)
        waiting.start_soon(wait, 1.0)

    assert came == [(False, WAIT_SECONDS_MAX), (False, 1.0 + WAIT_SECONDS_MAX)]
    assert arrivals.waiting == 0


async def test_one_who_gives_up_takes_nothing_from_another_who_waits(
    autojump_clock: trio.abc.Clock,
) -> None:
    arrivals = Arrivals(lambda _: True)
    came: list[bool] = []

    async def wait(first: float) -> None:
        await trio.sleep(first)
        came.append(await arrivals.wait(NAME))

    async with trio.open_nursery() as waiting:
        waiting.start_soon(wait, 0.0)
        waiting.start_soon(wait, 1.0)
        await trio.sleep(WAIT_SECONDS_MAX + 0.5)
        arrivals.came(NAME)

    assert came == [False, True]
    assert arrivals.waiting == 0


async def test_what_comes_while_nobody_waits_is_not_remembered() -> None:
    arrivals = Arrivals(lambda _: True)
    arrivals.came(NAME)

    assert arrivals.waiting == 0
