"""The online half of a peer: the mesh, the requests over it, and the payload engine."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from meshnode.config import OFF, Config
from meshnode.core.effects import CallHolder, FetchObject, Request
from meshnode.core.events import Event, HolderCalled, ObjectStored
from meshnode.core.identifiers import Digest, PeerId
from meshnode.core.mirror_health import Word, words
from meshnode.core.node import Node
from meshnode.core.peer_book import PeerBook
from meshnode.core.signing import public_key
from meshnode.core.verdicts import Topic, Verdict
from meshnode.runtime.clock import unix_now
from meshnode.runtime.effects import Tell
from meshnode.runtime.home import Home
from meshnode.runtime.http.bridge import Bridge
from meshnode.runtime.index.index import Index
from meshnode.runtime.keys import load_or_create_key
from meshnode.runtime.network.arrivals import Arrivals
from meshnode.runtime.network.contacts import Contacts
from meshnode.runtime.network.dialback import Callback, Doorbell
from meshnode.runtime.network.discovery import Discovery
from meshnode.runtime.network.holder_calls import HolderCalls
from meshnode.runtime.network.mesh import Connection, Mesh, MeshSettings
from meshnode.runtime.network.outreach import Outreach
from meshnode.runtime.network.peer_file import read_reached, write_reached
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.payloads.limits import Limits, parse_hours
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.payloads.traffic import Traffic
from meshnode.runtime.pump import now
from meshnode.runtime.quota import Quota
from meshnode.runtime.static_mirror.mirrors import Mirrors, no_peers
from meshnode.runtime.store import Store

INDEXED_FACTOR: Final = 4  # of a segment's bytes: itself, and its rows in the index
_OBJECT_BYTES: Final = 1 << 20  # the index grows by whole pages, and keeps a journal


@dataclass(frozen=True, slots=True)
class Network:
    """What a peer that is online has more than one that works offline."""

    mesh: Mesh | NoMesh
    requests: Requests
    arrivals: Arrivals
    torrents: Torrents
    bridge: Bridge
    quota: Quota
    outreach: Outreach | None
    doorbell: Doorbell | None
    discovery: Discovery | None
    calls: HolderCalls | None

    async def start(self, nursery: trio.Nursery) -> None:
        """Start the adapters; they listen when this returns."""
        await nursery.start(self.mesh.run)
        await nursery.start(self.bridge.run)
        await nursery.start(self.torrents.run)
        for service in (self.outreach, self.doorbell, self.discovery):
            if service is not None:
                nursery.start_soon(service.run)

    async def publish(self, raw: bytes, topic: Topic) -> None:
        await self.mesh.publish(raw, topic)

    async def call_holder(self, call: CallHolder) -> HolderCalled:
        if self.calls is None:
            return HolderCalled(call.peer, kept_word=False)
        return await self.calls.call(call)

    async def stop_payload(self, key: Digest, *, erase: bool) -> None:
        await self.torrents.stop(key, erase=erase)

    async def serve_payload(self, key: Digest) -> None:
        await self.torrents.resume(key)

    async def perform(self, request: Request) -> Event:
        """Ask a peer; an object is fetched only where there is room for it and its rows.

        Raises:
            StorageError: the disk refused, or the quota.
        """
        room = 0
        if isinstance(request, FetchObject):
            room = INDEXED_FACTOR * request.size_bytes + _OBJECT_BYTES
            await self.quota.reserve(request, room, is_payload=False)
        try:
            event = await self.requests.perform(request)
        finally:
            if room:
                self.quota.keep(request, 0)
        if isinstance(event, ObjectStored):
            self.arrivals.came(event.digest)
        return event


class NoMesh:
    """The mesh of a peer that speaks to web servers alone: it has no port and no connection."""

    heard = None
    inbound = None

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def publish(self, raw: bytes, topic: Topic) -> None:
        """Nobody hears."""

    async def hang_up(self, peer: PeerId) -> None:
        """Nobody is connected."""

    def addresses(self) -> tuple[str, ...]:
        return ()

    def connections(self) -> tuple[Connection, ...]:
        return ()

    def seen_at(self, peer: PeerId) -> list[str]:
        return []


def build_https_only(
    home: Home, config: Config, node: Node, store: Store, mirrors: Mirrors, quota: Quota
) -> Network:
    """Connect what reaches web servers alone: static mirrors, and mirrors of payloads."""
    torrents, bridge = _engine(home, config, quota, node, listens=False)
    requests = Requests(mirrors.routed(no_peers), store, list)
    return Network(
        NoMesh(), requests, Arrivals(node.expects), torrents, bridge, quota, None, None, None, None
    )


def _engine(
    home: Home, config: Config, quota: Quota, node: Node, *, listens: bool
) -> tuple[Torrents, Bridge]:
    payload = config.payload
    settings = TorrentSettings(
        listen=payload.listen if listens and payload.listen != OFF else None,
        limits=Limits(
            payload.download_bytes_per_second,
            payload.upload_bytes_per_second,
            parse_hours(payload.slow_hours),
            payload.slow_download_bytes_per_second,
            payload.slow_upload_bytes_per_second,
            payload.hold_bytes_per_second,
            payload.monthly_bytes_max,
        ),
        allow_local_addresses=payload.allow_local_addresses,
        scrub_bytes_per_second=payload.scrub_bytes_per_second,
        scrub_days=payload.scrub_days,
        near_mirrors=payload.near_mirrors,
    )
    rng = random.Random()  # noqa: S311 - jitter
    record = MirrorRecord(home.mirrors, unix_now, rng)
    bridge = Bridge(allow_local=payload.allow_local_addresses)
    traffic = Traffic(home.traffic, unix_now)
    # The engine would take a relative path for one below a folder of its own.
    own = public_key(load_or_create_key(home.identity))

    def hear(key: Digest) -> dict[Digest, Word]:
        return words(node.claims, own, unix_now(), key)

    directory = home.payloads.absolute()
    return Torrents(settings, directory, quota, record, bridge, traffic, hear), bridge


def build_network(
    home: Home,
    config: Config,
    identity: bytes,
    node: Node,
    store: Store,
    index: Index,
    mirrors: Mirrors,
    tell: Tell,
    pinned: Callable[[], Sequence[str]],
    quota: Quota,
    blocked: Container[PeerId],
) -> Network:
    """Connect the adapters that reach other machines to the node and the store.

    `identity` is the peer's Ed25519 seed of 32 bytes; `pinned` gives the addresses of the signed
    seed lists in force; `blocked` peers are not spoken to.

    Raises:
        ConfigError, UsageError: an address in the settings is none.
    """

    def judge(raw: bytes) -> Verdict:
        refusal = node.judge(raw, now())
        return refusal.verdict if refusal else Verdict.ACCEPT

    torrents, bridge = _engine(home, config, quota, node, listens=True)
    mesh: Mesh
    rng = random.Random()  # noqa: S311 - jitter, and whom to ask
    book = PeerBook(rng)
    read_reached(home.contacts, book)
    doorbell: Doorbell

    def own() -> list[str]:
        told = [address.split("/p2p/")[0] for address in mesh.addresses()]
        return list(dict.fromkeys([*doorbell.confirmed(), *told]))

    contacts = Contacts(identity, own, lambda peer: mesh.seen_at(peer), rng)
    callback = Callback(
        lambda peer: mesh.seen_at(peer), lambda peer, address: mesh.knock(peer, address)
    )

    def provider(key: bytes) -> int | None:
        served = torrents.serves(Digest(key)) and not node.withholds(Digest(key))
        return torrents.port or None if served else None

    async def withholds(digest: Digest) -> bool:
        return node.withholds(digest) or await trio.to_thread.run_sync(index.is_sealed, digest)

    arrivals = Arrivals(node.expects)
    serving = Serving(
        store,
        contacts.answer,
        provider,
        newest_roots=node.newest_roots,
        withholds=withholds,
        denies=node.denies,
        arrives=arrivals.wait,
        stretches=node.stretches,
        disclosure=node.disclosure,
        calls_back=callback.answer,
    )
    network = config.network
    meeting = MeshSettings(
        listen=network.listen,
        seeds=network.seeds,
        announce=network.announce,
        connections_per_network_max=network.connections_per_address,
    )
    mesh = Mesh(meeting, identity, judge, tell, serving.serve, blocked)
    requests = Requests(mirrors.routed(mesh.open_stream), store, contacts.own)
    doorbell = Doorbell(mesh, requests, rng)
    outreach = Outreach(mesh, book, pinned, partial(write_reached, home.contacts))
    discovery = Discovery(mesh, requests, contacts, book) if network.discover else None
    calls = HolderCalls(mesh)
    return Network(
        mesh, requests, arrivals, torrents, bridge, quota, outreach, doorbell, discovery, calls
    )
