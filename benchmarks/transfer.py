"""Objects over streams: one that is large, and many small ones, beside the bare library.

Both ends live in one process on loopback: CPU-seconds are those of both. Our adapter changes the
library where it is imported, so that the side of the bare library never does.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from benchmarks.hosts import accept, bare_host, hear_nothing, serve_nothing
from benchmarks.measuring import Case, Work
from meshnode.core.effects import FetchObject
from meshnode.core.events import ObjectStored
from meshnode.core.identifiers import Digest, PeerId, sha256

if TYPE_CHECKING:
    from meshnode.runtime.network.requests import Requests

OBJECT_BYTES: Final = 50 << 20
SMALL_BYTES: Final = 17_000  # a segment of a hundred small items
SMALL_COUNT: Final = 1_000
AT_ONCE: Final = 16  # as many as a node fetches from one peer
WRITE_BYTES: Final = 256 << 10
BARE: Final = TProtocol("/bare/1")


# --- The data -------------------------------------------------------------------------------------
class Shelf:
    """Objects of one size on disk, as a `Library` and as an intake for their copies."""

    def __init__(self, folder: Path, size_bytes: int, count: int) -> None:
        self._held, self._copies = folder / "held", folder / "copies"
        self.size_bytes = size_bytes
        self.digests: list[Digest] = []
        for path in (self._held, self._copies):
            path.mkdir()
        for _ in range(count):
            content = os.urandom(size_bytes)
            self.digests.append(sha256(content))
            (self._held / self.digests[-1].hex()).write_bytes(content)

    @property
    def paths(self) -> list[Path]:
        return [self._held / digest.hex() for digest in self.digests]

    def heads(self, _catalogues: object) -> list[bytes]:
        return []

    def roots(self, _catalogue: object, _after: int) -> list[bytes]:
        return []

    def log(self, _log: object, _stretches: object) -> tuple[list[bytes], list[bytes]]:
        return [], []

    def open_object(self, digest: Digest) -> BinaryIO | None:
        try:
            return (self._held / digest.hex()).open("rb")
        except FileNotFoundError:
            return None

    def partial(self, digest: Digest) -> Path:
        return self._copies / f"{digest.hex()}.part"

    def complete(self, digest: Digest, temporary: Path) -> None:
        temporary.rename(self._copies / digest.hex())

    def read_object(self, _digest: Digest) -> bytes | None:
        return None


def _large(folder: Path) -> Shelf:
    return Shelf(folder, OBJECT_BYTES, 1)


def _small(folder: Path) -> Shelf:
    return Shelf(folder, SMALL_BYTES, SMALL_COUNT)


# --- Ours -----------------------------------------------------------------------------------------
def _stream(folder: Path) -> Work:
    shelf = _large(folder)
    return lambda: trio.run(_fetch_all, shelf) * OBJECT_BYTES >> 20


def _objects(folder: Path) -> Work:
    shelf = _small(folder)
    return lambda: trio.run(_fetch_all, shelf)


async def _fetch_all(shelf: Shelf) -> int:
    async with _asking(shelf) as (requests, holder), trio.open_nursery() as nursery:
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def fetch(digest: Digest) -> None:
            async with limiter:
                request = FetchObject(holder, digest, shelf.size_bytes)
                event = await requests.perform(request)
                assert event == ObjectStored(digest), event

        for digest in shelf.digests:
            nursery.start_soon(fetch, digest)
    return len(shelf.digests)


@asynccontextmanager
async def _asking(shelf: Shelf) -> AsyncIterator[tuple[Requests, PeerId]]:
    """Run a peer that serves the shelf and one that asks; yield its requests, and whom to ask."""
    from meshnode.runtime.network.mesh import Mesh, MeshSettings
    from meshnode.runtime.network.requests import Requests
    from meshnode.runtime.network.serving import Serving

    serving = Serving(shelf, lambda _peer, _claimed: ((), ()), lambda _key: None)
    anywhere = MeshSettings(("/ip4/127.0.0.1/tcp/0",))
    async with trio.open_nursery() as nursery:
        holder = Mesh(anywhere, secrets.token_bytes(32), accept, hear_nothing, serving.serve)
        await nursery.start(holder.run)
        asker = Mesh(anywhere, secrets.token_bytes(32), accept, hear_nothing, serve_nothing)
        await nursery.start(asker.run)
        await asker.dial(holder.addresses()[0])
        yield Requests(asker.open_stream, shelf, lambda: ()), holder.peer_id
        nursery.cancel_scope.cancel()


# --- The bare library -----------------------------------------------------------------------------
def _stream_bare(folder: Path) -> Work:
    shelf = _large(folder)
    return lambda: trio.run(_bare_all, folder, shelf) * OBJECT_BYTES >> 20


def _objects_bare(folder: Path) -> Work:
    shelf = _small(folder)
    return lambda: trio.run(_bare_all, folder, shelf)


async def _bare_all(folder: Path, shelf: Shelf) -> int:
    """Write to one stream what is read from files, and to files what is read and hashed."""

    async def send(stream: INetStream) -> None:
        for path in shelf.paths:
            with path.open("rb") as file:
                while part := file.read(WRITE_BYTES):
                    await stream.write(part)
        await stream.close()

    hosts = [bare_host(create_new_key_pair(secrets.token_bytes(32))) for _ in range(2)]
    anywhere = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    async with hosts[0].run(anywhere), hosts[1].run(anywhere):
        hosts[0].set_stream_handler(BARE, send)
        await hosts[1].connect(PeerInfo(hosts[0].get_id(), hosts[0].get_addrs()))
        stream = await hosts[1].new_stream(hosts[0].get_id(), [BARE])
        for digest in shelf.digests:
            await _receive(stream, folder / digest.hex(), shelf.size_bytes)
    return len(shelf.digests)


async def _receive(stream: INetStream, path: Path, left: int) -> None:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while left:
            part = await stream.read(min(left, WRITE_BYTES))
            digest.update(part)
            file.write(part)
            left -= len(part)
    assert digest.hexdigest() == path.name


CASES: Final[Sequence[Case]] = (
    Case(
        "stream",
        "an object of 50 MiB, hashed and kept, over one stream",
        "MiB",
        _stream,
        {"py-libp2p and SHA-256": _stream_bare},
        by_clock=True,
    ),
    Case(
        "objects",
        "1,000 objects of 17 kB, asked for one by one, hashed and kept",
        "object",
        _objects,
        {"py-libp2p and SHA-256": _objects_bare},
    ),
)
