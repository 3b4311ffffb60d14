"""Staying connected: the peers of seed lists are dialled, and no more than are wanted."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import PeerBook
from meshnode.errors import PeerError, StorageError
from meshnode.runtime.network.outreach import CONNECTIONS_WANTED, Outreach
from meshnode.runtime.network.peer_file import Reached, read_reached, write_reached
from tests.runtime.meshes import HEARD_WITHIN_SECONDS, Peer

IDS = (
    "12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz",
    "12D3KooWDagxM4wMPfuixTspsTkDyW2CkSQR5EijQGYUxV4iSH2t",
)
ADDRESSES = [f"/ip4/127.0.0.1/tcp/{n}/p2p/{peer}" for n, peer in enumerate(IDS, start=4001)]


@dataclass(frozen=True)
class Connection:
    peer: PeerId
    address: str = ""
    outbound: bool = False


@dataclass
class Town:
    """Who is connected, who was dialled, and who answers."""

    answering: Sequence[str] = ()
    connected: list[Connection] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)

    def connections(self) -> Sequence[Connection]:
        return self.connected

    async def dial(self, address: str) -> None:
        self.dialled.append(address)
        if address not in self.answering:
            raise PeerError("nobody there")
        peer = PeerId(address.rpartition("/")[2])
        self.connected.append(Connection(peer, address, outbound=True))


def keeping(kept: list[Sequence[Reached]]) -> Callable[[Sequence[Reached]], Awaitable[None]]:
    async def keep(reached: Sequence[Reached]) -> None:
        kept.append(reached)

    return keep


async def live(
    town: Town,
    pinned: Sequence[str],
    seconds: float,
    kept: list[Sequence[Reached]] | None = None,
    book: PeerBook | None = None,
) -> PeerBook:
    book = book or PeerBook(random.Random(1))
    kept = [] if kept is None else kept
    with trio.move_on_after(seconds):
        await Outreach(town, book, lambda: pinned, keeping(kept)).run()
    return book


async def test_the_peers_of_a_list_are_dialled_until_they_answer(autojump_clock):
    town = Town(answering=ADDRESSES[:1])
    book = await live(town, ADDRESSES, 600)
    assert town.dialled.count(ADDRESSES[0]) == 1
    assert town.dialled.count(ADDRESSES[1]) > 3
    assert [address for _, address, _ in book.kept()] == ADDRESSES[:1]


async def test_a_list_that_is_joined_while_the_peer_runs_is_dialled(autojump_clock):
    town = Town(answering=ADDRESSES)
    pinned: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, town, pinned, 60)
        await trio.sleep(20)
        assert town.dialled == []
        pinned += ADDRESSES
    assert sorted(town.dialled) == sorted(ADDRESSES)


@pytest.mark.parametrize(("connected", "dialled"), [(CONNECTIONS_WANTED, 0), (0, 2)])
async def test_nobody_is_dialled_with_enough_connections(
    autojump_clock, connected: int, dialled: int
):
    callers = [Connection(PeerId(f"caller {n}")) for n in range(connected)]
    town = Town(answering=ADDRESSES, connected=callers)
    await live(town, ADDRESSES, 60)
    assert len(town.dialled) == dialled


async def test_n_66_who_was_reached_is_dialled_after_a_restart_without_seeds(
    autojump_clock, tmp_path: Path
):
    kept: list[Sequence[Reached]] = []
    await live(Town(answering=ADDRESSES), ADDRESSES, 60, kept)
    file = tmp_path / "peers.json"
    await write_reached(file, kept[-1])
    book = PeerBook(random.Random(1))
    read_reached(file, book)
    after = Town(answering=ADDRESSES)
    await live(after, [], 60, book=book)
    assert sorted(after.dialled) == sorted(ADDRESSES)


async def test_a_list_may_name_what_no_peer_is_called(autojump_clock):
    town = Town(answering=ADDRESSES)
    await live(town, ["/ip4/127.0.0.1/tcp/1/p2p/Qm", "", *ADDRESSES], 60)
    assert sorted(town.dialled) == sorted(ADDRESSES)


async def test_the_book_is_kept_when_it_changed_and_not_each_round(autojump_clock):
    kept: list[Sequence[Reached]] = []
    await live(Town(answering=ADDRESSES[:1]), ADDRESSES[:1], 3600, kept)
    assert [[address for _, address, _ in each] for each in kept] == [ADDRESSES[:1]]


async def test_a_disk_that_refuses_ends_nothing(autojump_clock):
    town = Town(answering=ADDRESSES)

    async def refuse(_: Sequence[Reached]) -> None:
        raise StorageError("full")

    with trio.move_on_after(600):
        await Outreach(town, PeerBook(random.Random(1)), lambda: ADDRESSES, refuse).run()
    assert sorted(town.dialled) == sorted(ADDRESSES)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"x": null}', "7"])
def test_a_damaged_book_begins_anew(tmp_path: Path, text: str):
    (tmp_path / "peers.json").write_text(text)
    book = PeerBook(random.Random(1))
    read_reached(tmp_path / "peers.json", book)
    assert len(book) == 0


@pytest.mark.slow
async def test_a_real_peer_of_a_list_is_reached_and_remembered(tmp_path: Path):
    async with trio.open_nursery() as nursery:
        seed, newcomer = Peer("seed"), Peer("newcomer")
        await seed.start(nursery)
        await newcomer.start(nursery)
        book = PeerBook(random.Random(1))
        file = tmp_path / "peers.json"
        keep = partial(write_reached, file)
        nursery.start_soon(Outreach(newcomer.mesh, book, seed.mesh.addresses, keep).run)
        await newcomer.until_connected(seed)
        again = PeerBook(random.Random(1))
        with trio.fail_after(HEARD_WITHIN_SECONDS):
            while not len(again):
                read_reached(file, again)
                await trio.sleep(0.05)
        assert {where for _, where, _ in again.kept()} == set(seed.mesh.addresses())
        nursery.cancel_scope.cancel()
