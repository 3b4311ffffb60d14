"""Finding more peers: only addresses that may be believed are dialled, and only a few a round."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
import trio.testing

from meshnode.core.identifiers import PeerId
from meshnode.errors import PeerError
from meshnode.runtime.network.discovery import CONNECTIONS_WANTED, DIALS_A_ROUND_MAX, discover
from meshnode.runtime.network.mesh import Mesh
from meshnode.runtime.network.requests import Requests


@dataclass(frozen=True)
class Connection:
    peer: PeerId


@dataclass
class Town:
    """A mesh and its requests: who is connected, what they tell, who was dialled."""

    connected: int = 1
    told: tuple[str, ...] = ()
    error: Exception | None = None
    asked: list[PeerId] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)

    def connections(self) -> list[Connection]:
        return [Connection(PeerId(f"peer-{n}")) for n in range(self.connected)]

    def believes(self, _teller: PeerId, address: str) -> bool:
        return "private" not in address

    async def dial(self, address: str) -> None:
        self.dialled.append(address)
        if "gone" in address:
            raise PeerError("nobody there")

    async def ask_peers(self, peer: PeerId) -> tuple[str, ...]:
        self.asked.append(peer)
        if self.error is not None:
            raise self.error
        return self.told


async def live(town: Town, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await discover(cast("Mesh", town), cast("Requests", town), random.Random(1))


async def test_a_round_dials_a_few_of_the_addresses_told(autojump_clock):
    town = Town(told=tuple(f"/ip4/192.0.2.{n}/tcp/1/p2p/x" for n in range(50)))
    await live(town, 7)
    assert town.asked == ["peer-0"]
    assert len(town.dialled) == DIALS_A_ROUND_MAX


async def test_an_address_that_is_not_believed_is_not_dialled(autojump_clock):
    town = Town(told=("/private/1", "/public/1"))
    await live(town, 7)
    assert town.dialled == ["/public/1"]


async def test_peers_that_are_gone_end_nothing(autojump_clock):
    town = Town(told=("/gone/1", "/gone/2"))
    await live(town, 30)
    assert len(town.asked) > 2
    assert len(town.dialled) == 2 * len(town.asked)


@pytest.mark.parametrize("error", [PeerError("no"), trio.TooSlowError()])
async def test_a_peer_that_does_not_answer_ends_nothing(autojump_clock, error):
    town = Town(error=error)
    await live(town, 30)
    assert len(town.asked) > 2
    assert town.dialled == []


@pytest.mark.parametrize("connected", [0, CONNECTIONS_WANTED])
async def test_nobody_is_asked_without_peers_or_with_enough(autojump_clock, connected: int):
    town = Town(connected=connected, told=("/public/1",))
    await live(town, 30)
    assert town.asked == []
