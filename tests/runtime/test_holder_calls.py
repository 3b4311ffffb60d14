"""Calling peers at the addresses that they state: who is there is proved, and calls are few."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

import trio

from meshnode.core.effects import CallHolder
from meshnode.core.events import HolderCalled, PeerConnected
from meshnode.core.identifiers import PeerId
from meshnode.core.statement_bodies import Endpoint
from meshnode.errors import PeerError
from meshnode.runtime.network.addresses import ip_of, parse_peer_address, port_of
from meshnode.runtime.network.holder_calls import CALLED_KEPT_MAX, CALLS_OF_ADDRESS, HolderCalls
from tests.runtime.meshes import Peer

ABROAD = "/ip4/1.2.3.4/tcp/4001"
INSIDE = ("127.0.0.1", "10.0.0.1", "100.64.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
HOLDER = PeerId("12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz")


def endpoint(ip: str, port: int = 4001) -> Endpoint:
    return Endpoint(ip_address(ip).packed, port)


@dataclass(frozen=True)
class Connection:
    peer: PeerId
    address: str
    outbound: bool = True


@dataclass
class Town:
    """A mesh in which everybody answers, or nobody; remembers whom it dialled."""

    connected: dict[PeerId, str] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)
    left: list[PeerId] = field(default_factory=list)
    answers: bool = True

    def connections(self) -> list[Connection]:
        return [Connection(peer, address) for peer, address in self.connected.items()]

    def seen_at(self, peer: PeerId) -> list[str]:
        return [self.connected[peer]] if peer in self.connected else []

    async def dial(self, address: str) -> None:
        self.dialled.append(address)
        if not self.answers:
            raise PeerError("nobody there")
        self.connected[parse_peer_address(address).peer] = address

    async def hang_up(self, peer: PeerId) -> None:
        self.left.append(peer)
        del self.connected[peer]


def town(*, answers: bool = True, neighbour: str = ABROAD) -> Town:
    return Town({PeerId("neighbour"): neighbour}, answers=answers)


async def test_a_holder_is_found_at_the_address_that_it_states(nursery: trio.Nursery) -> None:
    caller, holder, neighbour = Peer("caller"), Peer("holder"), Peer("neighbour")
    for peer in (caller, holder, neighbour):
        await peer.start(nursery)
    await caller.mesh.dial(neighbour.mesh.addresses()[0])
    await caller.until_connected(neighbour)
    [address] = holder.mesh.addresses()
    at = endpoint(ip_of(address), port_of(address))
    nobody = endpoint("127.0.0.1", 1)

    called = await HolderCalls(caller.mesh).call(CallHolder(holder.id, (nobody, at)))

    assert called == HolderCalled(holder.id, kept_word=True)
    await caller.until(PeerConnected(holder.id))


async def test_whoever_else_is_at_the_address_is_not_taken_for_the_holder(
    nursery: trio.Nursery,
) -> None:
    caller, other, neighbour = Peer("caller"), Peer("other"), Peer("neighbour")
    for peer in (caller, other, neighbour):
        await peer.start(nursery)
    await caller.mesh.dial(neighbour.mesh.addresses()[0])
    await caller.until_connected(neighbour)
    [address] = other.mesh.addresses()
    at = endpoint(ip_of(address), port_of(address))

    called = await HolderCalls(caller.mesh).call(CallHolder(HOLDER, (at,)))

    assert called == HolderCalled(HOLDER, kept_word=False)
    assert [each.peer for each in caller.mesh.connections()] == [neighbour.id]


async def test_nobody_is_sent_into_his_own_network_by_a_statement() -> None:
    mesh = town()
    inside = tuple(map(endpoint, INSIDE))

    called = await HolderCalls(mesh).call(CallHolder(HOLDER, inside))

    assert called == HolderCalled(HOLDER, kept_word=False)
    assert mesh.dialled == []


async def test_where_all_are_neighbours_in_one_network_its_addresses_are_called() -> None:
    mesh = town(neighbour="/ip4/10.0.0.7/tcp/4001")

    called = await HolderCalls(mesh).call(CallHolder(HOLDER, (endpoint("10.0.0.1"),)))

    assert called == HolderCalled(HOLDER, kept_word=True)


async def test_one_address_is_called_a_few_times_whatever_ports_and_peers_are_stated_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mesh = town(answers=False)
    calls = HolderCalls(mesh)
    ports = [endpoint("8.8.4.9", port) for port in range(1, 40)]
    for at in range(0, 39, 3):
        await calls.call(CallHolder(HOLDER, tuple(ports[at : at + 3])))
    assert len(mesh.dialled) == CALLS_OF_ADDRESS

    await trio.sleep(601)
    await calls.call(CallHolder(HOLDER, tuple(ports)))

    assert len(mesh.dialled) == 2 * CALLS_OF_ADDRESS


async def test_connections_to_holders_do_not_pile_up() -> None:
    mesh = town()
    calls = HolderCalls(mesh)
    holders = [Peer(f"holder {number}").id for number in range(CALLED_KEPT_MAX + 2)]
    for number, holder in enumerate(holders, 1):
        await calls.call(CallHolder(holder, (endpoint(f"8.8.4.{number}"),)))

    assert mesh.left == holders[:2]
    assert list(mesh.connected) == [PeerId("neighbour"), *holders[2:]]
