"""Published payloads with what is needed to fetch them: file list, torrent, mirrors, peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import trio

from meshnode.core.catalogue import Catalogue
from meshnode.core.effects import CallHolder
from meshnode.core.entries import PayloadAdded
from meshnode.core.events import HolderCalled
from meshnode.core.filelist import FileList, decode_file_list
from meshnode.core.identifiers import Digest, PeerId
from meshnode.errors import MeshnodeError, PeerError, UsageError
from meshnode.runtime.payloads.address_filter import Endpoint
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, check_torrent, claim_of
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network

PROVIDERS_ASKED_MAX: Final = 32  # peers asked whether they serve a payload
CALLED_MAX: Final = 4  # peers called that state to serve it, while nobody connected does
CALLING_SECONDS_MAX: Final = 15.0  # in which those who are where they state to be have answered


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


async def providers(peer: Peer, network: Network, key: Digest) -> list[Endpoint]:
    """Return where peers serve a payload by BitTorrent: those that are connected, or else some that
    state to have it (P-35). A peer can name only a port at the address where it is seen.
    """
    connected = [each.peer for each in network.mesh.connections()[:PROVIDERS_ASKED_MAX]]
    found = await _served_by(network, connected, key)
    if found or network.calls is None:
        return found
    came: list[PeerId] = []
    with trio.move_on_after(CALLING_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            for call in calls_for(peer, key):
                nursery.start_soon(_call, peer, network, call, came)
    return await _served_by(network, came, key, asked_by=peer)


def calls_for(peer: Peer, key: Digest) -> list[CallHolder]:
    """Return whom to call for a payload: peers that state to have it, and, about a catalogue that
    names it, where they are called (R-94).
    """
    holders, now = peer.node.holders, trio.current_time()
    having = [holder.peer for holder in holders.to_call(key, now)]
    named = [Digest(held.id) for held, _ in published(peer, key)]
    at = {holder.peer: holder.endpoints for name in named for holder in holders.stated(name)}
    return [CallHolder(each, at[each]) for each in having if each in at][:CALLED_MAX]


async def _call(peer: Peer, network: Network, call: CallHolder, came: list[PeerId]) -> None:
    peer.node.holders.note_call(call.peer, trio.current_time())
    event = await network.call_holder(call)
    await peer.tell(event)
    if event.kept_word:
        came.append(call.peer)


async def _served_by(
    network: Network, peers: Sequence[PeerId], key: Digest, asked_by: Peer | None = None
) -> list[Endpoint]:
    """Ask peers that are connected; one that was called for it and has it not broke its word."""
    found: list[Endpoint] = []

    async def ask(name: PeerId) -> None:
        try:
            port = await network.requests.ask_provider(name, key)
        except (MeshnodeError, trio.TooSlowError):
            port = None
        ips = [ip for ip in map(_ip_of, network.mesh.seen_at(name)) if ip is not None]
        if port is not None:
            found.extend((ip, port) for ip in ips[:1])
        elif asked_by is not None:
            await asked_by.tell(HolderCalled(name, kept_word=False))

    async with trio.open_nursery() as nursery:
        for name in peers:
            nursery.start_soon(ask, name)
    return sorted(found)


def _followed(peer: Peer) -> list[Catalogue]:
    return [held for held in list(peer.node.catalogues.values()) if held.followed]


def _ip_of(multiaddr: str) -> str | None:
    parts = multiaddr.split("/")
    try:
        return str(ip_address(parts[2]))
    except (IndexError, ValueError):
        return None
