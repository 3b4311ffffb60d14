"""What can be read in place: payloads that catalogues publish and nobody has forbidden."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.core.limits import MIRRORS_MAX
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.offers import Offer, file_list_of, is_withdrawn, published, torrent_of
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.peer import Peer

_OPENED_MAX: Final = 8  # torrents kept that were checked: one may have tens of megabytes


class RefusedError(Exception):
    """What is asked for cannot be had: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Readable:
    """A payload that may be read, and the mirrors that every catalogue names for it."""

    torrent: CheckedTorrent
    mirrors: tuple[str, ...]


class Library:
    """Finds payloads by key. A torrent is checked once as long as it is among the last opened."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._opened: OrderedDict[Digest, CheckedTorrent] = OrderedDict()

    async def find(self, key: Digest) -> Readable:
        """Return a payload; whether it may be read is asked anew each time.

        Raises:
            RefusedError: it is denied, withdrawn, unknown, or not described here yet.
        """
        offers = await trio.to_thread.run_sync(self._offers, key)
        mirrors = dict.fromkeys(url for offer in offers for url in offer.mirrors)
        return Readable(await self._torrent(offers[0]), tuple(mirrors)[:MIRRORS_MAX])

    async def _torrent(self, offer: Offer) -> CheckedTorrent:
        name = offer.payload.torrent.digest
        if name not in self._opened:
            try:
                torrent = await trio.to_thread.run_sync(torrent_of, self._peer, offer)
            except UsageError as error:
                raise RefusedError(503, str(error)) from error
            except PeerError as error:
                raise RefusedError(502, str(error)) from error
            self._opened[name] = torrent
        self._opened.move_to_end(name)
        while len(self._opened) > _OPENED_MAX:
            self._opened.popitem(last=False)
        return self._opened[name]

    def _offers(self, key: Digest) -> list[Offer]:
        self._require_allowed(key)
        found = published(self._peer, key)
        if not found:
            if is_withdrawn(self._peer, key):
                raise RefusedError(410, "the payload was withdrawn by its publisher")
            raise RefusedError(404, "no catalogue that is followed here publishes this payload")
        offers = [
            Offer(held, payload, files)
            for held, payload in found
            if (files := file_list_of(self._peer, payload)) is not None
        ]
        if not offers:
            raise RefusedError(503, "the payload's file list is not here yet: try again soon")
        return offers

    def _require_allowed(self, key: Digest) -> None:
        node = self._peer.node
        if node.denials.withholds(key):
            raise RefusedError(451, "the payload is on this peer's deny list")
        if node.withholds(key):
            raise RefusedError(410, "the payload was withdrawn for good, or purged")
