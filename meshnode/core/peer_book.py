"""The peer book: where peers may be dialled, and which of them to dial next.

Implements N-66 (protocol/05-sync.md). Addresses come from seed lists, from other peers, and from
connections that were made; those that were reached are worth keeping across restarts. Outbound
connections are spread over networks, so that whoever owns one network owns few of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final

from meshnode.core.events import Now
from meshnode.core.identifiers import PeerId

CONTACTS_MAX: Final = 1024  # some 200 bytes each; far more than are ever dialled
OF_NETWORK_MAX: Final = 64  # contacts of one network: a liar fills no more of the book
SHARE_MAX: Final = 4  # outbound connections into one network: a third of those wanted
KEPT_SECONDS: Final = 30 * 86_400  # a peer that was not reached for so long has moved
FAILURES_MAX: Final = 6  # of an address that was never reached
RETRY_SECONDS: Final = 5.0  # doubled at each failure
RETRY_SECONDS_MAX: Final = 3600.0


@dataclass(slots=True)
class Contact:
    """One address of a peer. `reached` in unix seconds, `retry` monotonic."""

    peer: PeerId
    address: str
    network: str
    is_pinned: bool = False  # from a signed seed list: not forgotten for failures
    reached: int | None = None
    failures: int = 0
    retry: float = 0.0


@dataclass(slots=True)
class PeerBook:
    """Invariant: at most CONTACTS_MAX addresses, OF_NETWORK_MAX of one network, pinned ones apart.

    Addresses are multiaddrs that end in /p2p/<peer id>.
    """

    rng: random.Random
    _contacts: dict[str, Contact] = field(default_factory=dict)  # by address, oldest first

    def learn(self, peer: PeerId, address: str, *, is_pinned: bool = False) -> None:
        """Take in an address; one more of a crowded network is passed over."""
        known = self._contacts.get(address)
        if known is not None:
            known.is_pinned = known.is_pinned or is_pinned
            return
        contact = Contact(peer, address, network_of(address), is_pinned)
        alike = sum(each.network == contact.network for each in self._contacts.values())
        if is_pinned or is_local(contact.network) or alike < OF_NETWORK_MAX:
            self._contacts[address] = contact
            self._make_room()

    def unpin(self, pinned: Iterable[str]) -> None:
        """Leave only these addresses pinned."""
        wanted = dict.fromkeys(pinned)
        for contact in self._contacts.values():
            contact.is_pinned = contact.address in wanted

    def was_reached(self, peer: PeerId, address: str, unix: int) -> None:
        """Note a connection that was made to an address."""
        self.learn(peer, address, is_pinned=False)
        if (contact := self._contacts.pop(address, None)) is not None:
            contact.reached, contact.failures, contact.retry = unix, 0, 0.0
            self._contacts[address] = contact  # last in order: forgotten last

    def has_failed(self, address: str, now: Now) -> None:
        """Note a dial that failed; the pauses grow, and whoever was never reached is forgotten."""
        contact = self._contacts.get(address)
        if contact is None:
            return
        contact.failures += 1
        pause = min(RETRY_SECONDS * 2.0 ** (contact.failures - 1), RETRY_SECONDS_MAX)
        contact.retry = now.monotonic + pause * self.rng.uniform(0.75, 1.25)
        is_hopeless = contact.reached is None and contact.failures >= FAILURES_MAX
        if is_hopeless and not contact.is_pinned:
            del self._contacts[address]

    def choose(
        self, connected: Mapping[PeerId, str], number: int, now: Now
    ) -> Sequence[tuple[PeerId, str]]:
        """Return at most `number` addresses to dial, of other peers than those connected.

        `connected` gives the address of each outbound connection, "" for an inbound one. Networks
        with few connections come first; one that has its share gets no more, but for local ones.
        """
        self._expire(now.unix)
        load: dict[str, int] = {}
        for address in connected.values():
            if address:
                network = network_of(address)
                load[network] = load.get(network, 0) + 1
        due = [c for c in self._contacts.values() if c.retry <= now.monotonic]
        self.rng.shuffle(due)
        due.sort(key=lambda contact: (not contact.is_pinned, contact.reached is None))
        return list(_spread(due, load, dict.fromkeys(connected), number))

    def kept(self) -> Iterator[tuple[PeerId, str, int]]:
        """Yield peer, address and last success of each address that was ever reached."""
        for contact in self._contacts.values():
            if contact.reached is not None:
                yield contact.peer, contact.address, contact.reached

    def __len__(self) -> int:
        return len(self._contacts)

    def _expire(self, unix: int) -> None:
        for contact in list(self._contacts.values()):
            if contact.reached is not None and abs(unix - contact.reached) > KEPT_SECONDS:
                if contact.is_pinned:
                    contact.reached = None
                else:
                    del self._contacts[contact.address]

    def _make_room(self) -> None:
        """Forget one address if there are too many: who was never reached first, then the oldest.

        Pinned ones stay: seed lists have bounds of their own.
        """
        if len(self._contacts) <= CONTACTS_MAX:
            return
        loose = [each for each in self._contacts.values() if not each.is_pinned]
        unreached = [each for each in loose if each.reached is None]
        if loose:
            del self._contacts[(unreached or loose)[0].address]


def network_of(address: str) -> str:
    """Return the network that an address is in: /24 of IPv4, /48 of IPv6, its name if it has no IP.

    Loopback and private addresses are all in "local": they say nothing about who owns them.
    """
    parts = address.split("/")
    host = parts[2] if len(parts) > 2 else ""
    try:
        ip = ip_address(host)
    except ValueError:
        return host.lower()
    if not ip.is_global:
        return _LOCAL
    return str(ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def is_local(network: str) -> bool:
    return network == _LOCAL


def _spread(
    due: Sequence[Contact], load: dict[str, int], taken: dict[PeerId, None], number: int
) -> Iterator[tuple[PeerId, str]]:
    """Yield contacts of the networks with the least load; a peer once, a network to its share."""
    waiting = list(due)
    for _ in range(number):
        open_ = [c for c in waiting if c.peer not in taken and _has_room(c, load)]
        if not open_:
            return
        contact = min(open_, key=lambda each: load.get(each.network, 0))
        load[contact.network] = load.get(contact.network, 0) + 1
        taken[contact.peer] = None
        yield contact.peer, contact.address


def _has_room(contact: Contact, load: Mapping[str, int]) -> bool:
    return is_local(contact.network) or load.get(contact.network, 0) < SHARE_MAX


_LOCAL: Final = "local"
