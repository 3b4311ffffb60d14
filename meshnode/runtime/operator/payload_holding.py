"""Parts of payloads that this peer keeps for others, gives up again, and looks after."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, UsageError
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

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network


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


class Scrub(Arguments):
    """Look for rot in a payload, or in all that is here; `bytes_per_second` 0: no limit."""

    payload: HexDigest | None = None
    bytes_per_second: int | None = Field(default=None, ge=0, le=10**11)


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


async def scrub(peer: Peer, arguments: Scrub) -> AsyncGenerator[Message, None]:
    """Yield {"progress": …} while pieces are read; the result says which had rotted, and whether

    those that are kept are here again.
    """
    network = network_of(peer)
    held = network.torrents.held()
    keys = held if arguments.payload is None else [arguments.payload]
    if arguments.payload is not None and arguments.payload not in held:
        raise UsageError("nothing of this payload is here", hint="meshnode payload list")
    found = []
    for place, key in enumerate(keys):
        said: dict[str, Any] = {}
        async with aclosing(network.torrents.scrub(key, arguments.bytes_per_second)) as steps:
            async for step in steps:
                said = {
                    "payload": key.hex(),
                    "done_bytes": step.done_bytes,
                    "total_bytes": step.total_bytes,
                    "rotten_pieces": list(step.rotten),
                }
                yield {"event": {"progress": {**said, "place": place, "of": len(keys)}}}
        if said:
            found.append(said | await _mended(peer, network, key, rotten=said["rotten_pieces"]))
    yield {"result": {"payloads": found}}


async def _mended(
    peer: Peer, network: Network, key: Digest, *, rotten: list[int]
) -> dict[str, Any]:
    """Fetch again what rotted and is kept; say what could not be had, and why."""
    from meshnode.runtime.mending import Mending  # with it comes libp2p

    reason = ""
    if rotten:
        try:
            await Mending(peer, network).mend(key)
        except MeshnodeError as error:
            reason = str(error)
    return {"missing_pieces": sorted(network.torrents.missing().get(key, ())), "reason": reason}


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
    "payload_scrub": (Scrub, scrub),
}
