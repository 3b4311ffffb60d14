"""The mirrors and peers of one torrent in the engine: their names, bytes and faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import libtorrent as lt
import trio

from meshnode.core.addresses import is_forbidden
from meshnode.core.identifiers import Digest
from meshnode.runtime.payloads.account import Account
from meshnode.runtime.payloads.address_filter import Endpoint, Mirror
from meshnode.runtime.payloads.attachment import Attachment
from meshnode.runtime.payloads.mirror_record import MirrorRecord

PEERS_MAX: Final = 64  # that one transfer is told of
BLAME_SECONDS: Final = 5.0  # between a piece that was wrong and the ban of who sent it
_BAD_PIECES_MAX: Final = 64
# Between two looks at the counters: a speed is not made of a moment, or of a pause.
_SAMPLE_SECONDS_MIN: Final = 0.05
_SAMPLE_SECONDS_MAX: Final = 2.0


class Sources:
    """Invariant: each connection counts under the name of the source that it belongs to."""

    def __init__(self, key: Digest, handle: Attachment, record: MirrorRecord) -> None:
        self._key = key
        self._handle = handle
        self._record = record
        self._sampled_at = trio.current_time()
        self._sampled: dict[str, int] = {}
        self._account = Account()
        self._names: dict[Endpoint, str] = {}
        self._named: set[str] = set()
        self._attached: dict[str, str] = {}  # what the engine asks, by the mirror's URL
        self._faults: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self._banned: set[str] = set()
        self._is_spoilt = False
        self._bad_pieces: dict[int, float] = {}
        self._bans: dict[str, float] = {}

    def name_mirror(self, url: str) -> None:
        """Count on a mirror, which is not asked yet; what it did before is forgiven here."""
        self._named.add(f"mirror {url}")
        self._banned.discard(f"mirror {url}")
        self._reasons.pop(url, None)

    def attach(self, mirror: Mirror, asked: str | None = None) -> None:
        """Have the engine fetch from a mirror; `asked` is another URL that stands for it."""
        name = f"mirror {mirror.url}"
        self._attached[mirror.url] = asked or mirror.url
        self._named.add(name)
        self._banned.discard(name)
        self._reasons.pop(mirror.url, None)
        self._names |= dict.fromkeys(mirror.endpoints, name)
        self._handle.remove_url_seed(asked or mirror.url)  # else a ban of before is in force
        self._handle.add_url_seed(asked or mirror.url)

    def detach(self, url: str) -> None:
        asked = self._attached.pop(url, None)
        if asked is not None:
            self._handle.remove_url_seed(asked)

    def is_attached(self, url: str) -> bool:
        return url in self._attached

    @property
    def has_mirrors(self) -> bool:
        """True while the engine fetches from some mirror."""
        return bool(self._attached)

    def faults(self, url: str) -> int:
        """Return how often the engine got an error from a mirror."""
        return self._faults.get(url, 0)

    def add_peers(self, peers: Sequence[Endpoint], *, allow_local: bool) -> None:
        for address, port in peers[:PEERS_MAX]:
            if allow_local or not is_forbidden(address):
                self._named.add(self._name((address, port)))
                self._handle.connect_peer((address, port))

    def drop_mirrors(self) -> None:
        for url in list(self._attached):
            self.detach(url)

    # --- faults -----------------------------------------------------------------------------------
    def note_bad_piece(self, piece: int) -> None:
        """A piece was wrong; who sent it is told by a ban, before or after."""
        while len(self._bad_pieces) >= _BAD_PIECES_MAX:
            del self._bad_pieces[next(iter(self._bad_pieces))]
        self._bad_pieces[piece] = trio.current_time()
        self._blame()

    def note_ban(self, endpoint: Endpoint) -> None:
        name = self._name(endpoint)
        self._banned.add(name)
        url = _url(name)
        if url is None:
            self._is_spoilt = True
            return
        if url in self._attached:
            self.detach(url)
            self._record.note_corruption(url)
        self._bans[url] = trio.current_time()
        self._blame()

    def note_wrong(self, url: str) -> None:
        """It sent wrong bytes to us, not to the engine."""
        self._banned.add(f"mirror {url}")
        self.detach(url)

    def note_fault(self, asked: str) -> None:
        """Take note of an error, and ask a mirror no more that the engine had it from.

        The engine puts the name of a single file behind the URL.
        """
        found = [url for url, prefix in self._attached.items() if asked.startswith(prefix)]
        url = max(found, key=lambda each: len(self._attached[each]), default=None)
        if url is not None:
            self._faults[url] = self._faults.get(url, 0) + 1
            self._reasons.setdefault(url, "answered with an error")
            self.detach(url)

    def note_reason(self, url: str, reason: str) -> None:
        """Say why a mirror gives nothing now."""
        self._reasons[url] = reason

    def _blame(self) -> None:
        """Put the pieces that were wrong down to those who were banned about then."""
        for url, banned_at in self._bans.items():
            for piece, failed_at in self._bad_pieces.items():
                if abs(banned_at - failed_at) <= BLAME_SECONDS:
                    self._record.quarantine(url, self._key, piece)

    def note_whole(self) -> None:
        """What was wanted is here and right: so is what the mirrors sent that were not banned."""
        for name in self._sampled.keys() - self._banned:
            if (url := _url(name)) is not None:
                self._record.note_verified(url)

    @property
    def is_spoilt(self) -> bool:
        """True when the engine banned a peer: it keeps to that as long as it has the torrent."""
        return self._is_spoilt

    @property
    def is_betrayed(self) -> bool:
        """True when every source that was named was banned, and nobody else is connected."""
        return bool(self._banned) and self._named <= self._banned and not self._peers()

    def note_fetched(self, url: str, count: int) -> None:
        """So many bytes came from a mirror past the engine."""
        self._account.add(f"mirror {url}", count)
        total = self._sampled.get(f"mirror {url}", 0)
        self._sampled[f"mirror {url}"] = total + count  # the record knows of them already

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
        said = []
        for source in sorted(self._named | self._banned):
            reason = self._reasons.get(_url(source) or "", "sends nothing")
            said.append(f"{source}: {'sent corrupt bytes' if source in self._banned else reason}")
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
