"""Attacks by what is gossiped: nothing of it may count against those who pass honest news on."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.pubsub.pb import rpc_pb2

from meshnode.core.events import PeerConnected
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import PeerId, parse_catalogue
from meshnode.core.limits import ANNOUNCED_HEADS_MAX
from meshnode.demo.hostile import Stranger
from meshnode.runtime.network.addresses import parse_peer_address
from meshnode.runtime.network.gossipsub import HEADS_TOPIC
from meshnode.runtime.network.rpcs import RPC_BYTES_MAX
from tests.attacks.attackers import (
    Attacker,
    announcement,
    attacker_of,
    forged,
    send,
    unknown_heads,
)
from tests.attacks.victims import Victims, until
from tests.runtime.meshes import Peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FLOOD = 3_000  # messages, a thousand a second
TICK_SECONDS = 0.05
UNKNOWN = 10_000


async def test_an_rpc_that_is_no_protobuf_costs_the_sender_its_connection(victims: Victims) -> None:
    await victims.begin()
    async with attacker_of(await victims.address()) as attacker:
        stream = await attacker.gossip()
        await stream.write(b"\x32\x0a\xff\xff\xff\xff\x7f" + bytes(44))
        await until_gone(victims, attacker)
    await victims.assert_unharmed()


async def test_an_rpc_that_is_too_long_is_not_read(victims: Victims) -> None:
    await victims.begin()
    async with attacker_of(await victims.address()) as attacker:
        stream = await attacker.gossip()
        await stream.write(_varint(RPC_BYTES_MAX + 1))
        with trio.fail_after(30):
            await _until_ended(stream)
    await victims.assert_unharmed()


async def test_an_rpc_of_a_hundred_thousand_messages_is_no_burden(victims: Victims) -> None:
    await victims.begin()
    async with attacker_of(await victims.address()) as attacker:
        stream = await attacker.gossip()
        tiny = rpc_pb2.Message(data=b"", topicIDs=[HEADS_TOPIC])
        count = RPC_BYTES_MAX // (tiny.ByteSize() + 4)
        await send(stream, rpc_pb2.RPC(publish=[tiny] * count))
        await victims.assert_unharmed()


async def test_forged_heads_at_a_thousand_a_second_are_blamed_on_their_sender(
    victims: Victims,
) -> None:
    await victims.begin()
    authentic = await newest_head(victims)
    async with attacker_of(await victims.address()) as attacker:
        messages = [attacker.message(forged(authentic)) for _ in range(FLOOD)]
        await flood(await attacker.gossip(), messages)
        await victims.assert_unharmed(blamed=attacker.id)


async def test_false_signatures_of_gossip_at_a_thousand_a_second_are_no_burden(
    victims: Victims,
) -> None:
    await victims.begin()
    async with attacker_of(await victims.address()) as attacker:
        messages = [
            attacker.message(secrets.token_bytes(300), is_signed=False) for _ in range(FLOOD)
        ]
        await flood(await attacker.gossip(), messages)
        await victims.assert_unharmed(blamed=attacker.id)


async def test_heads_of_ten_thousand_unknown_catalogues_are_not_kept(victims: Victims) -> None:
    await victims.begin()
    heads = unknown_heads(UNKNOWN)
    batches = [heads[i : i + ANNOUNCED_HEADS_MAX] for i in range(0, UNKNOWN, ANNOUNCED_HEADS_MAX)]
    async with attacker_of(await victims.address()) as attacker:
        messages = [attacker.message(announcement(batch)) for batch in batches]
        await flood(await attacker.gossip(), messages)
        await victims.assert_unharmed()
        blames = (await victims.peers())["blames"]
        assert attacker.id not in [blame["peer"] for blame in blames]  # nobody could know better


async def test_a_recorded_run_that_is_played_again_changes_nothing(victims: Victims) -> None:
    await victims.begin()
    recorded = await record(victims)
    before = await victims.reader.control.ask("status")
    async with attacker_of(await victims.address()) as attacker:
        messages = [attacker.message(data) for data in (*reversed(recorded), *recorded)]
        await flood(await attacker.gossip(), messages)
        after = await victims.reader.control.ask("status")
        assert after["catalogues"] == before["catalogues"]
        await victims.assert_unharmed()
        blames = (await victims.peers())["blames"]
        assert attacker.id not in [blame["peer"] for blame in blames]


async def newest_head(victims: Victims) -> SignedHead:
    """Ask the reader, as any peer may, for the newest head of the catalogue."""
    catalogue = parse_catalogue(victims.pair.catalogue)
    async with trio.open_nursery() as nursery:
        stranger = Stranger(victims.folder)
        await nursery.start(stranger.mesh.run)
        await stranger.learn(parse_peer_address(await victims.address()), catalogue)
        nursery.cancel_scope.cancel()
    [head] = stranger.loot.newest.values()
    return head


async def record(victims: Victims) -> list[bytes]:
    """Listen to the reader while three items are published; return the gossip that came."""
    async with trio.open_nursery() as nursery:
        listener = Peer("listener", [await victims.address()])
        await listener.start(nursery)
        reader = PeerId((await victims.reader.control.ask("status"))["peer"])
        await listener.until(PeerConnected(reader))
        await listener.mesh.until_heard_by(reader)
        for _ in range(3):
            await victims.publish_and_find()

        async def has_heard() -> bool:
            return len(listener.heard()) >= 3

        await until(has_heard)
        nursery.cancel_scope.cancel()
    return listener.heard()


async def flood(stream: INetStream, messages: Sequence[rpc_pb2.Message]) -> None:
    """Send a thousand messages a second, each in an RPC of its own, to the end or until cut off."""
    a_tick = int(1_000 * TICK_SECONDS)
    for start in range(0, len(messages), a_tick):
        for message in messages[start : start + a_tick]:
            try:
                await send(stream, rpc_pb2.RPC(publish=[message]))
            except Exception:  # the library has no common error: the victim hung up
                return
        await trio.sleep(TICK_SECONDS)


async def until_gone(victims: Victims, attacker: Attacker) -> None:
    async def is_gone() -> bool:
        return attacker.id not in [peer["peer"] for peer in (await victims.peers())["peers"]]

    await until(is_gone)


async def _until_ended(stream: INetStream) -> None:
    try:
        while await stream.read(4096):
            pass
    except Exception:  # a reset is an end too
        return


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
