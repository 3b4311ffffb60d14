"""This peer's place among the others: connections, gossip and streams over libp2p.

With `host`, `gossipsub`, `containment`, `notices`, `addresses` and `peer_records` the only code
that knows py-libp2p (0.8.1). Owns the host and replaces it when it dies; decides nothing about what
peers say.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
import trio
from libp2p.abc import INetConn, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from meshnode.core.events import AnnouncementReceived, Event, PeerConnected, PeerDisconnected
from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Topic
from meshnode.errors import ConfigError, PeerError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.addresses import (
    PeerAddress,
    ip_of,
    own_addresses,
    parse_peer_address,
    port_of,
    require_free,
)
from meshnode.runtime.network.containment import MeshStream, bar
from meshnode.runtime.network.gossipsub import (
    HEADS_TOPIC,
    TOPICS,
    Gossip,
    Heard,
    Judge,
    Router,
)
from meshnode.runtime.network.host import (
    CLOSE_SECONDS_MAX,
    answers_at,
    close_host,
    new_mesh_host,
)
from meshnode.runtime.network.inbound import CONNECTIONS_PER_NETWORK_MAX, Inbound
from meshnode.runtime.network.notices import Notifee
from meshnode.runtime.network.streams import Stream

SYNC_PROTOCOL: Final = TProtocol("/meshnode/sync/1")
REDIAL_SECONDS: Final = 1.5  # a seed that comes up is reached within 3 s, jitter and dial included
DIAL_SECONDS_MAX: Final = 5.0
PUBLISH_SECONDS: Final = 0.1  # between two of our messages: of a tight burst most are lost
GRAFT_SECONDS_MAX: Final = 10.0
RESTART_SECONDS: Final = 1.0

_log = structlog.get_logger()
# The library calls its peers' mistakes errors, with tracebacks, on standard error.
logging.getLogger("libp2p").setLevel(logging.CRITICAL)

Tell = Callable[[Event], Awaitable[None]]
Serve = Callable[[PeerId, Stream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Multiaddrs: `listen` and `announce` (told instead, if any) without, `seeds` with a peer."""

    listen: tuple[str, ...]
    seeds: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    heartbeat_seconds: float = 1.0
    redial_seconds: float = REDIAL_SECONDS
    connections_per_network_max: int = CONNECTIONS_PER_NETWORK_MAX


@dataclass(frozen=True, slots=True)
class Connection:
    """A peer we are connected to; `address` is where it is, or where it called from."""

    peer: PeerId
    address: str
    outbound: bool
    since_unix: int


@dataclass(frozen=True, slots=True)
class _Host:
    """A host while it lives."""

    host: BasicHost
    swarm: Swarm
    gossip: Gossip


class Mesh:
    """The network as the rest of the peer sees it.

    Args:
        identity: Ed25519 seed, 32 bytes; the peer id follows from it.
        judge: gives the verdict on gossip; must not block.
        tell: takes PeerConnected, PeerDisconnected, AnnouncementReceived (accepted gossip, and
            rejected gossip, so that its forwarder is blamed).
        serve: answers one stream of another peer.
        blocked: peers that are neither called nor heard.

    Raises:
        ConfigError, UsageError: an address in the settings is none.
    """

    def __init__(
        self,
        settings: MeshSettings,
        identity: bytes,
        judge: Judge,
        tell: Tell,
        serve: Serve,
        blocked: Container[PeerId] = (),
    ) -> None:
        self._settings = settings
        self._seeds = [parse_peer_address(seed) for seed in settings.seeds]
        self._keys = create_new_key_pair(identity)
        self._judge = judge
        self._tell = tell
        self._serve = serve
        self._blocked = blocked
        self._listen = settings.listen  # ports as resolved, once it has listened
        self._live: _Host | None = None
        self._since: dict[PeerId, int] = {}  # connected peers
        self._dialling: dict[PeerId, None] = {}
        self._next_publish = 0.0
        self._publishing = trio.Lock()
        self._rng = random.Random()  # noqa: S311 - jitter
        self.heard = Heard()
        self.inbound = Inbound(settings.connections_per_network_max)
        for seed in self._seeds:
            self.inbound.know(ip_of(seed.text))
        self.peer_id = PeerId(str(ID.from_pubkey(self._keys.public_key)))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be part of the mesh until cancelled; `started` when it listens.

        Raises:
            ConfigError: a port cannot be listened on (only before it has started).
        """
        require_free(self._settings.listen)
        listening = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._supervise, listening)
            await listening.wait()
            task_status.started()

    def addresses(self) -> tuple[str, ...]:
        """Return where this peer can be dialled, each with /p2p/<peer id>."""
        texts = self._settings.announce or [
            own for text in self._listen for own in own_addresses(text)
        ]
        return tuple(f"{text.split('/p2p/')[0]}/p2p/{self.peer_id}" for text in texts)

    def connections(self) -> tuple[Connection, ...]:
        """Return the peers connected now, one connection each."""
        if self._live is None:
            return ()
        oldest = [conns[0] for conns in self._live.swarm.get_connections_map().values() if conns]
        return tuple(self._describe(conn) for conn in oldest)

    async def publish(self, raw: bytes, topic: Topic = Topic.HEADS) -> None:
        """Gossip a message; while the host is down it is lost, and sync makes up for it."""
        async with self._publishing:
            await trio.sleep_until(self._next_publish)
            self._next_publish = trio.current_time() + PUBLISH_SECONDS
            if self._live is not None:
                await self._live.gossip.publish(topic.value, raw)

    async def until_heard_by(self, peer: PeerId) -> None:
        """Wait until what is published goes to this connected peer directly.

        Raises:
            PeerError: it does not listen to us, or left.
        """
        if self._live is None:
            raise PeerError("the network is down")
        try:
            await self._live.gossip.wait_for_mesh(
                ID.from_string(peer), HEADS_TOPIC, GRAFT_SECONDS_MAX
            )
        except trio.TooSlowError as error:
            raise PeerError(f"{peer} takes no gossip of ours") from error

    async def open_stream(self, peer: PeerId) -> Stream:
        """Open a sync stream to a connected peer; raises PeerError."""
        if self._live is None or peer not in self._since:
            raise PeerError(f"not connected to {peer}")
        try:
            inner = await self._live.host.new_stream(ID.from_string(peer), [SYNC_PROTOCOL])
        except Exception as error:
            raise PeerError(f"no stream to {peer}: {error}") from error
        return MeshStream(inner)

    async def dial(self, address: str) -> None:
        """Connect to a peer, if it is not connected (or being dialled).

        Raises:
            UsageError: not the address of a peer.
            PeerError: it cannot be reached there, or somebody else is there.
        """
        await self._dial(parse_peer_address(address))

    async def hang_up(self, peer: PeerId) -> None:
        """Close all connections to a peer."""
        for conn in self._connections_to(peer):
            with trio.move_on_after(CLOSE_SECONDS_MAX):
                await conn.close()

    def seen_at(self, peer: PeerId) -> list[str]:
        """Return the addresses of the connections to a peer, none if it is not connected."""
        return [self._describe(conn).address for conn in self._connections_to(peer)]

    def ports(self) -> list[int]:
        """Return the TCP ports of the addresses that this peer tells, each once."""
        return list(dict.fromkeys(map(port_of, self.addresses())))

    async def knock(self, peer: PeerId, address: str) -> bool:
        """Call an address beside all connections and hang up; say whether this peer answered."""
        if self._live is None:
            return False
        with trio.move_on_after(DIAL_SECONDS_MAX):
            return await answers_at(self._live.swarm, address, peer)
        return False

    # --- The host ---------------------------------------------------------------------------------
    async def _supervise(self, listening: trio.Event) -> None:
        while True:
            try:
                await self._run_host(listening)
            except Exception as error:
                if not listening.is_set():
                    raise ConfigError(f"cannot start the network: {error}") from error
                _log.exception("the libp2p host died and is started again")
            finally:
                await self._forget_connections()
            await trio.sleep(RESTART_SECONDS)

    async def _run_host(self, listening: trio.Event) -> None:
        """Keep one host until cancelled. It is shielded: a host that is cancelled in the middle of
        things leaves its sockets open, so that it is asked to stop instead.
        """
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._host_until, stop, listening)
            try:
                await trio.sleep_forever()
            finally:
                stop.set()

    async def _host_until(self, stop: trio.Event, listening: trio.Event) -> None:
        with trio.CancelScope(shield=True) as scope:
            async with self._hosted(), trio.open_nursery() as nursery:
                listening.set()
                nursery.start_soon(self._keep_seeds)
                await stop.wait()
                nursery.cancel_scope.cancel()
                scope.deadline = trio.current_time() + CLOSE_SECONDS_MAX

    @asynccontextmanager
    async def _hosted(self) -> AsyncIterator[None]:
        router = Router(self._settings.heartbeat_seconds)
        host, swarm = new_mesh_host(self._keys, self._listen, self._settings.announce, self.inbound)
        bar(swarm, self._blocked)
        swarm.register_notifee(Notifee(self._connected, self._disconnected))
        host.set_stream_handler(SYNC_PROTOCOL, self._answer)
        gossip = Gossip(host, router, self._judge, self._hear, self.heard)
        async with (
            host.run([Multiaddr(text) for text in self._listen]),
            background_trio_service(gossip),
            background_trio_service(router),
        ):
            try:
                await gossip.wait_until_ready()
                for topic in TOPICS:
                    await gossip.subscribe(topic)
                self._resolve(host)
                self._live = _Host(host, swarm, gossip)
                yield
            finally:
                self._live = None
                await close_host(host, swarm)
                gossip.seen_messages.stop()

    def _resolve(self, host: BasicHost) -> None:
        """Keep the ports that the system chose: a host that is started again takes the same."""
        bound = [str(address) for address in host.get_transport_addrs()]
        if len(bound) < len(self._listen):
            raise ConfigError(f"cannot listen on {', '.join(self._listen)}")
        self._listen = tuple(bound)

    # --- Connections ------------------------------------------------------------------------------
    async def _keep_seeds(self) -> None:
        async with trio.open_nursery() as nursery:
            for seed in self._seeds:
                nursery.start_soon(self._keep, seed)

    async def _keep(self, seed: PeerAddress) -> None:
        """Stay connected to a seed, for as long as it takes."""
        while True:
            try:
                await self._dial(seed)
            except PeerError as error:
                _log.debug("a seed is away", address=seed.text, reason=str(error))
            await trio.sleep(self._settings.redial_seconds * self._rng.uniform(0.7, 1.3))

    async def _dial(self, target: PeerAddress) -> None:
        if target.peer in self._blocked:
            raise PeerError(f"{target.peer} is blocked")
        known = target.peer == self.peer_id or target.peer in self._since
        if self._live is None or known or target.peer in self._dialling:
            return
        self._dialling[target.peer] = None
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                await self._live.swarm.dial_addr(Multiaddr(target.text), target.id)
            for conn in self._connections_to(target.peer):
                self.inbound.know(ip_of(self._describe(conn).address))
        except Exception as error:
            raise PeerError(f"{target.text} cannot be reached: {error}") from error
        finally:
            del self._dialling[target.peer]

    async def _connected(self, peer: PeerId) -> None:
        if peer not in self._since:
            self._since[peer] = unix_now()
            await self._tell(PeerConnected(peer))

    async def _disconnected(self, peer: PeerId) -> None:
        if self._live is not None and self._connections_to(peer):
            self._live.gossip.renew(ID.from_string(peer))
        elif peer in self._since:
            del self._since[peer]
            await self._tell(PeerDisconnected(peer))

    async def _forget_connections(self) -> None:
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            for peer in tuple(self._since):
                await self._disconnected(peer)

    def _connections_to(self, peer: PeerId) -> list[INetConn]:
        if self._live is None:
            return []
        return self._live.swarm.get_connections(ID.from_string(peer))

    def _describe(self, conn: INetConn) -> Connection:
        peer = PeerId(str(conn.muxed_conn.peer_id))
        addresses = conn.get_transport_addresses()
        return Connection(
            peer=peer,
            address=str(addresses[0]) if addresses else "",
            outbound=str(getattr(conn, "direction", "")).lower().endswith("outbound"),
            since_unix=self._since.get(peer, unix_now()),
        )

    # --- What peers send --------------------------------------------------------------------------
    async def _hear(self, forwarder: ID, raw: bytes) -> None:
        await self._tell(AnnouncementReceived(PeerId(str(forwarder)), raw))

    async def _answer(self, stream: INetStream) -> None:
        await self._serve(PeerId(str(stream.muxed_conn.peer_id)), MeshStream(stream))
