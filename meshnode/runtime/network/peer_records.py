"""A peer's signed word on one address of its own: libp2p's signed envelope (RFC 0002) around a peer
record (RFC 0003).

Implements N-63 of protocol/05-sync.md. Knows py-libp2p's records, and nothing of connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.crypto.keys import KeyPair, KeyType
from libp2p.peer.envelope import ENVELOPE_DOMAIN, consume_envelope, seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord as Libp2pRecord
from multiaddr import Multiaddr

from meshnode.core.identifiers import PeerId
from meshnode.errors import PeerError
from meshnode.runtime.network.addresses import ip_of, parse_peer_address

LASTING_SECONDS: Final = (
    2 * 86_400
)  # whoever moves is called at the old address no longer than that
AHEAD_SECONDS_MAX: Final = 2 * 3600  # a clock may be wrong by so much (L-37)
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What a peer says of itself; the signature holds. `address` ends in /p2p/<peer id>."""

    peer: PeerId
    address: str
    issued: int
    raw: bytes

    @property
    def ip(self) -> str:
        return ip_of(self.address)


def seal(keys: KeyPair, address: str, unix: int) -> bytes:
    """Sign an address of one's own; the record's seq is the time in nanoseconds."""
    bare = Multiaddr(address.split("/p2p/")[0])
    own = ID.from_pubkey(keys.public_key)
    record = Libp2pRecord(own, [bare], unix * _NANOSECONDS)
    return bytes(seal_record(record, keys.private_key).marshal_envelope())


def read_record(raw: bytes, unix: int) -> PeerRecord:
    """Read a record and verify it.

    Raises:
        PeerError: not a record of one TCP address, not signed by the peer that it is about, or of
            another time than now.
    """
    try:
        envelope, record = consume_envelope(raw, ENVELOPE_DOMAIN)
        signer = ID.from_pubkey(envelope.public_key)
        is_own = signer == record.peer_id and envelope.public_key.get_type() == KeyType.Ed25519
        [address] = record.addrs
        bare = str(address).split("/p2p/")[0]
        told = parse_peer_address(f"{bare}/p2p/{signer}")
    except Exception as error:  # the libraries beneath have no common error of their own
        raise PeerError(f"not a signed peer record: {error!r}") from error
    if not is_own:
        raise PeerError("the peer record is not signed by its peer")
    issued = record.seq // _NANOSECONDS
    if not unix - LASTING_SECONDS <= issued <= unix + AHEAD_SECONDS_MAX:
        raise PeerError("the peer record is of another time")
    if not ip_of(told.text):
        raise PeerError(f"the peer record names no IP: {bare}")
    return PeerRecord(told.peer, told.text, issued, raw)
