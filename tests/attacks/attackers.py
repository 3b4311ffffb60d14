"""Who attacks: a bare libp2p host that says whatever it likes."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from meshnode.core.heads import (
    AnnouncedHead,
    Announcement,
    Head,
    SignedHead,
    encode_announcement,
    encode_head,
)
from meshnode.core.identifiers import CatalogueId, key_id, sha256
from meshnode.core.signed import Signature, Signed
from meshnode.core.signing import public_key, sign, signed_bytes
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.gossipsub import HEADS_TOPIC
from meshnode.runtime.network.mesh import SYNC_PROTOCOL

GOSSIP = TProtocol("/meshsub/1.1.0")

Answer = Callable[[INetStream], Awaitable[None]]


@dataclass(slots=True)
class Attacker:
    """A host that is connected to its victim."""

    host: IHost
    victim: ID
    keys: KeyPair
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def id(self) -> str:
        return str(self.host.get_id())

    async def gossip(self) -> INetStream:
        """Open a stream for gossip, and say that the topic of heads is of interest."""
        stream = await self.host.new_stream(self.victim, [GOSSIP])
        subscription = rpc_pb2.RPC.SubOpts(subscribe=True, topicid=HEADS_TOPIC)
        await send(stream, rpc_pb2.RPC(subscriptions=[subscription]))
        return stream

    async def question(self) -> INetStream:
        return await self.host.new_stream(self.victim, [SYNC_PROTOCOL])

    def message(
        self, data: bytes, *, is_signed: bool = True, topic: str = HEADS_TOPIC
    ) -> rpc_pb2.Message:
        """Return a message of gossip by this host; the signature is of nothing otherwise."""
        message = rpc_pb2.Message(
            data=data,
            topicIDs=[topic],
            from_id=self.host.get_id().to_bytes(),
            seqno=next(self._numbers).to_bytes(8, "big"),
        )
        signed = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
        genuine = self.keys.private_key.sign(signed)
        message.signature = genuine if is_signed else secrets.token_bytes(len(genuine))
        return message


@asynccontextmanager
async def attacker_of(address: str, answer: Answer | None = None) -> AsyncIterator[Attacker]:
    """Run a host that is connected to the peer at this multiaddr; `answer` takes its questions."""
    keys = create_new_key_pair(secrets.token_bytes(32))
    host = new_host(key_pair=keys)
    if answer is not None:
        host.set_stream_handler(SYNC_PROTOCOL, answer)
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        target = info_from_p2p_addr(Multiaddr(address))
        await host.connect(target)
        try:
            yield Attacker(host, target.peer_id, keys)
        finally:
            with trio.move_on_after(5, shield=True):
                await host.close()


async def send(stream: INetStream, rpc: rpc_pb2.RPC) -> None:
    await stream.write(encode_varint_prefixed(rpc.SerializeToString()))


def forged(authentic: SignedHead) -> bytes:
    """Return an announcement of what would come next, under a signature by a stranger's key."""
    head = replace(
        authentic.head,
        seq=authentic.head.seq + 1,
        prev=authentic.signed.digest,
        tree=sha256(secrets.token_bytes(8)),
    )
    payload = encode_head(head)
    signature = Ed25519PrivateKey.generate().sign(signed_bytes("head", payload))
    return announcement([Signed(payload, (Signature(head.writer, signature),))], head.size)


def unknown_heads(count: int) -> list[Signed]:
    """Return heads that are well signed, each the first of a catalogue that nobody knows."""
    key = Ed25519PrivateKey.generate()
    kid = key_id(public_key(key))
    now = unix_now()

    def head(number: int) -> Signed:
        catalogue = CatalogueId(sha256(b"unknown %d" % number))
        tree = sha256(b"tree %d" % number)
        first = Head(catalogue, kid, 1, 1, None, 1, tree, None, now, None)
        return sign("head", encode_head(first), [key])

    return [head(number) for number in range(count)]


def announcement(heads: Sequence[Signed], size: int = 1) -> bytes:
    return encode_announcement(Announcement(tuple(AnnouncedHead(h, size, ()) for h in heads)))
