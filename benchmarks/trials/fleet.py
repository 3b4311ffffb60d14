"""Two dozen peers of ours, each a process as a person would run it, and what they tell.

Each dials six others around a ring and is dialled by as many: twelve connections, as a peer that
searches for company wants (`CONNECTIONS_WANTED`), and the same ones in every run. Linux only: the
CPU-seconds of a process come from /proc.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from benchmarks.trials.writers import Step, Writer
from meshnode import config as configuration
from meshnode.cli.peer import make_home
from meshnode.config import OFF, Config, HttpSettings, NetworkSettings, PayloadSettings
from meshnode.control import Message
from meshnode.core.identifiers import catalogue_text
from meshnode.demo.federation import free_ports
from meshnode.demo.processes import PeerProcess, all_stopped
from meshnode.demo.relay import Relay

PEERS: Final = 24
DIALLED: Final = (1, 2, 4, 7, 9, 11)  # so many places further around the ring
DEGREE: Final = 2 * len(DIALLED)
READY_SECONDS_MAX: Final = 600.0  # starts cost seconds of processor time each
_STARTED_AT_ONCE_MAX: Final = 2
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")

Link = tuple[int, int]  # who dials whom


def links() -> Iterator[Link]:
    """Yield every connection of the ring."""
    for number in range(PEERS):
        for further in DIALLED:
            yield number, (number + further) % PEERS


@dataclass(slots=True)
class Arrivals:
    """At which second of trio's clock each peer had each message, whatever a message is.

    Invariant: the first arrival counts.
    """

    seconds: dict[object, dict[int, float]] = field(default_factory=dict)
    _more: trio.Event = field(default_factory=trio.Event)

    def note(self, message: object, peer: int) -> None:
        self.seconds.setdefault(message, {}).setdefault(peer, trio.current_time())
        self._more.set()
        self._more = trio.Event()

    def missing(self, messages: Sequence[object], peers: int = PEERS) -> int:
        return sum(peers - len(self.seconds.get(each, ())) for each in messages)

    async def until_all(self, messages: Sequence[object], seconds_max: float) -> None:
        """Wait until every peer has all of these, or the time is over."""
        with trio.move_on_after(seconds_max):
            while self.missing(messages):
                await self._more.wait()


@dataclass(slots=True)
class Fleet:
    """The peers by number, the writer of each, and the relay of each link if there are relays."""

    peers: list[PeerProcess]
    ids: list[str]
    ports: list[int]
    writers: list[Writer]
    relays: dict[Link, Relay] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)
    _seqs: dict[tuple[int, str], int] = field(default_factory=dict)  # of peer and log

    async def publish(self, number: int, size_bytes: int) -> object:
        """Sign a head at a peer and submit it; return its name among the arrivals."""
        writer = self.writers[number]
        step = writer.sign(size_bytes)
        await self.peers[number].control.ask("submit", **_submission(writer, step))
        return writer.kid.hex(), step.seq

    def cpu_seconds(self) -> float:
        """Return what all peers and their children have used so far."""
        return sum(cpu_seconds_of(peer.pid) for peer in self.peers if peer.pid is not None)

    def sent_bytes(self) -> list[int]:
        """Return what each peer has sent into the relays, before TCP and IP."""
        sent = [0] * len(self.peers)
        for (dialler, dialled), relay in self.relays.items():
            sent[dialler] += relay.forth.sent_bytes
            sent[dialled] += relay.back.sent_bytes
        return sent

    async def watch(
        self, number: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Note each head as the peer says that it has it."""
        async with aclosing(self.peers[number].control.follow("events")) as messages:
            async for message in messages:
                match message["event"]:
                    case {"what": "watching"}:
                        task_status.started()
                    case {"what": "head adopted", "writer": writer, "seq": seq}:
                        for each in range(self._seqs.get((number, writer), 0) + 1, seq + 1):
                            self.arrivals.note((writer, each), number)
                        self._seqs[number, writer] = seq
                    case _:
                        pass


@asynccontextmanager
async def running(folder: Path, *, relayed: bool) -> AsyncIterator[Fleet]:
    """Run a fleet that follows its own catalogues and is watched, while the block runs."""
    fleet = _planned(folder)
    async with all_stopped(fleet.peers), trio.open_nursery() as nursery:
        if relayed:
            for dialler, dialled in links():
                relay = Relay(("127.0.0.1", fleet.ports[dialled]))
                await nursery.start(relay.run)
                fleet.relays[dialler, dialled] = relay
        with trio.fail_after(READY_SECONDS_MAX):
            await _start(fleet)
        for number in range(PEERS):
            await nursery.start(fleet.watch, number)
        yield fleet
        nursery.cancel_scope.cancel()


def cpu_seconds_of(pid: int) -> float:
    """Return what a process has used and its children, also those that have ended."""
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    children = (process / f"task/{pid}/children").read_text(encoding="ascii").split()
    own = sum(map(int, fields[11:15])) / _TICKS_A_SECOND
    return own + sum(cpu_seconds_of(int(child)) for child in children)


def _planned(folder: Path) -> Fleet:
    peers = [PeerProcess(f"peer-{number}", folder / f"peer-{number}") for number in range(PEERS)]
    ids = [str(make_home(peer.home)) for peer in peers]
    writers = [Writer(peer.name) for peer in peers]
    return Fleet(peers, ids, free_ports(PEERS), writers)


async def _start(fleet: Fleet) -> None:
    for number, peer in enumerate(fleet.peers):
        settings = configuration.to_toml(_settings(fleet, number))
        (peer.home / configuration.FILE_NAME).write_text(settings)
    limiter = trio.CapacityLimiter(_STARTED_AT_ONCE_MAX)
    async with trio.open_nursery() as nursery:
        for peer in fleet.peers:
            nursery.start_soon(_start_one, fleet, peer, limiter)
    for peer in fleet.peers:
        await peer.until(partial(_is_connected, DEGREE), READY_SECONDS_MAX)


async def _start_one(fleet: Fleet, peer: PeerProcess, limiter: trio.CapacityLimiter) -> None:
    async with limiter:
        await peer.start()
        for writer in fleet.writers:
            name, roots = catalogue_text(writer.catalogue), [writer.raw_root.hex()]
            await peer.control.ask("follow", catalogue=name, roots=roots)


def _is_connected(degree: int, status: Message) -> bool:
    return bool(status["connections"] >= degree)


def _settings(fleet: Fleet, number: int) -> Config:
    """Nobody asks for more addresses: the links are those of the ring."""
    seeds = []
    for further in DIALLED:
        other = (number + further) % PEERS
        relay = fleet.relays.get((number, other))
        port = relay.port if relay else fleet.ports[other]
        seeds.append(f"/ip4/127.0.0.1/tcp/{port}/p2p/{fleet.ids[other]}")
    listen = f"/ip4/127.0.0.1/tcp/{fleet.ports[number]}"
    return Config(
        network=NetworkSettings(listen=(listen,), seeds=tuple(seeds), discover=False),
        payload=PayloadSettings(listen="127.0.0.1:0"),
        http=HttpSettings(listen=OFF),
    )


def _submission(writer: Writer, step: Step) -> dict[str, object]:
    return {
        "catalogue": catalogue_text(writer.catalogue),
        "heads": [step.head.hex()],
        "first": step.first,
        "entries": [entry.hex() for entry in step.entries],
    }
