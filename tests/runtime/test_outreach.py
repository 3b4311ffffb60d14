"""Staying connected: the peers of seed lists are dialled, and no more than are wanted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import PeerBook
from meshnode.errors import PeerError
from meshnode.runtime.network.outreach import CONNECTIONS_WANTED, Outreach
from tests.runtime.meshes import Peer

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


async def live(town: Town, pinned: Sequence[str], seconds: float) -> PeerBook:
    book = PeerBook(random.Random(1))
    with trio.move_on_after(seconds):
        await Outreach(town, book, lambda: pinned).run()
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


@pytest.mark.slow
async def test_a_real_peer_of_a_list_is_reached():
    async with trio.open_nursery() as nursery:
        seed, newcomer = Peer("seed"), Peer("newcomer")
        await seed.start(nursery)
        await newcomer.start(nursery)
        book = PeerBook(random.Random(1))
        nursery.start_soon(Outreach(newcomer.mesh, book, seed.mesh.addresses).run)
        await newcomer.until_connected(seed)
        nursery.cancel_scope.cancel()
