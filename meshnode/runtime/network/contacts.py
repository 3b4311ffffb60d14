"""Who can be dialled where, as peers tell each other: each vouches for itself alone.

Implements N-62 to N-64 of protocol/05-sync.md. A record is passed on only by a peer that saw its
owner at the address, and taken only with the owner's signature: nobody can send others to a third
party's door in somebody's name.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from libp2p.crypto.ed25519 import create_new_key_pair

from meshnode.core.identifiers import PeerId
from meshnode.errors import MeshnodeError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.addresses import ip_of, reaches_no_further_in
from meshnode.runtime.network.peer_records import LASTING_SECONDS, PeerRecord, read_record, seal
from meshnode.runtime.network.requests import OWN_RECORDS_MAX, TOLD_RECORDS_MAX

RESEAL_SECONDS: Final = LASTING_SECONDS // 8

Records = Sequence[bytes]


class Contacts:
    """What connected peers say of themselves. Bounded by the number of connections.

    Args:
        identity: Ed25519 seed, 32 bytes.
        own: where this peer can be dialled.
        seen_at: multiaddrs of the connections to a peer; none if it is not connected.
    """

    def __init__(
        self,
        identity: bytes,
        own: Callable[[], Sequence[str]],
        seen_at: Callable[[PeerId], Sequence[str]],
        rng: random.Random,
    ) -> None:
        self._keys = create_new_key_pair(identity)
        self._own = own
        self._seen_at = seen_at
        self._rng = rng
        self._vouched: dict[PeerId, PeerRecord] = {}
        self._sealed: dict[str, tuple[int, bytes]] = {}  # by address: when, and the record

    def own(self) -> tuple[bytes, ...]:
        """Return this peer's own records, sealed anew from time to time."""
        unix, before = unix_now(), self._sealed
        self._sealed = {}
        for address in [each for each in self._own() if ip_of(each)][:OWN_RECORDS_MAX]:
            at, raw = before.get(address, (0, b""))
            if abs(unix - at) >= RESEAL_SECONDS:
                at, raw = unix, seal(self._keys, address, unix)
            self._sealed[address] = at, raw
        return tuple(raw for _, raw in self._sealed.values())

    def answer(self, asker: PeerId, offered: Records) -> tuple[Records, Records]:
        """Note what a peer says of itself; return our own records, and those of others."""
        self._note(asker, offered)
        for peer in [each for each in self._vouched if not self._seen_at(each)]:
            del self._vouched[peer]
        unix = unix_now()
        others = [
            record.raw
            for peer, record in self._vouched.items()
            if peer != asker and unix - record.issued < LASTING_SECONDS
        ]
        return self.own(), self._rng.sample(others, min(len(others), TOLD_RECORDS_MAX))

    def told(self, teller: PeerId, own: Records, others: Records) -> list[PeerRecord]:
        """Note what a peer says of itself; return what it passed on and may be dialled.

        An address is taken only if it leads no further into a private network than the teller's.
        """
        self._note(teller, own)
        heres = self._seen_at(teller)
        return [
            record
            for record in _authentic(others[:TOLD_RECORDS_MAX])
            if any(reaches_no_further_in(record.address, here) for here in heres)
        ]

    def _note(self, peer: PeerId, records: Records) -> None:
        """Keep the first of a peer's own records whose IP is the one that it is seen at."""
        here = {ip_of(address) for address in self._seen_at(peer)}
        for record in _authentic(records[:OWN_RECORDS_MAX]):
            if record.peer == peer and record.ip in here:
                self._vouched[peer] = record
                return


def _authentic(records: Records) -> Iterator[PeerRecord]:
    unix = unix_now()
    for raw in records:
        try:
            yield read_record(raw, unix)
        except MeshnodeError:
            continue  # a record that does not verify says nothing, whoever passed it on
