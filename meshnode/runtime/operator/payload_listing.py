"""Payloads as the log describes them: files, mirrors, pieces, and how much of them is here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.entries import PayloadAdded, encode_entry
from meshnode.core.filelist import PayloadFile
from meshnode.core.identifiers import Digest, catalogue_text, object_text
from meshnode.errors import UsageError
from meshnode.runtime.offers import file_list_of
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.operator.collections import followed
from meshnode.runtime.payloads.footprint import Footprint, footprint
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.peer import Peer

FILES_SAID_MAX: Final = 100  # of one payload; the others are counted


class Payloads(Arguments):
    """Of these catalogues, or of all that are followed; of one collection if it is named."""

    catalogues: tuple[Catalogue, ...] = ()
    collection: str | None = None


async def payloads(peer: Peer, arguments: Payloads) -> AsyncGenerator[Message, None]:
    """Return each live payload, as `described`."""
    for catalogue in arguments.catalogues:
        require_followed(peer, catalogue)
    said = await trio.to_thread.run_sync(_list, peer, arguments)
    yield {"result": {"payloads": said}}


def require_followed(peer: Peer, catalogue: Catalogue) -> HeldCatalogue:
    """Return a catalogue that is followed; raises UsageError if it is not."""
    held = next(followed(peer, (catalogue,)), None)
    if held is None:
        raise UsageError("this peer does not follow the catalogue", hint="meshnode follow …")
    return held


def described(peer: Peer, held: HeldCatalogue, payload: PayloadAdded) -> dict[str, Any]:
    """Return what is known of a live payload. Reads the disk: use a worker thread.

    `stated_by` are peers that state to serve it, connected or not.
    `files` is null while the file list is not here, and `files_held` how many are here, verified.
    `held` is null while nothing of it is here.
    """
    contents = held.contents
    name = payload.collection, payload.key
    held_here = _held(peer, payload.key)
    risk, files = contents.risks.get(name), file_list_of(peer, payload)
    infohash = payload.infohash
    return {
        "catalogue": catalogue_text(held.id),
        "collection": payload.collection,
        "key": payload.key.hex(),
        "entry": encode_entry(payload).hex(),
        "size_bytes": payload.size_bytes,
        "piece_size_bytes": payload.piece_size_bytes,
        "infohash_v1": infohash.v1.hex() if infohash.v1 else None,
        "infohash_v2": infohash.v2.hex() if infohash.v2 else None,
        "file_list": object_text(payload.files.digest),
        "torrent": object_text(payload.torrent.digest),
        "mirrors": list(contents.mirrors_of(name)),
        "risk": risk[1].level if risk else payload.risk,
        "file_count": len(files.files) if files else None,
        "files": [_file(each) for each in files.files[:FILES_SAID_MAX]] if files else None,
        "stated_by": [holder.peer for holder in peer.node.holders.stated(payload.key)],
        "files_held": held_here.files if held_here else 0,
        "held": held_here.said() if held_here else None,
    }


def _list(peer: Peer, arguments: Payloads) -> list[dict[str, Any]]:
    return [
        described(peer, held, payload)
        for held in followed(peer, arguments.catalogues)
        for (collection, _), payload in sorted(held.contents.live_payloads().items())
        if arguments.collection in (None, collection)
    ]


def _file(file: PayloadFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256.hex() if file.sha256 else None,
        "bindings": [list(binding) for binding in file.bindings],
    }


def _held(peer: Peer, key: Digest) -> Footprint | None:
    directory = PayloadDirectory(peer.home.payloads, key)
    torrent = directory.load()
    return footprint(directory, torrent) if torrent else None


ACTIONS: dict[str, Action] = {"payloads": (Payloads, payloads)}
