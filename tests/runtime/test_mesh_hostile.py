"""What a hostile neighbour can send to a mesh: it survives, and honest gossip goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from libp2p import new_host
from libp2p.abc import IHost, IMuxedStream, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.yamux.yamux import YamuxStream
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from meshnode.core.events import PeerDisconnected
from meshnode.core.identifiers import PeerId
from meshnode.runtime.network.containment import STREAMS_PER_PEER_MAX
from meshnode.runtime.network.gossipsub import HEADS_TOPIC
from meshnode.runtime.network.inbound import HANDSHAKES_PER_NETWORK_MAX
from meshnode.runtime.network.mesh import SYNC_PROTOCOL
from meshnode.runtime.network.rpcs import read_rpcs
from meshnode.runtime.network.streams import Stream
from tests.runtime.meshes import Peer

pytestmark = pytest.mark.slow

GOSSIP = TProtocol("/meshsub/1.1.0")

Attack = Callable[[IHost, Peer], Awaitable[None]]


async def send_rpc(host: IHost, victim: Peer, body: bytes) -> None:
    target = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
    await host.connect(target)
    stream = await host.new_stream(target.peer_id, [GOSSIP])
    await stream.write(encode_varint_prefixed(body))


async def malformed_protobuf(host: IHost, victim: Peer) -> None:
    await send_rpc(host, victim, b"\x0a\xff\xff\xff\xff\x7f" + bytes(44))


async def message_with_a_bad_key(host: IHost, victim: Peer) -> None:
    message = rpc_pb2.Message(
        data=b"x", topicIDs=[HEADS_TOPIC], from_id=b"\x00\x01", seqno=bytes(8)
    )
    message.key = b"\xff" * 36
    message.signature = b"\x00" * 64
    await send_rpc(host, victim, rpc_pb2.RPC(publish=[message]).SerializeToString())


async def control_messages_of_nonsense(host: IHost, victim: Peer) -> None:
    control = rpc_pb2.ControlMessage(
        graft=[rpc_pb2.ControlGraft(topicID="elsewhere")],
        ihave=[rpc_pb2.ControlIHave(topicID="\x00", messageIDs=[b"abc", b""])],
    )
    await send_rpc(host, victim, rpc_pb2.RPC(control=control).SerializeToString())


async def question_that_makes_the_server_raise(host: IHost, victim: Peer) -> None:
    target = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
    await host.connect(target)
    stream = await host.new_stream(target.peer_id, [SYNC_PROTOCOL])
    await stream.write(b"raise")
    await _until_closed(stream.read)


async def garbage_instead_of_a_handshake(_host: IHost, victim: Peer) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", _port(victim)) as raw:
        await raw.send_all(bytes(range(256)) * 40)
        await _until_closed(raw.receive_some)


async def handshakes_that_are_never_finished(_host: IHost, victim: Peer) -> None:
    """One more than is allowed is turned away at once; the rest ends when the callers leave."""
    waiting = [
        await trio.open_tcp_stream("127.0.0.1", _port(victim))
        for _ in range(HANDSHAKES_PER_NETWORK_MAX)
    ]
    for raw in waiting:
        await raw.receive_some(1)  # its side of the negotiation: it counts as unfinished now
    async with await trio.open_tcp_stream("127.0.0.1", _port(victim)) as one_more:
        assert await _until_closed(one_more.receive_some) == b""
    for raw in waiting:
        await raw.aclose()


@pytest.mark.parametrize(
    "attack",
    [
        malformed_protobuf,
        message_with_a_bad_key,
        control_messages_of_nonsense,
        question_that_makes_the_server_raise,
        garbage_instead_of_a_handshake,
        handshakes_that_are_never_finished,
    ],
)
async def test_honest_gossip_goes_on_after_an_attack(nursery: trio.Nursery, attack: Attack) -> None:
    victim = Raising("victim")
    await victim.start(nursery)
    honest = Peer("honest", victim.mesh.addresses())
    await honest.start(nursery)
    await victim.hear(b"before", honest)
    host = new_host(key_pair=create_new_key_pair(b"h" * 32))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        with trio.fail_after(20):
            await attack(host, victim)
            await victim.hear(b"after", honest)
        await host.close()
    assert PeerDisconnected(honest.id) not in victim.events
    assert PeerDisconnected(victim.id) not in honest.events


async def test_a_peer_that_gossips_garbage_is_disconnected(nursery: trio.Nursery) -> None:
    victim = Peer("victim")
    await victim.start(nursery)
    host = new_host(key_pair=create_new_key_pair(b"h" * 32))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await malformed_protobuf(host, victim)
        await victim.until(PeerDisconnected(PeerId(str(host.get_id()))))
        await host.close()


async def test_no_more_peers_of_one_address_are_connected_than_allowed(
    nursery: trio.Nursery,
) -> None:
    victim = Peer("victim", connections_per_network_max=2)
    await victim.start(nursery)
    first, second, third = (Peer(name, victim.mesh.addresses()) for name in ("1", "2", "3"))
    for peer in (first, second):
        await peer.start(nursery)
        await victim.until_connected(peer)
    await third.start(nursery)
    with trio.fail_after(20):
        while not victim.mesh.inbound.counts.connections_refused:  # noqa: ASYNC110 - no event
            await trio.sleep(0.05)
    assert {c.peer for c in victim.mesh.connections()} == {first.id, second.id}
    await second.stop()
    await victim.until_connected(third)


async def test_a_peer_has_so_many_streams_and_others_have_theirs(nursery: trio.Nursery) -> None:
    victim = Peer("victim")
    await victim.start(nursery)
    honest = Peer("honest", victim.mesh.addresses())
    await honest.start(nursery)
    host = new_host(key_pair=create_new_key_pair(b"h" * 32))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        target = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
        await host.connect(target)
        silent = [await _raw_stream(host, target.peer_id) for _ in range(STREAMS_PER_PEER_MAX)]
        for stream in silent:
            await stream.read(1)  # its side of the negotiation: it counts as open now
        one_more = await _raw_stream(host, target.peer_id)
        with trio.fail_after(20):
            assert await _until_closed(one_more.read) == b""
            await honest.until_connected(victim)
            answer = await honest.mesh.open_stream(victim.id)
            await answer.write(b"still there?")
            assert await answer.read(64) == b"still there?"
        await host.close()


async def test_a_peer_that_sends_what_nobody_reads_is_disconnected(nursery: trio.Nursery) -> None:
    victim = Deaf("victim")
    await victim.start(nursery)
    host = new_host(key_pair=create_new_key_pair(b"h" * 32))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        target = info_from_p2p_addr(Multiaddr(victim.mesh.addresses()[0]))
        await host.connect(target)
        stream = await host.new_stream(target.peer_id, [SYNC_PROTOCOL])
        assert isinstance(stream, NetStream)
        yamux_stream = stream.muxed_stream
        assert isinstance(yamux_stream, YamuxStream)
        with trio.fail_after(20):
            with suppress(Exception):  # its own windows allow it; the victim ends the connection
                while True:
                    yamux_stream.send_window = 1 << 20
                    await yamux_stream.write(bytes(1 << 20))
            await victim.until(PeerDisconnected(PeerId(str(host.get_id()))))
        await host.close()


async def test_a_message_that_is_wanted_often_is_sent_once(nursery: trio.Nursery) -> None:
    """Otherwise an RPC of a thousand wishes for one message earns a thousand messages."""
    victim = Peer("victim")
    await victim.start(nursery)
    host = new_host(key_pair=create_new_key_pair(b"h" * 32))
    sent: list[rpc_pb2.Message] = []

    async def listen(stream: INetStream) -> None:
        async for rpc in read_rpcs(stream):
            sent.extend(rpc.publish)

    host.set_stream_handler(GOSSIP, listen)
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await victim.mesh.publish(b"wanted")
        name = hashlib.sha256(b"wanted").digest()
        wish = rpc_pb2.ControlIWant(messageIDs=[name] * 1_000)
        wishes = rpc_pb2.RPC(control=rpc_pb2.ControlMessage(iwant=[wish]))
        await send_rpc(host, victim, wishes.SerializeToString())
        with trio.fail_after(20):
            while not sent:  # noqa: ASYNC110 - the library sets no event
                await trio.sleep(0.05)
        assert [message.data for message in sent] == [b"wanted"]
        await host.close()


class Deaf(Peer):
    """A peer whose streams are opened and never read."""

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        await trio.sleep_forever()


class Raising(Peer):
    """A peer whose own code fails on every question."""

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        await stream.read(5)
        raise ZeroDivisionError


async def _raw_stream(host: IHost, peer: ID) -> IMuxedStream:
    """Open a stream on which no protocol is asked for."""
    [connection] = host.get_network().get_connections(peer)
    return await connection.muxed_conn.open_stream()


def _port(peer: Peer) -> int:
    return int(peer.mesh.addresses()[0].split("/")[4])


async def _until_closed(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    """Read to the end, which a reset is too."""
    gathered = b""
    try:
        while part := await read(4096):
            gathered += part
    except Exception:
        return gathered
    return gathered
