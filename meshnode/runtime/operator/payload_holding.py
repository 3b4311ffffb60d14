"""Parts of payloads that this peer keeps for others, and gives up again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.errors import UsageError
from meshnode.runtime.datasets.open_licences import is_open
from meshnode.runtime.journal import PayloadProgress
from meshnode.runtime.offers import Offer, providers, torrent_of
from meshnode.runtime.operator.arguments import Action, Arguments, HexDigest
from meshnode.runtime.operator.collections import document_of
from meshnode.runtime.operator.payload_choice import PayloadChoice, chosen
from meshnode.runtime.operator.payloads import network_of, progress_said
from meshnode.runtime.payloads.footprint import footprint
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.peer import Peer


class Hold(PayloadChoice):
    """Keep the files that are chosen, or of them only the pieces `first` to `last`, from 0.

    `any_licence`: also what is not under an open licence.
    """

    first: int | None = Field(default=None, ge=0)
    last: int | None = Field(default=None, ge=0)
    any_licence: bool = False


class Release(Arguments):
    """Keep a payload no longer, or only these of its files or pieces."""

    payload: HexDigest
    only: str | None = None
    first: int | None = Field(default=None, ge=0)
    last: int | None = Field(default=None, ge=0)


async def hold(peer: Peer, arguments: Hold) -> AsyncGenerator[Message, None]:
    """Yield {"progress": …} while pieces come; the result says what is held then."""
    network = network_of(peer)
    offer = await trio.to_thread.run_sync(chosen, peer, arguments)
    if not arguments.any_licence:
        await trio.to_thread.run_sync(_require_open, peer, offer)
    torrent = await trio.to_thread.run_sync(torrent_of, peer, offer)
    pieces = _pieces(torrent, offer, arguments.first, arguments.last)
    peers = await providers(peer, network, torrent.key)
    said: dict[str, Any] = {}
    steps = network.torrents.hold(torrent, pieces, mirrors=offer.mirrors, peers=peers)
    async with aclosing(steps):
        async for progress in steps:
            done, total = progress.done_bytes, progress.total_bytes
            peer.journal.progressed(PayloadProgress(torrent.key, done, total))
            said = progress_said(progress)
            yield {"event": {"progress": said}}
    yield {
        "result": {
            "payload": torrent.key.hex(),
            "by_source": said["by_source"],
            "held": await trio.to_thread.run_sync(_held, peer, torrent),
        }
    }


async def release(peer: Peer, arguments: Release) -> AsyncGenerator[Message, None]:
    """Return how many pieces were freed, and what is held then."""
    network = network_of(peer)
    directory = PayloadDirectory(peer.home.payloads, arguments.payload)
    torrent = await trio.to_thread.run_sync(directory.load)
    if torrent is None:
        raise UsageError("nothing of this payload is here", hint="meshnode payload list")
    pieces = None
    if arguments.only is not None or arguments.first is not None:
        named = {"payload": arguments.payload.hex(), "only": arguments.only}
        choice = PayloadChoice.model_validate(named)
        offer = await trio.to_thread.run_sync(chosen, peer, choice)
        pieces = _pieces(torrent, offer, arguments.first, arguments.last)
    freed = await network.torrents.release(arguments.payload, pieces)
    yield {
        "result": {
            "payload": torrent.key.hex(),
            "freed_pieces": freed,
            "held": await trio.to_thread.run_sync(_held, peer, torrent),
        }
    }


def _held(peer: Peer, torrent: CheckedTorrent) -> dict[str, Any]:
    directory = PayloadDirectory(peer.home.payloads, torrent.key)
    return footprint(directory, torrent).said()


def _pieces(torrent: CheckedTorrent, offer: Offer, first: int | None, last: int | None) -> set[int]:
    """Return the pieces of the chosen files, those from `first` to `last` if these are given."""
    pieces = {piece for index in offer.wanted for piece in torrent.spans[index]}
    if first is None:
        return pieces
    stop = (first if last is None else last) + 1
    if not first < stop <= torrent.piece_count:
        raise UsageError(
            f"there are no pieces {first}-{stop - 1}",
            hint=f"they are numbered from 0 to {torrent.piece_count - 1}",
        )
    return pieces.intersection(range(first, stop))


def _require_open(peer: Peer, offer: Offer) -> None:
    """Refuse what is not under an open licence, as its collection says; raises UsageError."""
    licence = document_of(peer, offer.catalogue, offer.payload.collection).licence
    if not is_open(licence):
        raise UsageError(
            f"the licence of {offer.payload.collection!r} is"
            f" {licence or 'not known here'}, which is no open one",
            hint="--any-license holds it, if you may pass it on",
        )


ACTIONS: dict[str, Action] = {
    "payload_hold": (Hold, hold),
    "payload_release": (Release, release),
}
