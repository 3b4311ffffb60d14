"""The mesh: a gossip message, and an object over a stream, beside the bare library under both.

Both ends, or all peers, live in one process on loopback: CPU-seconds are those of all of them. Our
adapter changes the library where it is imported, so that the sides of the bare library never do.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from benchmarks.measuring import Case, Work
from meshnode.core import events as ev
from meshnode.core.identifiers import Digest, PeerId, sha256

if TYPE_CHECKING:
    from meshnode.runtime.network.mesh import Mesh

PEERS: Final = 7  # each has the six others in its mesh
MESSAGES: Final = 200
MESSAGE_BYTES: Final = 2_000
PACE_SECONDS: Final = 0.02
ARRIVAL_SECONDS_MAX: Final = 60.0
OBJECT_BYTES: Final = 50 << 20
WRITE_BYTES: Final = 256 << 10
TOPIC: Final = "/meshnode/heads/1"
BARE: Final = TProtocol("/bare/1")

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
            mesh = Mesh(settings, secrets.token_bytes(32), _accept, heard.tell, _serve_nothing)
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
    host = _bare_host(create_new_key_pair(secrets.token_bytes(32)))
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

    async def tell(self, event: ev.Event) -> None:
        if isinstance(event, ev.AnnouncementReceived):
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


# --- An object over a stream ----------------------------------------------------------------------
def _stream(folder: Path) -> Work:
    content = os.urandom(OBJECT_BYTES)
    digest = sha256(content)
    (folder / "object").write_bytes(content)
    return lambda: trio.run(_ours_stream, folder, digest)


def _stream_bare(folder: Path) -> Work:
    (folder / "object").write_bytes(os.urandom(OBJECT_BYTES))
    return lambda: trio.run(_bare_stream, folder)


class Shelf:
    """One object on disk, as a `Library` and as an intake for its copy."""

    def __init__(self, folder: Path, digest: Digest) -> None:
        self._folder = folder
        self._digest = digest

    def heads(self, _catalogues: object) -> list[bytes]:
        return []

    def roots(self, _catalogue: object, _after: int) -> list[bytes]:
        return []

    def log(self, _log: object, _stretches: object) -> tuple[list[bytes], list[bytes]]:
        return [], []

    def open_object(self, digest: Digest) -> BinaryIO | None:
        return (self._folder / "object").open("rb") if digest == self._digest else None

    def partial(self, _digest: Digest) -> Path:
        return self._folder / "part"

    def complete(self, _digest: Digest, temporary: Path) -> None:
        temporary.rename(self._folder / "copy")

    def read_object(self, _digest: Digest) -> bytes | None:
        return None


async def _ours_stream(folder: Path, digest: Digest) -> int:
    from meshnode.runtime.network.mesh import Mesh, MeshSettings
    from meshnode.runtime.network.requests import Requests
    from meshnode.runtime.network.serving import Serving

    shelf = Shelf(folder, digest)
    serving = Serving(shelf, lambda _peer, _claimed: ((), ()), lambda _key: None)
    anywhere = MeshSettings(("/ip4/127.0.0.1/tcp/0",))
    async with trio.open_nursery() as nursery:
        holder = Mesh(anywhere, secrets.token_bytes(32), _accept, _hear_nothing, serving.serve)
        await nursery.start(holder.run)
        asker = Mesh(anywhere, secrets.token_bytes(32), _accept, _hear_nothing, _serve_nothing)
        await nursery.start(asker.run)
        await asker.dial(holder.addresses()[0])
        requests = Requests(asker.open_stream, shelf, lambda: ())
        event = await requests.perform(ev.FetchObject(holder.peer_id, digest, OBJECT_BYTES))
        assert event == ev.ObjectStored(digest), event
        nursery.cancel_scope.cancel()
    return OBJECT_BYTES >> 20


async def _bare_stream(folder: Path) -> int:
    """Write to a stream what is read from a file, and to a file what is read and hashed."""

    async def send(stream: INetStream) -> None:
        with (folder / "object").open("rb") as file:
            while part := file.read(WRITE_BYTES):
                await stream.write(part)
        await stream.close()

    hosts = [_bare_host(create_new_key_pair(secrets.token_bytes(32))) for _ in range(2)]
    anywhere = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    async with hosts[0].run(anywhere), hosts[1].run(anywhere):
        hosts[0].set_stream_handler(BARE, send)
        await hosts[1].connect(PeerInfo(hosts[0].get_id(), hosts[0].get_addrs()))
        stream = await hosts[1].new_stream(hosts[0].get_id(), [BARE])
        left, digest = OBJECT_BYTES, hashlib.sha256()
        with (folder / "copy").open("wb") as file:
            while left:
                part = await stream.read(WRITE_BYTES)
                digest.update(part)
                file.write(part)
                left -= len(part)
    return OBJECT_BYTES >> 20


def _bare_host(keys: object) -> IHost:
    noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)  # type: ignore[arg-type]
    return new_host(key_pair=keys, sec_opt={NOISE: noise})  # type: ignore[arg-type]


def _accept(_: bytes) -> ev.Verdict:
    return ev.Verdict.ACCEPT


async def _hear_nothing(_: ev.Event) -> None:
    """Nothing is said."""


async def _serve_nothing(_: PeerId, stream: object) -> None:
    """Nobody asks."""


CASES: Final = (
    Case(
        "message",
        f"gossip of 2 kB among {PEERS} peers, by message and peer",
        "message",
        _gossip,
        {"py-libp2p": _gossip_bare},
    ),
    Case(
        "stream",
        "an object of 50 MiB, hashed and kept, over one stream",
        "MiB",
        _stream,
        {"py-libp2p and SHA-256": _stream_bare},
    ),
)
