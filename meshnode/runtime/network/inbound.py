"""Who may come in: places for handshakes and for connections, by the address they come from.

Implements N-55 to N-57 of protocol/05-sync.md. A handshake costs us more than the caller, and who
calls is known only at its end, so that places are given by address before it begins. Bookkeeping
only: `meshnode.runtime.network.doorkeeper` reads and writes the sockets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

HANDSHAKES_PER_NETWORK_MAX: Final = 16  # a mesh behind one router may all come at once
HANDSHAKES_MAX: Final = 128  # of strangers, and as many again of networks that we know
IDLE_SECONDS_MAX: Final = 2.0  # a handshake that is silent for so long gives way to another
CONNECTIONS_PER_NETWORK_MAX: Final = 64  # unless the operator sets another number
KNOWN_MAX: Final = 1024  # networks remembered; the one reached longest ago is forgotten first
TROUBLES_MAX: Final = 256  # networks whose failures are counted each
TROUBLES_SHOWN_MAX: Final = 8
_IPV6_PREFIX: Final = 64  # one customer has at least so many addresses


@dataclass(slots=True)
class Counts:
    """What became of inbound connections since the start."""

    admitted: int = 0
    unfinished: int = 0  # handshakes that failed or took too long
    displaced: int = 0  # silent handshakes that gave way to another
    handshakes_refused: int = 0  # no place for one more handshake
    connections_refused: int = 0  # too many connections from one network


@dataclass(slots=True, eq=False)
class Handshake:
    """One that goes on; `heard_at` is the monotonic second at which the caller last said a thing.

    `give_up` ends it, so that its place is free.
    """

    network: str
    is_known: bool
    heard_at: float
    give_up: Callable[[], None]


@dataclass(slots=True)
class Inbound:
    """Invariant: no network has more handshakes than its limit, and there are at most
    `2 * HANDSHAKES_MAX`, whatever others do. Nobody is admitted to a network that has
    `connections_per_network_max` connections; handshakes that went on by then may still end well.
    """

    connections_per_network_max: int = CONNECTIONS_PER_NETWORK_MAX
    counts: Counts = field(default_factory=Counts)
    _handshakes: dict[Handshake, None] = field(default_factory=dict)
    _connections: dict[str, int] = field(default_factory=dict)
    _known: dict[str, None] = field(default_factory=dict)
    _troubles: dict[str, int] = field(default_factory=dict)

    def know(self, ip: str) -> None:
        """Remember an address at which this peer reached another: strangers take it no place."""
        network = origin_of(ip)
        self._known.pop(network, None)
        self._known[network] = None
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def begin(self, ip: str, now: float, give_up: Callable[[], None]) -> Handshake | None:
        """Return the place of one more handshake from there, None if there is none."""
        network = origin_of(ip)
        if self._connections.get(network, 0) >= self.connections_per_network_max:
            self.counts.connections_refused += 1
            self._turned_away(network)
            return None
        is_known = network in self._known
        if not self._has_room(network, is_known=is_known, now=now):
            self.counts.handshakes_refused += 1
            self._turned_away(network)
            return None
        handshake = Handshake(network, is_known, now, give_up)
        self._handshakes[handshake] = None
        return handshake

    def failed(self, handshake: Handshake) -> None:
        """Free the place of a handshake that came to nothing."""
        if handshake in self._handshakes:  # else it gave way to another, and was counted so
            del self._handshakes[handshake]
            self.counts.unfinished += 1
            self._turned_away(handshake.network)

    def connected(self, handshake: Handshake) -> None:
        """Turn the place of a handshake into one of a connection, until `ended`."""
        self._handshakes.pop(handshake, None)
        self.counts.admitted += 1
        self._connections[handshake.network] = self._connections.get(handshake.network, 0) + 1

    def ended(self, handshake: Handshake) -> None:
        """Free the place of a connection that began with this handshake."""
        self._connections[handshake.network] -= 1
        if not self._connections[handshake.network]:
            del self._connections[handshake.network]

    def describe(self) -> dict[str, Any]:
        """Return what there is and was, with the networks that were turned away most often."""
        worst = sorted(self._troubles.items(), key=lambda each: -each[1])[:TROUBLES_SHOWN_MAX]
        return {
            "handshakes": len(self._handshakes),
            "connections": sum(self._connections.values()),
            **asdict(self.counts),
            "most_turned_away": [{"network": network, "times": times} for network, times in worst],
        }

    def _has_room(self, network: str, *, is_known: bool, now: float) -> bool:
        pool = [each for each in self._handshakes if each.is_known == is_known]
        here = [each for each in pool if each.network == network]
        if len(here) >= HANDSHAKES_PER_NETWORK_MAX:
            return self._displace_idle(here, now)
        if len(pool) < HANDSHAKES_MAX:
            return True
        crowd = _greatest(pool)
        if len(crowd) > len(here) + 1:
            self._displace(min(crowd, key=lambda each: each.heard_at))
            return True
        return self._displace_idle(pool, now)

    def _displace_idle(self, handshakes: list[Handshake], now: float) -> bool:
        quietest = min(handshakes, key=lambda each: each.heard_at)
        if now - quietest.heard_at < IDLE_SECONDS_MAX:
            return False
        self._displace(quietest)
        return True

    def _displace(self, handshake: Handshake) -> None:
        del self._handshakes[handshake]
        self.counts.displaced += 1
        self._turned_away(handshake.network)
        handshake.give_up()

    def _turned_away(self, network: str) -> None:
        self._troubles[network] = self._troubles.pop(network, 0) + 1
        if len(self._troubles) > TROUBLES_MAX:
            del self._troubles[next(iter(self._troubles))]


def origin_of(ip: str) -> str:
    """Return what is counted as one: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ""  # all whose address is unknown share one place
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)


def _greatest(pool: list[Handshake]) -> list[Handshake]:
    """Return the handshakes of the network that has most of them."""
    by_network: dict[str, list[Handshake]] = {}
    for each in pool:
        by_network.setdefault(each.network, []).append(each)
    return max(by_network.values(), key=len)
