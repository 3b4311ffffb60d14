"""Payloads as people ask for them: serve a published one, fetch the files of an item."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from meshnode.control import Message
from meshnode.core.identifiers import catalogue_text, object_text
from meshnode.errors import UsageError
from meshnode.runtime.http.addresses import path_of
from meshnode.runtime.journal import PayloadProgress
from meshnode.runtime.offers import Offer, offers, providers, torrent_of
from meshnode.runtime.operator.arguments import (
    Action,
    Arguments,
    Catalogue,
    HexDigest,
)
from meshnode.runtime.operator.payload_choice import (
    PayloadChoice,
    chosen,
    require_distinct,
    require_served,
)
from meshnode.runtime.payloads.account import Progress
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network


class Seed(Arguments):
    """Serve a published payload from the publisher's own files at `content`."""

    catalogue: Catalogue
    key: HexDigest
    content: str


class Get(PayloadChoice):
    """Fetch the files of a payload that are chosen."""


class Drop(Arguments):
    """Erase what is here of a payload."""

    payload: HexDigest


class Urls(PayloadChoice):
    """Say where the gateway serves the files of a payload that are chosen."""


async def seed(peer: Peer, arguments: Seed) -> AsyncGenerator[Message, None]:
    network = network_of(peer)
    found = [
        offer
        for offer in await trio.to_thread.run_sync(offers, peer)
        if offer.payload.key == arguments.key and offer.catalogue.id == arguments.catalogue
    ]
    if not found:
        raise UsageError("this payload is not published in that catalogue")
    require_served(peer, found[0])
    torrent = await trio.to_thread.run_sync(torrent_of, peer, found[0])
    await network.torrents.seed(torrent, Path(arguments.content))
    yield {"result": {"port": network.torrents.port or None}}  # None: it does not listen


async def get(peer: Peer, arguments: Get) -> AsyncGenerator[Message, None]:
    """Yield {"progress": …} while the files come; the result says where each lies, verified."""
    network = network_of(peer)
    offer = await trio.to_thread.run_sync(chosen, peer, arguments)
    require_distinct(offer)
    torrent = await trio.to_thread.run_sync(torrent_of, peer, offer)
    peers = await providers(peer, network, offer.payload.key)
    said: dict[str, Any] = {}
    download = network.torrents.download(
        torrent, mirrors=offer.mirrors, peers=peers, only=offer.wanted
    )
    async with aclosing(download) as steps:
        async for progress in steps:
            peer.journal.progressed(
                PayloadProgress(offer.payload.key, progress.done_bytes, progress.total_bytes)
            )
            said = progress_said(progress)
            yield {"event": {"progress": said}}
    yield {
        "result": {
            "catalogue": catalogue_text(offer.catalogue.id),
            "payload": object_text(offer.payload.key),
            "by_source": said["by_source"],
            "files": [_located(network, offer, index) for index in offer.wanted],
        }
    }


async def urls(peer: Peer, arguments: Urls) -> AsyncGenerator[Message, None]:
    """Return {"files": [{"path", "url", "size_bytes", "sha256"}, …]}; nothing is fetched."""
    network_of(peer)
    if peer.http is None or peer.http.url is None:
        raise UsageError(
            "this peer serves no HTTP" + (f": {peer.http.failure}" if peer.http else ""),
            hint="meshnode config set http.listen 127.0.0.1:8470, then start the peer again",
        )
    offer = await trio.to_thread.run_sync(chosen, peer, arguments)
    found = [offer.files.files[index] for index in offer.wanted]
    said = [
        {
            "path": file.path,
            "url": peer.http.url + path_of(offer.payload.key, file.path),
            "size_bytes": file.size_bytes,
            "sha256": file.sha256.hex() if file.sha256 else None,
        }
        for file in found
    ]
    yield {"result": {"payload": object_text(offer.payload.key), "files": said}}


async def drop(peer: Peer, arguments: Drop) -> AsyncGenerator[Message, None]:
    """Erase what is here of a payload; a publisher's own files stay where they lie."""
    torrents = network_of(peer).torrents
    await torrents.stop(arguments.payload, erase=True)
    yield {"result": {}}


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


def progress_said(progress: Progress) -> dict[str, Any]:
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "by_source": progress.by_source,
        "state": progress.state.value,
    }


def network_of(peer: Peer) -> Network:
    """Return what a peer that runs has; raises UsageError if it works offline."""
    if peer.network is None:
        raise UsageError(
            "payloads travel only while the peer runs", hint="start it with: meshnode run"
        )
    return peer.network


ACTIONS: dict[str, Action] = {
    "seed": (Seed, seed),
    "get": (Get, get),
    "payload_urls": (Urls, urls),
    "payload_drop": (Drop, drop),
}
