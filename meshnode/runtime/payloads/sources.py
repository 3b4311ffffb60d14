"""The mirrors and peers of one torrent in the engine: their names, bytes and faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import libtorrent as lt

from meshnode.core.addresses import is_forbidden
from meshnode.errors import PeerError
from meshnode.runtime.payloads.account import Account
from meshnode.runtime.payloads.address_filter import (
    Endpoint,
    Mirror,
    vet_mirror,
)
from meshnode.runtime.payloads.torrent_session import MIRRORS_MAX

PEERS_MAX: Final = 64  # that one transfer is told of


class Sources:
    """Invariant: each connection counts under the name of the source that it belongs to."""

    def __init__(self, handle: lt.torrent_handle) -> None:
        self._handle = handle
        self._account = Account()
        self._names: dict[Endpoint, str] = {}
        self._named: set[str] = set()
        self._attached: set[str] = set()
        self._failed: set[str] = set()
        self._banned: set[str] = set()

    async def add(
        self, mirrors: Sequence[str], peers: Sequence[Endpoint], *, allow_local: bool
    ) -> None:
        """Fetch from these too; those that may not be called are left out. A mirror is added once.

        Raises:
            PeerError: not one of them may be called; it says why the first may not.
        """
        refused = []
        for url in mirrors[:MIRRORS_MAX]:
            try:
                if url not in self._attached:
                    self._add_mirror(await vet_mirror(url, allow_local=allow_local))
            except PeerError as error:
                refused.append(error)
        self.add_peers(peers, allow_local=allow_local)
        if refused and len(refused) == len(mirrors) and not peers:
            raise refused[0]

    def add_peers(self, peers: Sequence[Endpoint], *, allow_local: bool) -> None:
        for address, port in peers[:PEERS_MAX]:
            if allow_local or not is_forbidden(address):
                self._named.add(self._name((address, port)))
                self._handle.connect_peer((address, port))

    def _add_mirror(self, mirror: Mirror) -> None:
        name = f"mirror {mirror.url}"
        self._attached.add(mirror.url)
        self._named.add(name)
        self._names |= dict.fromkeys(mirror.endpoints, name)
        self._handle.add_url_seed(mirror.url)

    def drop_mirrors(self) -> None:
        self._attached.clear()
        for url in self._handle.url_seeds():
            self._handle.remove_url_seed(url)

    def note_ban(self, endpoint: Endpoint) -> None:
        self._banned.add(self._name(endpoint))

    def note_fault(self, url: str) -> None:
        """Take note of an error; the engine puts the name of a single file behind the URL."""
        asked = [each for each in self._attached if url.startswith(each)]
        self._failed.add(f"mirror {max(asked, key=len, default=url)}")

    @property
    def is_betrayed(self) -> bool:
        """True when every source that was named was banned, and nobody else is connected."""
        return bool(self._banned) and self._named <= self._banned and not self._peers()

    def sent_bytes(self) -> dict[str, int]:
        """Read the engine's counters: what each source has sent so far."""
        self._account.sample(
            (self._name(peer.ip), peer.local_endpoint(), peer.total_download)
            for peer in self._handle.get_peer_info()
        )
        return self._account.totals()

    def describe(self) -> str:
        """Name the sources and what is known against each."""
        said = []
        for source in sorted(self._named | self._banned):
            failed = "answered with an error" if source in self._failed else "sends nothing"
            said.append(f"{source}: {'sent corrupt bytes' if source in self._banned else failed}")
        return "; ".join(said) or "no source is known"

    def _name(self, endpoint: Endpoint) -> str:
        address, port = endpoint
        shown = f"[{address}]" if ":" in address else address
        return self._names.get(endpoint, f"peer {shown}:{port}")

    def _peers(self) -> list[lt.peer_info]:
        return [peer for peer in self._handle.get_peer_info() if self._name(peer.ip)]
