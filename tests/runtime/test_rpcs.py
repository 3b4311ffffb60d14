"""Reading what peers gossip: in whatever parts it comes, and within bounds."""

from __future__ import annotations

from typing import cast

import pytest
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamReset
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from meshnode.runtime.network.rpcs import PARTS_MAX, RPC_BYTES_MAX, RpcError, parts_of, read_rpcs


class Parts:
    """A stream whose bytes come in these parts, and which ends as it is told."""

    def __init__(self, *parts: bytes, is_reset: bool = False) -> None:
        self._parts = list(parts)
        self._is_reset = is_reset

    async def read(self, _bytes_max: int) -> bytes:
        if not self._parts and self._is_reset:
            raise StreamReset
        return self._parts.pop(0) if self._parts else b""


def rpc(*data: bytes) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(data=each) for each in data])


def wire(*rpcs: rpc_pb2.RPC) -> bytes:
    return b"".join(encode_varint_prefixed(each.SerializeToString()) for each in rpcs)


async def read(*parts: bytes, is_reset: bool = False) -> list[rpc_pb2.RPC]:
    stream = cast(INetStream, Parts(*parts, is_reset=is_reset))
    return [each async for each in read_rpcs(stream)]


@pytest.mark.parametrize("size", [1, 2, 7, 1_000, 1_000_000])
async def test_rpcs_come_in_whatever_parts(size: int) -> None:
    sent = [rpc(b"one"), rpc(b"two" * 100, b"three"), rpc()]
    raw = wire(*sent)
    assert await read(*(raw[i : i + size] for i in range(0, len(raw), size))) == sent


@pytest.mark.parametrize("is_reset", [True, False])
async def test_what_was_whole_is_read_though_the_stream_ends_in_the_middle(is_reset: bool) -> None:
    assert await read(wire(rpc(b"one"), rpc(b"two"))[:-1], is_reset=is_reset) == [rpc(b"one")]


async def test_an_rpc_that_is_too_long_is_refused_by_its_length_alone() -> None:
    longest = wire(rpc(bytes(RPC_BYTES_MAX + 1)))[:3]
    with pytest.raises(RpcError, match="an RPC of 1000009 bytes"):
        await read(longest)


async def test_a_length_without_an_end_is_refused() -> None:
    with pytest.raises(RpcError, match="has no end"):
        await read(b"\x80" * 5)


async def test_bytes_that_are_no_protobuf_are_refused() -> None:
    with pytest.raises(RpcError, match="no protobuf"):
        await read(b"\x05\x0a\xff\xff\xff\xff")


async def test_an_rpc_of_too_many_parts_is_refused() -> None:
    assert await read(wire(rpc(*[b""] * PARTS_MAX))) == [rpc(*[b""] * PARTS_MAX)]
    with pytest.raises(RpcError, match=f"an RPC of {PARTS_MAX + 1} parts"):
        await read(wire(rpc(*[b""] * (PARTS_MAX + 1))))


def test_every_name_of_a_message_is_a_part() -> None:
    said = rpc(b"one")
    said.subscriptions.add(subscribe=True, topicid="a")
    said.control.ihave.add(topicID="a", messageIDs=[b"1", b"2"])
    said.control.iwant.add(messageIDs=[b"3"])
    said.control.graft.add(topicID="a")
    said.control.prune.add(topicID="a")
    assert parts_of(said) == 1 + 1 + 3 + 2 + 1 + 1
