"""Two real peers on loopback: one publishes the catalogue `pair`, the other follows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from meshnode import config as configuration
from meshnode.config import OFF, Config, HttpSettings, NetworkSettings, PayloadSettings
from meshnode.demo.federation import free_ports, has_reached, seq_of
from meshnode.demo.processes import PeerProcess, all_stopped

SYNC_SECONDS_MAX = 120.0
UPLOAD_BYTES_PER_SECOND = 4 << 20  # slow enough that a download is seen while it goes on


@dataclass(frozen=True, slots=True)
class Pair:
    publisher: PeerProcess
    reader: PeerProcess
    catalogue: str

    async def start_again(self) -> None:
        """Start what does not run."""
        async with trio.open_nursery() as nursery:
            for peer in (self.publisher, self.reader):
                if not peer.is_running:
                    nursery.start_soon(peer.start)

    async def synchronised(self, seconds_max: float = SYNC_SECONDS_MAX) -> None:
        """Wait until the reader has indexed all that the publisher has signed."""
        status = await self.publisher.control.ask("status")
        goal = {self.catalogue: seq_of(status, self.catalogue)}
        await self.reader.until(lambda status: has_reached(status, goal), seconds_max)


@contextmanager
def publisher_and_reader(directory: Path) -> Iterator[Pair]:
    """Run both while the block runs; each test drives them from a trio loop of its own."""
    publisher, reader = (PeerProcess(name, directory / name) for name in ("publisher", "reader"))
    try:
        yield Pair(publisher, reader, trio.run(_settle_in, publisher, reader))
    finally:
        trio.run(_stop, publisher, reader)


async def _settle_in(publisher: PeerProcess, reader: PeerProcess) -> str:
    """Make and start both; return the catalogue's id."""
    seeds: tuple[str, ...] = ()
    for peer, port in zip((publisher, reader), free_ports(2), strict=True):
        made = await peer.command("init")
        address = f"/ip4/127.0.0.1/tcp/{port}"
        settings = configuration.to_toml(_settings(address, seeds))
        (peer.home / configuration.FILE_NAME).write_text(settings)
        seeds = (f"{address}/p2p/{made['peer']}",)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.start)
        nursery.start_soon(reader.start)
    create = ("catalogue", "create", "pair", "--title", "Pair", "--no-passphrase")
    catalogue: str = (await publisher.command(*create))["catalogue"]
    await reader.command("follow", catalogue)
    return catalogue


async def _stop(*peers: PeerProcess) -> None:
    async with all_stopped(list(peers)):
        pass


def _settings(address: str, seeds: tuple[str, ...]) -> Config:
    return Config(
        network=NetworkSettings(listen=(address,), seeds=seeds),
        payload=PayloadSettings(
            listen="127.0.0.1:0",
            upload_bytes_per_second=UPLOAD_BYTES_PER_SECOND,
            allow_local_addresses=True,
        ),
        http=HttpSettings(listen=OFF),
    )
