"""What peers say on a gossip stream, one RPC after the other, within bounds.

In place of py-libp2p's own loop, which reads a length byte by byte, starts a task for each message
of an RPC (28,000 tiny ones of one RPC kept a peer busy for minutes) and verifies a signed address
with each, for an address book that this mesh does not use.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.io.exceptions import IOException
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.stream.exceptions import StreamError
from libp2p.pubsub.pb import rpc_pb2

from meshnode.errors import PeerError

RPC_BYTES_MAX: Final = 1_000_000  # py-libp2p loses larger ones silently
PARTS_MAX: Final = 5_000  # of one RPC: messages, subscriptions, offers and wishes together

_READ_BYTES: Final = 64 << 10
_LENGTH_BYTES_MAX: Final = 5


class RpcError(PeerError):
    """The peer sent what is no gossip, or more of it than is allowed."""


async def read_rpcs(stream: INetStream) -> AsyncGenerator[rpc_pb2.RPC, None]:
    """Yield RPCs until the stream ends, in order or not.

    Raises:
        RpcError: one is too long, malformed or of too many parts.
    """
    gathered = bytearray()
    while True:
        length, start = _length(gathered)
        if length is not None and len(gathered) >= start + length:
            raw = bytes(gathered[start : start + length])
            del gathered[: start + length]
            yield _decode(raw)
            continue
        try:
            part = await stream.read(_READ_BYTES)
        except (StreamError, IOException, RawConnError):
            return
        if not part:
            return
        gathered += part


def parts_of(rpc: rpc_pb2.RPC) -> int:
    """Return how much there is to see to in an RPC."""
    control = rpc.control
    grafts = len(control.graft) + len(control.prune)
    offers = sum(1 + len(each.messageIDs) for each in control.ihave)
    wishes = sum(1 + len(each.messageIDs) for each in control.iwant)
    return len(rpc.publish) + len(rpc.subscriptions) + grafts + offers + wishes


def _length(gathered: bytearray) -> tuple[int | None, int]:
    """Return the length of the next RPC, None while it is incomplete, and where its bytes begin."""
    value = 0
    for index, byte in enumerate(gathered[:_LENGTH_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            if value > RPC_BYTES_MAX:
                raise RpcError(f"an RPC of {value} bytes")
            return value, index + 1
    if len(gathered) >= _LENGTH_BYTES_MAX:
        raise RpcError("the length of an RPC has no end")
    return None, 0


def _decode(raw: bytes) -> rpc_pb2.RPC:
    try:
        rpc = rpc_pb2.RPC.FromString(raw)
    except DecodeError as error:
        raise RpcError("an RPC is no protobuf") from error
    if (parts := parts_of(rpc)) > PARTS_MAX:
        raise RpcError(f"an RPC of {parts} parts")
    return rpc
