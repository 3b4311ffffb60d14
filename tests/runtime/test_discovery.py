"""Finding more peers: who is told with a signature goes into the book, and no error ends it."""

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
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.contacts import Contacts
from meshnode.runtime.network.discovery import Discovery
from meshnode.runtime.network.outreach import CONNECTIONS_WANTED
from meshnode.runtime.network.peer_records import seal
from tests.runtime.test_contacts import address, id_of, keys_of


@dataclass(frozen=True)
class Connection:
    peer: PeerId
    address: str = "/ip4/8.8.4.1/tcp/4001"
    outbound: bool = True


@dataclass
class Town:
    """Who is connected, and what they tell when they are asked."""

    connected: int = 1
    told: tuple[bytes, ...] = ()
    error: Exception | None = None
    asked: list[PeerId] = field(default_factory=list)

    def connections(self) -> list[Connection]:
        return [Connection(PeerId(f"peer-{n}")) for n in range(self.connected)]

    def seen_at(self, peer: PeerId) -> list[str]:
        return [each.address for each in self.connections() if each.peer == peer]

    async def ask_contacts(self, peer: PeerId) -> tuple[Sequence[bytes], Sequence[bytes]]:
        self.asked.append(peer)
        if self.error is not None:
            raise self.error
        return (), self.told


async def live(town: Town, seconds: float) -> PeerBook:
    book = PeerBook(random.Random(1))
    contacts = Contacts(bytes(32), list, town.seen_at, random.Random(1))
    with trio.move_on_after(seconds):
        await Discovery(town, town, contacts, book).run()
    return book


async def test_who_is_told_goes_into_the_book(autojump_clock):
    records = tuple(
        seal(keys_of(name), address(ip), unix_now())
        for name, ip in (("one", "9.9.9.9"), ("two", "10.0.0.1"))
    )
    town = Town(told=(*records, b"noise"))
    book = await live(town, 7)
    assert town.asked == ["peer-0"]
    assert len(book) == 1  # a private address is not taken from a peer far away
    book.was_reached(id_of("one"), f"{address('9.9.9.9')}/p2p/{id_of('one')}", 1)
    assert len(book) == 1


@pytest.mark.parametrize("error", [PeerError("no"), trio.TooSlowError()])
async def test_a_peer_that_does_not_answer_ends_nothing(autojump_clock, error):
    town = Town(error=error)
    assert len(await live(town, 30)) == 0
    assert len(town.asked) > 2


@pytest.mark.parametrize("connected", [0, CONNECTIONS_WANTED])
async def test_nobody_is_asked_without_peers_or_with_enough(autojump_clock, connected: int):
    town = Town(connected=connected)
    await live(town, 30)
    assert town.asked == []
