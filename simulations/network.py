"""The simulated network: who is linked to whom, how long a message takes, what is cut.

A link has a latency of its own each way (log-normal over links), jitter a message, and each peer an
uplink of limited bandwidth for bulk answers. A connection takes some round trips to come up, and
pings keep it up. Messages travel on streams, so what is lost by chance
is sent again and comes later (`streams`); only a cut, or a peer that is down, takes a message away,
and whoever waits for it times out. Connections break a while after a cut and come back by
redialling after the heal, as the runtime's mesh does it. A hidden peer dials and cannot be dialled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from meshnode.core.identifiers import PeerId
from simulations.cuts import Cut
from simulations.settings import LinkModel
from simulations.streams import STALL_SECONDS_MAX, resends, stall_seconds
from simulations.world import Action, World

Pair = tuple[PeerId, PeerId]  # in the order of names
Notice = Callable[[PeerId, PeerId], None]

# What the engine of the mesh does: py-libp2p 0.8.1, bytes measured by `python -m benchmarks.wire`.
HANDSHAKE_ROUND_TRIPS = 6  # TCP; a header and noise; noise XX; a header and yamux
CONNECTION_BYTES = 2_400  # that each end sends for it
PING_BYTES = 370  # that each end sends for one ping: it has a stream of its own
PING_ROUND_TRIPS = 3
PING_PAUSE_SECONDS = 4.0  # of a peer that has pinged all its connections, one after the other


@dataclass(slots=True)
class Port:
    """Where one peer meets the network."""

    links: dict[PeerId, float] = field(default_factory=dict)  # latency in seconds, one way
    up: dict[PeerId, None] = field(default_factory=dict)
    powered: bool = True
    frozen: bool = False  # neither hears nor says anything, with its connections open
    hidden: bool = False
    uplink_free_at: float = 0.0
    bytes_sent: int = 0
    upkeep_bytes: float = 0.0  # of its connections, up to the second `counted_at`
    counted_at: float = 0.0


@dataclass(slots=True)
class Fate:
    """What happened to messages, for the proof that a fault was felt."""

    sent: int = 0
    bytes_sent: int = 0
    delayed: int = 0  # a segment was lost and sent again
    cut: int = 0  # by a partition, a peer that is down, or a stream that stood still too long


@dataclass(slots=True)
class _Flight:
    """A message on its way: tens of thousands at a time, each smaller so than as a closure."""

    network: Network
    source: PeerId
    target: PeerId
    arrive: Action
    lost: Action

    def __call__(self) -> None:
        self.network.land(self.source, self.target, self.arrive, self.lost)


class Network:
    """Invariant: a connection is up at both ends or at none.

    Args:
        connected: told of each end of a new connection: the peer there, and the other.
        disconnected: told the same of a connection that is gone, if the peer is powered.
    """

    def __init__(
        self, world: World, model: LinkModel, connected: Notice, disconnected: Notice
    ) -> None:
        self.fate = Fate()
        self._world = world
        self._model = model
        self._connected = connected
        self._disconnected = disconnected
        self._rng = world.fork_rng()
        self._ports: dict[PeerId, Port] = {}
        self._cut: Cut | None = None

    def plug(self, peer: PeerId) -> None:
        self._ports[peer] = Port()

    def link(self, a: PeerId, b: PeerId) -> None:
        """Let two peers know each other; they connect if one of them can be dialled."""
        one, other = self._ports[a], self._ports[b]
        if a == b or b in one.links or (one.hidden and other.hidden):
            return
        median = math.log(self._model.latency_seconds_median)
        latency = self._rng.lognormvariate(median, self._model.latency_sigma)
        slower = 1.0
        if self._model.asymmetry:
            slower += self._rng.random() * self._model.asymmetry
        one.links[b], other.links[a] = latency, latency * slower
        self._redial(a, b)

    def hide(self, peer: PeerId) -> None:
        """Let nobody dial this peer from now on."""
        self._ports[peer].hidden = True

    def peers_of(self, peer: PeerId) -> dict[PeerId, None]:
        return self._ports[peer].up

    def links(self) -> Iterator[tuple[PeerId, PeerId, float]]:
        """Yield each link once, with its latency from the first to the second in seconds."""
        for a, b in self._links():
            yield a, b, self._ports[a].links[b]

    def round_trip_seconds(self, a: PeerId, b: PeerId) -> float:
        """Return how long there and back takes on the link of two peers, without jitter."""
        return self._ports[a].links[b] + self._ports[b].links[a]

    def bytes_sent(self, peer: PeerId) -> int:
        """Return what a peer has sent in messages."""
        return self._ports[peer].bytes_sent

    def upkeep_bytes(self, peer: PeerId) -> int:
        """Return what a peer has sent beside messages, to keep its connections."""
        port = self._ports[peer]
        self._count_upkeep(port)
        return int(port.upkeep_bytes)

    # --- Messages ---------------------------------------------------------------------------------
    def send(
        self,
        source: PeerId,
        target: PeerId,
        size_bytes: int,
        arrive: Action,
        lost: Action,
        wait_seconds: float = 0.0,
    ) -> None:
        """Carry a small message: it arrives after the link's latency, or a cut takes it away.

        `wait_seconds` are spent beside: before it is sent, or before it is taken in.
        """
        self._carry(source, target, size_bytes, wait_seconds, arrive, lost)

    def send_bulk(
        self, source: PeerId, target: PeerId, size_bytes: int, arrive: Action, lost: Action
    ) -> None:
        """Carry a bulk answer, which also waits for its turn on the sender's uplink."""
        port, now = self._ports[source], self._world.now
        seconds = size_bytes / self._model.uplink_bytes_per_second
        port.uplink_free_at = max(now, port.uplink_free_at) + seconds
        self._carry(source, target, size_bytes, port.uplink_free_at - now, arrive, lost)

    def _carry(
        self,
        source: PeerId,
        target: PeerId,
        size_bytes: int,
        wait: float,
        arrive: Action,
        lost: Action,
    ) -> None:
        self.fate.sent += 1
        self.fate.bytes_sent += size_bytes
        port = self._ports[source]
        port.bytes_sent += size_bytes
        stall = self._stall_seconds(source, target, size_bytes)
        if stall > STALL_SECONDS_MAX or not self._is_open(source, target):
            self.fate.cut += 1
            lost()
        else:
            jitter = 1.0 + self._rng.random() * self._model.jitter
            delay = wait + port.links[target] * jitter + stall
            self._world.after(delay, _Flight(self, source, target, arrive, lost))

    def _stall_seconds(self, source: PeerId, target: PeerId, size_bytes: int) -> float:
        if not self._model.loss:
            return 0.0
        count = resends(self._rng.random(), size_bytes, self._model.loss)
        if not count:
            return 0.0
        self.fate.delayed += 1
        return stall_seconds(count, size_bytes, self.round_trip_seconds(source, target))

    def land(self, source: PeerId, target: PeerId, arrive: Action, lost: Action) -> None:
        """End the way of a message: it arrives, unless its connection is gone by now."""
        if self._is_open(source, target):
            arrive()
        else:
            self.fate.cut += 1
            lost()

    # --- Cuts -------------------------------------------------------------------------------------
    def split(self, cut: Cut) -> None:
        """Let nothing pass that the cut blocks; the ends notice after a while, if it severs."""
        self._cut = cut
        for a, b in self._links() if cut.severs else ():
            if not self._is_reachable(a, b) and b in self._ports[a].up:
                self._world.after(self._model.detect_seconds, partial(self._break, a, b))

    def heal(self) -> None:
        self._cut = None
        for a, b in self._links():
            self._redial(a, b)

    def power_off(self, peer: PeerId) -> None:
        """A peer dies; its connections are reset at the other end."""
        port = self._ports[peer]
        port.powered, port.frozen = False, False
        port.uplink_free_at = 0.0
        for other in list(port.up):
            self._break(peer, other)

    def power_on(self, peer: PeerId) -> None:
        self._ports[peer].powered = True
        for other in self._ports[peer].links:
            self._redial(peer, other)

    def freeze(self, peer: PeerId, *, frozen: bool) -> None:
        """Let a peer stand still, or go on; its connections stay up."""
        self._ports[peer].frozen = frozen

    def _break(self, a: PeerId, b: PeerId) -> None:
        """Tell both ends that the connection is gone, unless it works again by now."""
        port = self._ports[a]
        if b not in port.up or self._is_reachable(a, b):
            return
        self._count_upkeep(port, self._ports[b])
        del port.up[b], self._ports[b].up[a]
        for end, other in ((a, b), (b, a)):
            if self._ports[end].powered:
                self._disconnected(end, other)

    def _redial(self, a: PeerId, b: PeerId) -> None:
        seconds = self._rng.random() * self._model.redial_seconds_max
        seconds += HANDSHAKE_ROUND_TRIPS * self.round_trip_seconds(a, b)
        self._world.after(seconds, partial(self._connect, a, b))

    def _connect(self, a: PeerId, b: PeerId) -> None:
        if b in self._ports[a].up or not self._is_reachable(a, b):
            return
        one, other = self._ports[a], self._ports[b]
        self._count_upkeep(one, other)
        one.upkeep_bytes += CONNECTION_BYTES
        other.upkeep_bytes += CONNECTION_BYTES
        one.up[b] = other.up[a] = None
        self._connected(a, b)
        self._connected(b, a)

    def _count_upkeep(self, *ports: Port) -> None:
        """Account for the connections up to now, before one more is up or one less."""
        now = self._world.now
        for port in ports:
            ways = sum(port.links[other] for other in port.up)
            round_seconds = PING_PAUSE_SECONDS + 2 * PING_ROUND_TRIPS * ways
            pings = (now - port.counted_at) / round_seconds * len(port.up)
            port.upkeep_bytes += 2 * PING_BYTES * pings  # others ping it about as often
            port.counted_at = now

    def _is_open(self, a: PeerId, b: PeerId) -> bool:
        """Say whether a message gets through now."""
        one = self._ports[a]
        if b not in one.up or one.frozen or self._ports[b].frozen:
            return False
        cut = self._cut
        return cut is None or not cut.blocks(a, b)

    def _is_reachable(self, a: PeerId, b: PeerId) -> bool:
        """Say whether a connection holds: one that does not is broken after a while."""
        cut = self._cut
        powered = self._ports[a].powered and self._ports[b].powered
        return powered and (cut is None or not cut.severs or not cut.blocks(a, b))

    def _links(self) -> Iterator[Pair]:
        for a, port in self._ports.items():
            for b in port.links:
                if a < b:
                    yield a, b
