"""One torrent's place in the engine, which is empty for a moment while pieces are given up.

The engine has no way to forget a piece: the torrent is taken out and put back with fewer. Whoever
uses it need not know. What is asked meanwhile has no answer, and what is ordered is done after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import libtorrent as lt

from meshnode.runtime.payloads.address_filter import Endpoint

_BLOCK_FINISHED: Final = 3  # libtorrent's block_info: it is on the disk
_CHECKING: Final = (
    lt.torrent_status.states.checking_files,
    lt.torrent_status.states.checking_resume_data,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What comes back with a torrent: which blocks of unfinished pieces it has, whom it knew."""

    unfinished: dict[int, list[bool]]
    peers: tuple[Endpoint, ...]


class Attachment:
    """Has the part of libtorrent's handle that is used here, by its names.

    Invariant: mirrors and peers that were named are the torrent's whenever it is in the engine.
    """

    def __init__(self, handle: lt.torrent_handle, piece_count: int) -> None:
        self._handle: lt.torrent_handle | None = handle
        self._piece_count = piece_count
        self._urls: dict[str, None] = {}
        self._peers: list[Endpoint] = []
        self._pieces = (False,) * piece_count
        self._download_limit = 0

    @property
    def current(self) -> lt.torrent_handle:
        """The engine's handle; only for who knows that the torrent is there."""
        assert self._handle is not None
        return self._handle

    @property
    def is_attached(self) -> bool:
        return self._handle is not None

    def detach(self) -> lt.torrent_handle:
        """Leave the engine; return the handle, which is dead for everybody from now on."""
        handle = self.current
        self._pieces = self.pieces()
        still = {url.rstrip("/") for url in handle.url_seeds()}  # without those that it banned
        self._urls = {url: None for url in self._urls if url.rstrip("/") in still}
        self._handle = None
        return handle

    def abandon(self) -> None:
        """Use the handle no more: the engine ends."""
        self._handle = None

    def attach(self, handle: lt.torrent_handle) -> None:
        """Be in the engine again, with the same mirrors and with the peers named meanwhile."""
        self._handle = handle
        if self._download_limit:
            handle.set_download_limit(self._download_limit)
        for url in self._urls:
            handle.add_url_seed(url)
        for peer in self._peers:
            handle.connect_peer(peer)
        self._peers.clear()

    # --- what is asked ----------------------------------------------------------------------------
    def pieces(self) -> tuple[bool, ...]:
        """Return a flag a piece: verified, perhaps not written yet. The engine pads to bytes."""
        if self._handle is None:
            return self._pieces
        pieces = self._handle.status(lt.torrent_handle.query_pieces).pieces
        held = tuple(map(bool, pieces))[: self._piece_count]
        return held or (False,) * self._piece_count

    def have_piece(self, piece: int) -> bool:
        return self._handle is not None and bool(self._handle.have_piece(piece))

    def get_peer_info(self) -> list[lt.peer_info]:
        return [] if self._handle is None else list(self._handle.get_peer_info())

    def url_seeds(self) -> list[str]:
        return list(self._urls) if self._handle is None else list(self._handle.url_seeds())

    def is_checked(self) -> bool:
        return self._handle is not None and self._handle.status(0).state not in _CHECKING

    def fault(self) -> str:
        """Return what the engine could not do, nothing if there is no such thing."""
        error = None if self._handle is None else self._handle.status(0).errc
        return str(error.message()) if error is not None and error.value() else ""

    # --- what is ordered --------------------------------------------------------------------------
    def add_url_seed(self, url: str) -> None:
        self._urls[url] = None
        if self._handle is not None:
            self._handle.add_url_seed(url)

    def remove_url_seed(self, url: str) -> None:
        self._urls.pop(url, None)
        if self._handle is not None:
            self._handle.remove_url_seed(url)

    def connect_peer(self, peer: Endpoint) -> None:
        if self._handle is None:
            self._peers.append(peer)
        else:
            self._handle.connect_peer(peer)

    def add_piece(self, piece: int, data: bytes) -> None:
        """Hand over a whole piece that came another way."""
        if self._handle is not None:
            self._handle.add_piece(piece, data, 0)

    def flush_cache(self) -> None:
        if self._handle is not None:
            self._handle.flush_cache()

    def set_download_limit(self, bytes_per_second: int) -> None:
        """0: no limit of its own."""
        self._download_limit = bytes_per_second
        if self._handle is not None:
            self._handle.set_download_limit(bytes_per_second)

    def prioritize_pieces(self, priorities: list[tuple[int, int]]) -> None:
        if self._handle is not None:
            self._handle.prioritize_pieces(priorities)

    def set_piece_deadline(self, piece: int, milliseconds: int) -> None:
        if self._handle is not None:
            self._handle.set_piece_deadline(piece, milliseconds)

    def reset_piece_deadline(self, piece: int) -> None:
        if self._handle is not None:
            self._handle.reset_piece_deadline(piece)


def unfinished_blocks(handle: lt.torrent_handle) -> dict[int, list[bool]]:
    """Return for each piece that has begun which of its blocks are on the disk."""
    queue = handle.get_download_queue()
    found = {
        int(each["piece_index"]): [block["state"] == _BLOCK_FINISHED for block in each["blocks"]]
        for each in queue
    }
    return {piece: blocks for piece, blocks in found.items() if any(blocks)}
