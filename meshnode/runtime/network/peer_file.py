"""The peers that were reached, kept across restarts: `peers.json`, replaced whole.

What is in it is a convenience: a peer that lost it begins with its seeds again. So a damaged file
is set aside, and said, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import structlog
import trio

from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import CONTACTS_MAX, PeerBook
from meshnode.errors import MeshnodeError
from meshnode.runtime.files import write_durably
from meshnode.runtime.network.addresses import parse_peer_address

_log = structlog.get_logger()

Reached = tuple[PeerId, str, int]  # peer, address, unix seconds


def read_reached(path: Path, book: PeerBook) -> None:
    """Take over who was reached before; entries that are none are passed over."""
    try:
        said = json.loads(path.read_bytes())
        for address, reached in list(said.items())[-CONTACTS_MAX:]:
            _take(book, address, int(reached))
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("the peer book is damaged and begins anew", file=str(path), reason=str(error))


async def write_reached(path: Path, reached: Iterable[Reached]) -> None:
    """Replace the file. Raises StorageError."""
    said = {address: unix for _, address, unix in reached}
    raw = json.dumps(said, indent=1).encode()
    await trio.to_thread.run_sync(write_durably, path, raw)


def _take(book: PeerBook, address: str, unix: int) -> None:
    try:
        book.was_reached(parse_peer_address(address).peer, address, unix)
    except MeshnodeError as error:
        _log.debug("not an address of a peer", address=address, reason=str(error))
