"""Published payloads with what is needed to fetch them: file list, torrent, mirrors, peers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import trio

from meshnode.core.catalogue import Catalogue
from meshnode.core.entries import PayloadAdded
from meshnode.core.filelist import FileList, decode_file_list
from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, PeerError, UsageError
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, check_torrent, claim_of
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network

PROVIDERS_ASKED_MAX: Final = 32  # peers asked whether they serve a payload


@dataclass(frozen=True, slots=True)
class Offer:
    """A published payload with its file list, and which of its files are wanted."""

    catalogue: Catalogue
    payload: PayloadAdded
    files: FileList
    wanted: tuple[int, ...] = ()

    @property
    def mirrors(self) -> tuple[str, ...]:
        return self.catalogue.contents.mirrors_of((self.payload.collection, self.payload.key))


def offers(peer: Peer) -> list[Offer]:
    """Read the file lists held of all payloads that count. Blocks."""
    return [
        Offer(held, payload, files)
        for held in _followed(peer)
        for payload in held.contents.live_payloads().values()
        if (files := file_list_of(peer, payload)) is not None
    ]


def published(peer: Peer, key: Digest) -> list[tuple[Catalogue, PayloadAdded]]:
    """Return where a payload is published and counts, in whatever collection."""
    return [
        (held, payload)
        for held in _followed(peer)
        for named in held.contents.payloads_named(key)
        if (payload := held.contents.live_payloads().get((named.collection, key))) is not None
    ]


def is_withdrawn(peer: Peer, key: Digest) -> bool:
    """Say whether a payload was published once, and does not count any more."""
    return any(held.contents.payloads_named(key) for held in _followed(peer))


def file_list_of(peer: Peer, payload: PayloadAdded) -> FileList | None:
    """Return a payload's file list; None while it is not here, or if its publisher broke it."""
    raw = peer.read_object(payload.files.digest)
    try:
        return decode_file_list(raw) if raw is not None else None
    except PeerError:
        return None  # its publisher's mistake: the payload cannot be used, others can


def torrent_of(peer: Peer, offer: Offer) -> CheckedTorrent:
    """Read and check a payload's torrent. Blocks.

    Raises:
        UsageError: it is not here yet.
        PeerError: it is not what was signed.
    """
    raw = peer.read_object(offer.payload.torrent.digest)
    if raw is None:
        raise UsageError("the payload's torrent is not here yet", hint="try again in a moment")
    return check_torrent(raw, claim_of(offer.payload), offer.files)


async def providers(network: Network, key: Digest) -> list[tuple[str, int]]:
    """Ask the connected peers; each can name only a port at the address where it is seen."""
    found: list[tuple[str, int]] = []

    async def ask(peer_address: str, name: Any) -> None:  # noqa: ANN401 - PeerId
        try:
            port = await network.requests.ask_provider(name, key)
        except (MeshnodeError, trio.TooSlowError):
            return
        if port is not None:
            found.append((peer_address, port))

    async with trio.open_nursery() as nursery:
        for connection in network.mesh.connections()[:PROVIDERS_ASKED_MAX]:
            if (address := _ip_of(connection.address)) is not None:
                nursery.start_soon(ask, address, connection.peer)
    return sorted(found)


def _followed(peer: Peer) -> list[Catalogue]:
    return [held for held in list(peer.node.catalogues.values()) if held.followed]


def _ip_of(multiaddr: str) -> str | None:
    parts = multiaddr.split("/")
    try:
        return str(ip_address(parts[2]))
    except (IndexError, ValueError):
        return None
