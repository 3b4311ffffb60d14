"""The mirrors and peers of one torrent in the engine: their names, bytes and faults."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import libtorrent as lt
import trio

from meshnode.core.addresses import is_forbidden
from meshnode.errors import PeerError
from meshnode.runtime.payloads.account import Account
from meshnode.runtime.payloads.address_filter import (
    Endpoint,
    Mirror,
    vet_mirror,
)
from meshnode.runtime.payloads.attachment import Attachment
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.torrent_session import MIRRORS_MAX

PEERS_MAX: Final = 64  # that one transfer is told of
# Between two looks at the counters: a speed is not made of a moment, or of a pause.
_SAMPLE_SECONDS_MIN: Final = 0.05
_SAMPLE_SECONDS_MAX: Final = 2.0


class Sources:
    """Invariant: each connection counts under the name of the source that it belongs to."""

    def __init__(self, handle: Attachment, record: MirrorRecord) -> None:
        self._handle = handle
        self._record = record
        self._sampled_at = trio.current_time()
        self._sampled: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._account = Account()
        self._names: dict[Endpoint, str] = {}
        self._named: set[str] = set()
        self._attached: set[str] = set()
        self._failed: set[str] = set()
        self._banned: set[str] = set()

    async def add(
        self, mirrors: Sequence[str], peers: Sequence[Endpoint], *, allow_local: bool
    ) -> list[PeerError]:
        """Fetch from these too; return why mirrors are left out. A mirror is added once.

        Left out is one that may not be called, or that failed and rests.
        """
        refused = []
        for url in mirrors[:MIRRORS_MAX]:
            try:
                if url not in self._attached:
                    self._require_rested(url)
                    self._add_mirror(await vet_mirror(url, allow_local=allow_local))
            except PeerError as error:
                self._refused[f"mirror {url}"] = "is left out"
                refused.append(error)
        self.add_peers(peers, allow_local=allow_local)
        return refused

    def _require_rested(self, url: str) -> None:
        health = self._record.rests(url)
        if health is not None:
            raise PeerError(
                f"mirror {url} {health.reason}: it is left alone until {_time(health.rests_until)}",
                hint="meshnode mirrors says how each one does; try again later",
            )

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
        name = self._name(endpoint)
        self._banned.add(name)
        if (url := _url(name)) is not None:
            self._attached.discard(url)
            self._record.note_corruption(url)

    def note_whole(self) -> None:
        """What was wanted is here and right: so is what the mirrors sent that were not banned."""
        for name in self._sampled.keys() - self._banned:
            if (url := _url(name)) is not None:
                self._record.note_verified(url)

    def note_fault(self, url: str) -> None:
        """Take note of an error; the engine puts the name of a single file behind the URL."""
        asked = [each for each in self._attached if url.startswith(each)]
        found = max(asked, key=len, default=url)
        self._failed.add(f"mirror {found}")
        self._record.note_error(found)

    @property
    def is_spoilt(self) -> bool:
        """True when the engine banned somebody: it keeps to that as long as it has the torrent."""
        return bool(self._banned)

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
        totals = self._account.totals()
        self._note_growth(totals)
        return totals

    def _note_growth(self, totals: dict[str, int]) -> None:
        now = trio.current_time()
        seconds = min(max(now - self._sampled_at, _SAMPLE_SECONDS_MIN), _SAMPLE_SECONDS_MAX)
        for name, total in totals.items():
            url, grown = _url(name), total - self._sampled.get(name, 0)
            if url is not None and grown > 0:
                self._record.note_bytes(url, grown, seconds)
        self._sampled, self._sampled_at = totals, now

    def describe(self) -> str:
        """Name the sources and what is known against each."""
        said = [f"{name}: {why}" for name, why in self._refused.items() if name not in self._named]
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


def _url(name: str) -> str | None:
    """Return the URL of a source that is a mirror."""
    kind, _, where = name.partition(" ")
    return where if kind == "mirror" else None


def _time(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%SZ")
