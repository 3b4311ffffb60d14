"""The mesh: a gossip message, beside the bare library under it.

All peers live in one process on loopback: CPU-seconds are those of all of them. Our
adapter changes the library where it is imported, so that the sides of the bare library never do.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from libp2p.abc import IHost
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from benchmarks.hosts import accept, bare_host, serve_nothing
from benchmarks.measuring import Case, Work
from meshnode.core.events import AnnouncementReceived, Event
from meshnode.core.identifiers import PeerId

if TYPE_CHECKING:
    from meshnode.runtime.network.mesh import Mesh

PEERS: Final = 7  # each has the six others in its mesh
MESSAGES: Final = 200
MESSAGE_BYTES: Final = 2_000
PACE_SECONDS: Final = 0.02
ARRIVAL_SECONDS_MAX: Final = 60.0
TOPIC: Final = "/meshnode/heads/1"

Publish = Callable[[bytes], Awaitable[None]]


# --- A gossip message -----------------------------------------------------------------------------
def _gossip(_: Path) -> Work:
    return lambda: trio.run(_ours_gossip)


def _gossip_bare(_: Path) -> Work:
    return lambda: trio.run(_bare_gossip)


async def _ours_gossip() -> int:
    from meshnode.runtime.network.mesh import Mesh, MeshSettings

    heard = Heard()
    async with trio.open_nursery() as nursery:
        meshes: list[Mesh] = []
        for _ in range(PEERS):
            seeds = tuple(mesh.addresses()[0] for mesh in meshes)
            settings = MeshSettings(("/ip4/127.0.0.1/tcp/0",), seeds)
            mesh = Mesh(settings, secrets.token_bytes(32), accept, heard.tell, serve_nothing)
            await nursery.start(mesh.run)
            meshes.append(mesh)
        with trio.fail_after(ARRIVAL_SECONDS_MAX):
            for mesh in meshes:
                for other in meshes:
                    if other is not mesh:
                        await _grafted(mesh, other.peer_id)
        await _publish_all([mesh.publish for mesh in meshes], heard)
        nursery.cancel_scope.cancel()
    return MESSAGES * PEERS


async def _grafted(mesh: Mesh, other: PeerId) -> None:
    while other not in [connection.peer for connection in mesh.connections()]:  # noqa: ASYNC110
        await trio.sleep(0.05)
    await mesh.until_heard_by(other)


async def _bare_gossip() -> int:
    heard = Heard()
    async with trio.open_nursery() as nursery:
        hosts: list[IHost] = []
        pubsubs: list[Pubsub] = []
        for _ in range(PEERS):
            host, pubsub = await nursery.start(_run_bare_peer)
            for other in hosts:
                await host.connect(PeerInfo(other.get_id(), other.get_addrs()))
            subscription = await pubsub.subscribe(TOPIC)
            nursery.start_soon(_listen, subscription.get, host, heard)
            hosts.append(host)
            pubsubs.append(pubsub)
        for pubsub in pubsubs:
            for host in hosts:
                if host is not pubsub.host:
                    await pubsub.wait_for_mesh(host.get_id(), TOPIC, ARRIVAL_SECONDS_MAX)
        await _publish_all([partial(pubsub.publish, TOPIC) for pubsub in pubsubs], heard)
        nursery.cancel_scope.cancel()
    return MESSAGES * PEERS


async def _run_bare_peer(task_status: trio.TaskStatus[tuple[IHost, Pubsub]]) -> None:
    """Run the library as it is, with the few settings without which its mesh does not form."""
    host = bare_host(create_new_key_pair(secrets.token_bytes(32)))
    router = GossipSub(
        protocols=[PROTOCOL_ID_V11],
        degree=6,
        degree_low=4,
        degree_high=10,
        heartbeat_interval=1,
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
    )
    pubsub = Pubsub(host, router, strict_signing=True)
    async with (
        host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        task_status.started((host, pubsub))
        await trio.sleep_forever()


async def _listen(get: Callable[[], Awaitable[object]], host: IHost, heard: Heard) -> None:
    own = host.get_id().to_bytes()
    while True:
        message = await get()
        if getattr(message, "from_id", own) != own:
            heard.count()


class Heard:
    """Counts what was heard by all, and lets wait for it."""

    def __init__(self) -> None:
        self._number = 0
        self._more = trio.Event()

    async def tell(self, event: Event) -> None:
        if isinstance(event, AnnouncementReceived):
            self.count()

    def count(self) -> None:
        self._number += 1
        self._more.set()
        self._more = trio.Event()

    async def until(self, number: int) -> None:
        with trio.fail_after(ARRIVAL_SECONDS_MAX):
            while self._number < number:
                await self._more.wait()


async def _publish_all(publish: list[Publish], heard: Heard) -> None:
    for number in range(MESSAGES):
        await publish[number % PEERS](secrets.token_bytes(MESSAGE_BYTES))
        await heard.until((number + 1) * (PEERS - 1))
        await trio.sleep(PACE_SECONDS)


CASES: Final = (
    Case(
        "message",
        f"gossip of 2 kB among {PEERS} peers, by message and peer",
        "message",
        _gossip,
        {"py-libp2p": _gossip_bare},
    ),
)
