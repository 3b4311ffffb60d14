"""The real half: every peer a process of its own, every link a relay that takes its time.

The peers know one another through relays alone, one a link of the simulated topology, so that the
ways have the latencies of the scenario and a cut touches nobody but the links that it blocks.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from meshnode import config as configuration
from meshnode.config import OFF, Config, HttpSettings, NetworkSettings, PayloadSettings
from meshnode.control import Message
from meshnode.core.identifiers import PeerId
from meshnode.demo.federation import free_ports
from meshnode.demo.processes import PeerProcess, all_stopped
from meshnode.demo.relay import Relay
from meshnode.errors import StorageError
from simulations.calibration.account import Account, Totals
from simulations.faults import side_of
from simulations.run import Simulation
from simulations.scenario import Scenario
from simulations.timeline import Split
from simulations.workload import COLLECTION

STARTED_AT_ONCE_MAX: Final = 2  # a start takes seconds of processor time
LOOK_SECONDS: Final = 0.5
SETTLE_IN_SECONDS_MAX: Final = 600.0  # starts, connections, roots; dozens share a few processors


@dataclass(slots=True)
class RealMesh:
    """The processes by the names that the simulator gives them, and the relays by their ends."""

    peers: dict[PeerId, PeerProcess]
    relays: dict[tuple[PeerId, PeerId], Relay] = field(default_factory=dict)
    ports: dict[PeerId, int] = field(default_factory=dict)
    ids: dict[PeerId, str] = field(default_factory=dict)
    object_bytes: int = 0  # of all that was published
    account: Account = field(default_factory=Account)
    began: float = 0.0  # of the scenario, in seconds of trio's clock

    @property
    def now(self) -> float:
        """Return the second of the scenario."""
        return trio.current_time() - self.began

    async def until(self, second: float) -> None:
        await trio.sleep_until(self.began + second)

    async def totals(self) -> Totals:
        """Return what all peers have done so far: bytes as the relays saw them."""
        heard = [(await peer.control.ask("peers"))["gossip"] for peer in self.peers.values()]
        carried = [r.forth.sent_bytes + r.back.sent_bytes for r in self.relays.values()]
        return Totals(
            sum(carried),
            sum(each["messages"] for each in heard),
            sum(each["duplicates"] for each in heard),
        )


async def perform(
    scenario: Scenario, begin: float, end: float, directory: Path
) -> tuple[Account, Totals, int]:
    """Play the scenario with real peers.

    Returns:
        What was seen, what was done between two of its seconds, and the bytes of all objects.

    Raises:
        MeshnodeError: a peer or a command failed, or not all was everywhere in time.
    """
    async with _running(scenario, directory) as mesh, trio.open_nursery() as nursery:
        for name in mesh.peers:
            await nursery.start(_watch, mesh, name)
        await _follow_all(mesh, scenario)
        mesh.began = trio.current_time()
        nursery.start_soon(_cut_and_heal, mesh, scenario)
        for number in range(scenario.workload.institutions):
            nursery.start_soon(_publish_all, mesh, scenario, number)
        await mesh.until(begin)
        before = await mesh.totals()
        await mesh.until(end)
        after = await mesh.totals()
        await _until_everywhere(mesh, scenario, end + scenario.settle_seconds_max)
        nursery.cancel_scope.cancel()
    return mesh.account, after.since(before), mesh.object_bytes


async def _until_everywhere(mesh: RealMesh, scenario: Scenario, deadline: float) -> None:
    peers, heads = scenario.nodes, scenario.workload.institutions * scenario.workload.segments_each
    while not mesh.account.is_everywhere(peers, heads):
        if mesh.now > deadline:
            raise StorageError(
                f"after {mesh.now:.0f} s {len(mesh.account.heads)} of {heads} heads are published, "
                f"and {mesh.account.missing(peers)} heads and segments have not arrived somewhere",
                hint="give the machine less to do meanwhile, or the mesh fewer nodes",
            )
        await trio.sleep(LOOK_SECONDS)


# --- Building -------------------------------------------------------------------------------------
@asynccontextmanager
async def _running(scenario: Scenario, directory: Path) -> AsyncIterator[RealMesh]:
    """Run all processes and relays while the block runs."""
    model = Simulation(scenario, scenario.seed)
    mesh = RealMesh({name: PeerProcess(name, directory / name) for name in model.machines})
    mesh.ports = dict(zip(mesh.peers, free_ports(len(mesh.peers)), strict=True))
    async with trio.open_nursery() as nursery:
        for a, b, seconds in model.network.links():
            relay = Relay(("127.0.0.1", mesh.ports[b]), forth_seconds=seconds, back_seconds=seconds)
            await nursery.start(relay.run)
            mesh.relays[a, b] = relay
        async with all_stopped(list(mesh.peers.values())):
            with trio.fail_after(SETTLE_IN_SECONDS_MAX):
                await _start_all(mesh)
            yield mesh
        nursery.cancel_scope.cancel()


async def _start_all(mesh: RealMesh) -> None:
    for name, peer in mesh.peers.items():
        mesh.ids[name] = (await peer.command("init"))["peer"]
    for name, peer in mesh.peers.items():
        settings = configuration.to_toml(_settings(mesh, name))
        (peer.home / configuration.FILE_NAME).write_text(settings)
    limiter = trio.CapacityLimiter(STARTED_AT_ONCE_MAX)
    async with trio.open_nursery() as nursery:
        for peer in mesh.peers.values():
            nursery.start_soon(_start, peer, limiter)
    for name, peer in mesh.peers.items():
        degree = sum(name in ends for ends in mesh.relays)
        await peer.until(partial(_has_connections, degree), SETTLE_IN_SECONDS_MAX)


def _has_connections(degree: int, status: Message) -> bool:
    return bool(status["connections"] >= degree)


async def _start(peer: PeerProcess, limiter: trio.CapacityLimiter) -> None:
    async with limiter:
        await peer.start()


def _settings(mesh: RealMesh, name: PeerId) -> Config:
    """Nobody asks for more addresses: they would lead past the relays."""
    seeds = [
        f"/ip4/127.0.0.1/tcp/{relay.port}/p2p/{mesh.ids[b]}"
        for (a, b), relay in mesh.relays.items()
        if a == name
    ]
    return Config(
        network=NetworkSettings(
            listen=(f"/ip4/127.0.0.1/tcp/{mesh.ports[name]}",), seeds=tuple(seeds), discover=False
        ),
        payload=PayloadSettings(listen="127.0.0.1:0"),
        http=HttpSettings(listen=OFF),
    )


async def _follow_all(mesh: RealMesh, scenario: Scenario) -> None:
    """Make a catalogue at each publisher, follow all of them everywhere, wait for their roots."""
    catalogues = []
    for number, name in enumerate(list(mesh.peers)[: scenario.workload.institutions]):
        title = f"Institution {number + 1}"
        create = ("catalogue", "create", _catalogue(number), "--title", title, "--no-passphrase")
        catalogues.append((await mesh.peers[name].command(*create))["catalogue"])
    for peer in mesh.peers.values():
        for catalogue in catalogues:
            await peer.control.ask("follow", catalogue=catalogue)
    for peer in mesh.peers.values():
        await peer.until(_knows_all_roots, SETTLE_IN_SECONDS_MAX)


def _catalogue(number: int) -> str:
    return f"institution-{number + 1}"


def _knows_all_roots(status: Message) -> bool:
    return all(catalogue["root_version"] for catalogue in status["catalogues"])


# --- What happens ---------------------------------------------------------------------------------
async def _watch(
    mesh: RealMesh, name: PeerId, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Write down what a peer tells, at the second when it tells it."""
    async with aclosing(mesh.peers[name].control.follow("events")) as messages:
        async for message in messages:
            match message["event"]:
                case {"what": "watching"}:
                    task_status.started()
                case {"what": "head adopted", "writer": writer, "seq": seq}:
                    mesh.account.adopted(mesh.now, name, writer, seq)
                case {"what": "segment indexed", "segment": segment}:
                    mesh.account.shown(mesh.now, name, segment)
                case _:
                    pass


async def _cut_and_heal(mesh: RealMesh, scenario: Scenario) -> None:
    [fault] = scenario.faults
    assert isinstance(fault, Split)
    sides = side_of(fault, list(mesh.peers))
    crossing = [r for (a, b), r in mesh.relays.items() if sides[a] != sides[b]]
    await mesh.until(fault.at_seconds)
    for relay in crossing:
        relay.cut()
    await mesh.until(fault.until_seconds)
    for relay in crossing:
        relay.heal()


async def _publish_all(mesh: RealMesh, scenario: Scenario, number: int) -> None:
    """Publish a segment of a few items at each of the scenario's times, by the command line."""
    work, peer = scenario.workload, list(mesh.peers.values())[number]
    shift = work.interval_seconds * number / work.institutions
    for count in range(work.segments_each):
        file = peer.home.with_name(f"{peer.name}-{count}.ndjson")
        items = _items(number, count, work.segment_rows)
        file.write_text("".join(json.dumps(item) + "\n" for item in items))
        await mesh.until(work.start_seconds + shift + count * work.interval_seconds)
        done = await peer.command("publish", str(file), "--catalogue", _catalogue(number))
        mesh.object_bytes += done["size_bytes"]


def _items(publisher: int, publication: int, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        longitude, latitude = -100.0 + number / 10, 50.0 + publication / 10
        yield {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": f"tile-{publisher}-{publication}-{number}",
            "collection": COLLECTION,
            "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
            "bbox": [longitude, latitude, longitude, latitude],
            "properties": {"datetime": "2025-06-01T12:00:00Z"},
            "links": [{"rel": "collection", "href": "./collection.json"}],
            "assets": {},
        }
