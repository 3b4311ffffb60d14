"""Payloads as people ask for them: serve a published one, fetch the files of an item."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.entries import PayloadAdded
from meshnode.core.filelist import FileList
from meshnode.core.identifiers import CatalogueId, Digest, catalogue_text, object_text
from meshnode.core.releases import Releases
from meshnode.errors import MeshnodeError, UsageError
from meshnode.runtime.journal import PayloadProgress
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, HexDigest
from meshnode.runtime.operator.collections import followed
from meshnode.runtime.operator.payload_listing import file_list_of
from meshnode.runtime.payloads.account import Progress
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, check_torrent, claim_of
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network

PROVIDERS_ASKED_MAX = 32  # peers asked whether they serve a payload


class Seed(Arguments):
    """Serve a published payload from the publisher's own files at `content`."""

    catalogue: Catalogue
    key: HexDigest
    content: str


class Get(Arguments):
    """Fetch the files that are assets of an item; no `asset`: all. Or all files of a payload."""

    item: str | None = None
    payload: HexDigest | None = None
    collection: str | None = None
    catalogue: Catalogue | None = None
    asset: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A published payload with its file list, and which of its files are wanted."""

    catalogue: HeldCatalogue
    payload: PayloadAdded
    files: FileList
    wanted: tuple[int, ...] = ()


async def seed(peer: Peer, arguments: Seed) -> AsyncGenerator[Message, None]:
    network = _network(peer)
    offers = [
        offer
        for offer in await trio.to_thread.run_sync(_offers, peer)
        if offer.payload.key == arguments.key and offer.catalogue.id == arguments.catalogue
    ]
    if not offers:
        raise UsageError("this payload is not published in that catalogue")
    _require_served(peer, offers[0])
    torrent = await trio.to_thread.run_sync(_torrent, peer, offers[0])
    await network.torrents.seed(torrent, Path(arguments.content))
    yield {"result": {"port": network.torrents.port or None}}  # None: it does not listen


async def get(peer: Peer, arguments: Get) -> AsyncGenerator[Message, None]:
    """Yield {"progress": …} while the files come; the result says where each lies, verified."""
    network = _network(peer)
    offer = await trio.to_thread.run_sync(_find, peer, arguments)
    torrent = await trio.to_thread.run_sync(_torrent, peer, offer)
    mirrors = offer.catalogue.contents.mirrors_of((offer.payload.collection, offer.payload.key))
    peers = await _providers(network, offer.payload.key)
    said: dict[str, Any] = {}
    download = network.torrents.download(torrent, mirrors=mirrors, peers=peers, only=offer.wanted)
    async with aclosing(download) as steps:
        async for progress in steps:
            peer.journal.progressed(
                PayloadProgress(offer.payload.key, progress.done_bytes, progress.total_bytes)
            )
            said = _said(progress)
            yield {"event": {"progress": said}}
    yield {
        "result": {
            "catalogue": catalogue_text(offer.catalogue.id),
            "payload": object_text(offer.payload.key),
            "by_source": said["by_source"],
            "files": [_located(network, offer, index) for index in offer.wanted],
        }
    }


async def _providers(network: Network, key: Digest) -> list[tuple[str, int]]:
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


def _ip_of(multiaddr: str) -> str | None:
    parts = multiaddr.split("/")
    try:
        return str(ip_address(parts[2]))
    except (IndexError, ValueError):
        return None


def _find(peer: Peer, arguments: Get) -> Offer:
    """Return the one payload that is asked for, and which of its files are.

    Raises:
        UsageError: none is, or payloads of several items of this id.
    """
    found = [
        replace(offer, wanted=wanted)
        for offer in _offers(peer)
        if arguments.catalogue in (None, offer.catalogue.id)
        and arguments.collection in (None, offer.payload.collection)
        and (wanted := _wanted(offer, arguments))
    ]
    if arguments.payload is None:
        found = _one_of(found, arguments)
    if not found:
        raise UsageError(
            "this payload is not known here, or its file list is not",
            hint="meshnode payload list says which are",
        )
    _require_distinct(found[0])
    _require_served(peer, found[0])
    return found[0]


def _wanted(offer: Offer, arguments: Get) -> tuple[int, ...]:
    """Return the indices of the files that are asked for."""
    if arguments.payload is not None:
        number = len(offer.files.files)
        return tuple(range(number)) if offer.payload.key == arguments.payload else ()
    return tuple(
        index
        for index, file in enumerate(offer.files.files)
        if any(_is_meant(binding, arguments) for binding in file.bindings)
    )


def _one_of(offers: list[Offer], arguments: Get) -> list[Offer]:
    found = list(_newest(offers))
    if len(found) > 1:
        raise UsageError(
            f"item {arguments.item!r} stands in several collections that have a payload",
            hint="name one with --collection or --catalogue",
        )
    if not found:
        raise UsageError(
            f"no payload is known for item {arguments.item!r}"
            + (f", asset {arguments.asset!r}" if arguments.asset else ""),
            hint="`meshnode show` prints the item's own links, which may be plain downloads",
        )
    return found


def _require_distinct(offer: Offer) -> None:
    """Refuse files that would get the same name in the folder that they are put into."""
    names = [offer.files.files[index].path.rpartition("/")[2] for index in offer.wanted]
    if len(set(names)) < len(names):
        raise UsageError(
            "files of this payload in different folders have the same name",
            hint="fetch them item by item: meshnode get ITEM --asset ASSET",
        )


def _require_served(peer: Peer, offer: Offer) -> None:
    if peer.node.withholds(offer.payload.key):
        text = object_text(offer.payload.key)
        raise UsageError(
            f"the payload {text} is on this peer's deny list", hint=f"meshnode deny check {text}"
        )


def _newest(offers: Sequence[Offer]) -> Iterable[Offer]:
    """Keep one payload in each collection: the last said of those that no release supersedes, or
    of all if there are none.
    """
    held = {offer.catalogue.id: offer.catalogue for offer in offers}
    known = {name: Releases.of(each.contents.releases) for name, each in held.items()}

    def standing(offer: Offer) -> tuple[bool, int, Digest]:
        payload = offer.payload
        is_past = known[offer.catalogue.id].is_superseded(payload.collection, payload.key)
        return not is_past, payload.clock, payload.key

    newest: dict[tuple[CatalogueId, str], Offer] = {}
    for offer in sorted(offers, key=standing):
        newest[offer.catalogue.id, offer.payload.collection] = offer
    return newest.values()


def _is_meant(binding: tuple[str, str], arguments: Get) -> bool:
    item, asset = binding
    return item == arguments.item and arguments.asset in (None, asset)


def _offers(peer: Peer) -> list[Offer]:
    """Read the file lists held of all payloads that count."""
    return [
        Offer(held, payload, files)
        for held in followed(peer)
        for payload in held.contents.live_payloads().values()
        if (files := file_list_of(peer, payload)) is not None
    ]


def _torrent(peer: Peer, offer: Offer) -> CheckedTorrent:
    raw = peer.read_object(offer.payload.torrent.digest)
    if raw is None:
        raise UsageError("the payload's torrent is not here yet", hint="try again in a moment")
    return check_torrent(raw, claim_of(offer.payload), offer.files)


def _located(network: Network, offer: Offer, index: int) -> dict[str, Any]:
    file = offer.files.files[index]
    place = network.torrents.locate(offer.payload.key, index)
    assert place is not None  # the download ended, so each wanted file was verified
    return {
        "path": file.path,
        "at": str(place),
        "size_bytes": file.size_bytes,
        "sha256": file.sha256.hex() if file.sha256 else None,
    }


def _said(progress: Progress) -> dict[str, Any]:
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "by_source": progress.by_source,
        "state": progress.state.value,
    }


def _network(peer: Peer) -> Network:
    if peer.network is None:
        raise UsageError(
            "payloads travel only while the peer runs", hint="start it with: meshnode run"
        )
    return peer.network


ACTIONS: dict[str, Action] = {"seed": (Seed, seed), "get": (Get, get)}
