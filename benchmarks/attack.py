"""Honest news while a stranger floods: what a message costs the attacked, beside quiet.

Who publishes and who is attacked live in one process, whose CPU-seconds are measured; who attacks
is a process of its own (`python -m benchmarks.attack ADDRESS`), ended with the measurement. Every
message must be heard: one that is not fails the case.
"""

from __future__ import annotations

import itertools
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from benchmarks.measuring import Case, Work
from benchmarks.mesh import ARRIVAL_SECONDS_MAX, MESSAGE_BYTES, TOPIC, Heard
from meshnode.core.events import AnnouncementReceived, Event
from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Verdict

if TYPE_CHECKING:
    from meshnode.runtime.network.mesh import Mesh
    from meshnode.runtime.network.streams import Stream

HONEST: Final = 100  # messages
PACE_SECONDS: Final = 0.1  # ten a second, as a busy federation has them
ATTACKS_PER_SECOND: Final = 500
BATCH: Final = 25  # messages in one RPC
FORGED_BYTES: Final = 300
AGAIN_SECONDS: Final = 0.1  # until a stranger who was sent away is back
GOSSIP: Final = TProtocol("/meshsub/1.1.0")


# --- The attacked ---------------------------------------------------------------------------------
def _attacked(_: Path) -> Work:
    return lambda: trio.run(_news, True)


def _quiet(_: Path) -> Work:
    return lambda: trio.run(_news, False)


async def _news(is_attacked: bool) -> int:
    """Publish, and wait for each message; return how many were heard."""
    from meshnode.runtime.network.mesh import Mesh, MeshSettings

    news, unheard = News(), Heard()
    async with trio.open_nursery() as nursery:
        there = MeshSettings(("/ip4/127.0.0.1/tcp/0",))
        victim = Mesh(there, secrets.token_bytes(32), _judge, news.tell, _serve_nothing)
        await nursery.start(victim.run)
        [address] = victim.addresses()
        here = MeshSettings(("/ip4/127.0.0.1/tcp/0",), (address,))
        honest = Mesh(here, secrets.token_bytes(32), _judge, unheard.tell, _serve_nothing)
        await nursery.start(honest.run)
        with trio.fail_after(ARRIVAL_SECONDS_MAX):
            while not honest.connections():  # noqa: ASYNC110 - the mesh sets no event
                await trio.sleep(0.05)
            await honest.until_heard_by(victim.peer_id)
        with ExitStack() as stack:
            if is_attacked:
                stack.enter_context(_attacker_of(address))
                await _until_attacked(victim)
            for number in range(HONEST):
                await honest.publish(b"honest" + secrets.token_bytes(MESSAGE_BYTES))
                await news.honest.until(number + 1)
                await trio.sleep(PACE_SECONDS)
        nursery.cancel_scope.cancel()
    assert bool(news.forged) == is_attacked, "the attack is what was measured"
    return HONEST


class News:
    """What the attacked peer was told of: what is honest, and how much was forged."""

    def __init__(self) -> None:
        self.honest = Heard()
        self.forged = 0

    async def tell(self, event: Event) -> None:
        if isinstance(event, AnnouncementReceived) and not event.raw.startswith(b"honest"):
            self.forged += 1
        else:
            await self.honest.tell(event)


async def _until_attacked(victim: Mesh) -> None:
    with trio.fail_after(ARRIVAL_SECONDS_MAX):
        while len(victim.connections()) < 2:  # noqa: ASYNC110 - it sets no event
            await trio.sleep(0.05)


def _judge(raw: bytes) -> Verdict:
    return Verdict.ACCEPT if raw.startswith(b"honest") else Verdict.IGNORE


async def _serve_nothing(_peer: PeerId, stream: Stream) -> None:
    await stream.close()


@contextmanager
def _attacker_of(address: str) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.attack", address]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


# --- The attacker ---------------------------------------------------------------------------------
def main() -> None:
    """Flood the peer at the address that is named, until this process is ended."""
    trio.run(_flood, sys.argv[1])


async def _flood(address: str) -> None:
    keys = create_new_key_pair(secrets.token_bytes(32))
    host = new_host(key_pair=keys)
    target = info_from_p2p_addr(Multiaddr(address))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        while True:
            try:
                await host.connect(target)
                stream = await host.new_stream(target.peer_id, [GOSSIP])
                await _send_forgeries(stream, host.get_id().to_bytes())
            except Exception:  # noqa: S110 - sent away, as it should be: it comes again
                pass
            await trio.sleep(AGAIN_SECONDS)


async def _send_forgeries(stream: INetStream, author: bytes) -> None:
    """Send messages with signatures that nobody made."""
    numbers = itertools.count()
    while True:
        rpc = rpc_pb2.RPC()
        for number in itertools.islice(numbers, BATCH):
            message = rpc.publish.add(data=secrets.token_bytes(FORGED_BYTES), from_id=author)
            message.topicIDs.append(TOPIC)
            message.seqno = number.to_bytes(8, "big")
            message.signature = secrets.token_bytes(64)
        await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
        await trio.sleep(BATCH / ATTACKS_PER_SECOND)


CASES: Final = (
    Case(
        "attack",
        f"{HONEST} honest messages while a stranger forges {ATTACKS_PER_SECOND} a second",
        "message",
        _attacked,
        {"quiet": _quiet},
        repeat=3,
    ),
)

if __name__ == "__main__":
    main()
