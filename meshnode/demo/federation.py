"""The actors of the demo: two institutions and a library, each a peer of its own process.

The library reaches the others through relays, so that it can be cut off without touching anybody.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from meshnode import config as configuration
from meshnode.config import OFF, Config, HttpSettings, LogSettings, NetworkSettings, PayloadSettings
from meshnode.control import Message
from meshnode.demo import sample
from meshnode.demo.processes import PeerProcess
from meshnode.demo.relay import Relay
from meshnode.errors import StorageError

UPLOAD_BYTES_PER_SECOND = 4 << 20  # so that the mirror and the peer are both needed
PORTS = range(20_000, 32_000)  # below those that the system lends to outgoing connections
PORT_TRIES_MAX = 200


@dataclass(slots=True)
class Institution:
    """A catalogue and the peer that publishes it."""

    peer: PeerProcess
    title: str
    collection: str
    catalogue: str = ""


@dataclass(slots=True)
class Federation:
    """The peers, where they listen, and the relays between the library and the others."""

    directory: Path
    imagery: Institution
    census: Institution
    library: PeerProcess
    ports: dict[str, int]
    addresses: dict[str, str] = field(default_factory=dict)  # multiaddrs by the peer's name
    relays: list[Relay] = field(default_factory=list)

    @property
    def institutions(self) -> list[Institution]:
        return [self.imagery, self.census]

    @property
    def peers(self) -> list[PeerProcess]:
        return [self.imagery.peer, self.census.peer, self.library]

    def cut(self) -> None:
        for relay in self.relays:
            relay.cut()

    def heal(self) -> None:
        for relay in self.relays:
            relay.heal()

    async def until_all(self, goal: dict[str, int], seconds_max: float) -> None:
        """Wait until every peer has indexed all that the heads of `goal` cover."""
        async with trio.open_nursery() as nursery:
            for peer in self.peers:
                nursery.start_soon(
                    peer.until, lambda status: has_reached(status, goal), seconds_max
                )

    async def heads(self) -> dict[str, int]:
        """Return the newest seq of each catalogue, as its own institution has it."""
        goal: dict[str, int] = {}
        for institution in self.institutions:
            status = await institution.peer.control.ask("status")
            goal |= {institution.catalogue: seq_of(status, institution.catalogue)}
        return goal


def plan(directory: Path) -> Federation:
    """Name everything; nothing is made yet."""
    names = ("imagery", "census", "library")
    imagery, census, library = (PeerProcess(name, directory / name) for name in names)
    return Federation(
        directory,
        Institution(imagery, "Sample Orthoimagery Office", sample.ORTHOIMAGERY),
        Institution(census, "Sample Census Office", sample.CENSUS),
        library,
        dict(zip(names, free_ports(len(names)), strict=True)),
    )


@asynccontextmanager
async def relays_running(federation: Federation) -> AsyncIterator[None]:
    """Run a relay to each institution while the block runs."""
    async with trio.open_nursery() as nursery:
        for institution in federation.institutions:
            relay = Relay(("127.0.0.1", federation.ports[institution.peer.name]))
            await nursery.start(relay.run)
            federation.relays.append(relay)
        yield
        nursery.cancel_scope.cancel()


async def settle_in(federation: Federation) -> None:
    """Make the data directories and settings, with the seed list; start the processes."""
    for peer in federation.peers:
        made = await peer.command("init")
        port = federation.ports[peer.name]
        federation.addresses[peer.name] = f"/ip4/127.0.0.1/tcp/{port}/p2p/{made['peer']}"
    for peer in federation.peers:
        settings = configuration.to_toml(_settings(federation, peer))
        (peer.home / configuration.FILE_NAME).write_text(settings)
    async with trio.open_nursery() as nursery:
        for peer in federation.peers:
            nursery.start_soon(peer.start)


def has_reached(status: Message, goal: dict[str, int]) -> bool:
    behind = any(seq_of(status, catalogue) < seq for catalogue, seq in goal.items())
    return not behind and status["backlog"] == 0


def seq_of(status: Message, catalogue: str) -> int:
    logs = (each["logs"] for each in status["catalogues"] if each["id"] == catalogue)
    return max((log["seq"] for each in logs for log in each), default=0)


def free_ports(number: int) -> list[int]:
    """Return loopback ports that nobody listens on; chosen at random, so two demos can run.

    Raises:
        StorageError: nearly all ports are taken.
    """
    found: list[int] = []
    for _ in range(PORT_TRIES_MAX):
        port = PORTS[secrets.randbelow(len(PORTS))]
        if port not in found and _is_free(port):
            found.append(port)
        if len(found) == number:
            return found
    raise StorageError("no free ports on 127.0.0.1", hint="end other programs, or try again")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _settings(federation: Federation, peer: PeerProcess) -> Config:
    """The library knows only the relays; the institutions know each other.

    Nobody asks for more addresses: they would lead past the relays, and a cut would be none.
    """
    is_library = peer is federation.library
    seeds = [federation.addresses[other.peer.name] for other in federation.institutions]
    if is_library:
        relayed = zip(seeds, federation.relays, strict=True)
        seeds = [_moved(address, relay.port) for address, relay in relayed]
    return Config(
        network=NetworkSettings(
            listen=(f"/ip4/127.0.0.1/tcp/{federation.ports[peer.name]}",),
            seeds=tuple(seeds),
            discover=False,
        ),
        payload=PayloadSettings(
            listen="127.0.0.1:0",
            upload_bytes_per_second=UPLOAD_BYTES_PER_SECOND,
            allow_local_addresses=True,
        ),
        http=HttpSettings(listen=OFF),
        log=LogSettings(level="debug"),
    )


def _moved(address: str, port: int) -> str:
    parts = address.split("/")
    parts[4] = str(port)
    return "/".join(parts)
