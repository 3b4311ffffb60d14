"""One torrent in the engine: what it holds, who sent which bytes, and what went wrong.

The engine's alerts are told to a transfer as plain values; it never sees an alert object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.errors import MeshnodeError, PeerError, StorageError, UsageError
from meshnode.runtime.payloads.address_filter import Endpoint, Mirror
from meshnode.runtime.payloads.payload_directory import (
    HeldState,
    PayloadDirectory,
    stamps_of,
    sync_files,
)
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

FLUSH_SECONDS_MAX: Final = 60  # a disk that takes longer to write its cache is reported
CHECK_SECONDS_MAX: Final = 6 * 3600  # hashing a large payload of a publisher's once
_SOURCES_MAX: Final = 256  # in an account; bytes of further ones are added up as "others"
_READ_BYTES: Final = 1 << 20
_NORMAL_PRIORITY: Final = 4

_CHECKING: Final = (
    lt.torrent_status.states.checking_files,
    lt.torrent_status.states.checking_resume_data,
)


class State(Enum):
    """What a download is doing."""

    TRANSFERRING = "transferring"
    VERIFYING = "verifying"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the wanted bytes: how many are verified. `by_source` counts what each source sent,

    the overlap of two sources and refused bytes included, under "mirror <url>" and
    "peer <ip:port>".
    """

    done_bytes: int
    total_bytes: int
    by_source: dict[str, int]
    state: State


class Account:
    """Bytes by source. Invariant: a connection's bytes count once, also after it closed."""

    def __init__(self) -> None:
        self._closed: dict[str, int] = {}
        self._open: dict[tuple[str, object], int] = {}

    def sample(self, connections: Iterable[tuple[str, object, int]]) -> None:
        """Take (source, connection, bytes so far) of every connection that is open now."""
        now = {(source, connection): count for source, connection, count in connections}
        for (source, connection), count in self._open.items():
            if (source, connection) not in now:
                self._add(self._closed, source, count)
        self._open = now

    def totals(self) -> dict[str, int]:
        totals = dict(self._closed)
        for (source, _), count in self._open.items():
            self._add(totals, source, count)
        return {source: totals[source] for source in sorted(totals) if totals[source]}

    def _add(self, totals: dict[str, int], source: str, count: int) -> None:
        name = source if source in totals or len(totals) < _SOURCES_MAX else "others"
        totals[name] = totals.get(name, 0) + count


class Transfer:
    """A torrent that was added to the session. Methods that block say so; they run in threads."""

    def __init__(
        self, torrent: CheckedTorrent, directory: PayloadDirectory, state: HeldState
    ) -> None:
        self.torrent = torrent
        self.locations = directory.locations(torrent, state.content)
        self.account = Account()
        self.checked = trio.Event()
        self.woken = trio.Event()
        self.verified = set(state.verified)
        self.failure: MeshnodeError | None = None
        self._failed: set[str] = set()
        self.banned: set[str] = set()
        self._directory = directory
        self._content = state.content
        self._flushed = trio.Event()
        self._names: dict[Endpoint, str] = {}
        self._sources: set[str] = set()
        self._is_claimed = False
        self.handle: lt.torrent_handle

    @property
    def is_whole(self) -> bool:
        return len(self.verified) == len(self.torrent.files.files)

    @property
    def is_broken(self) -> bool:
        """True when the last download failed and no other runs."""
        return self.failure is not None and not self._is_claimed

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """One download at a time; at its end nothing more is fetched than what was."""
        if self._is_claimed:
            raise UsageError(f"payload {self.torrent.key.hex()} is being downloaded already")
        self._is_claimed = True
        self.failure = None
        try:
            yield
        finally:
            self._is_claimed = False

    # --- what the engine's alerts say -------------------------------------------------------------
    def catch_up(self) -> None:
        """Take note of what the engine did before its alerts found their way here."""
        status = self.handle.status(0)
        if status.errc.value():
            self.note_failure(StorageError(f"payload: {status.errc.message()}"))
        elif status.state not in _CHECKING:
            self.note_checked()

    def note_checked(self) -> None:
        self.checked.set()

    def note_flushed(self) -> None:
        self._flushed.set()

    def note_failure(self, failure: MeshnodeError) -> None:
        self.failure = failure
        self.checked.set()
        self._flushed.set()
        self.woken.set()

    def note_ban(self, endpoint: Endpoint) -> None:
        self.banned.add(self._name(endpoint))
        self.woken.set()

    def note_fault(self, url: str) -> None:
        self._failed.add(f"mirror {url}")

    # --- sources ----------------------------------------------------------------------------------
    def add_mirror(self, mirror: Mirror) -> None:
        name = f"mirror {mirror.url}"
        self._sources.add(name)
        self._names |= dict.fromkeys(mirror.endpoints, name)
        self.handle.add_url_seed(mirror.url)

    def add_peer(self, peer: Endpoint) -> None:
        self._sources.add(self._name(peer))
        self.handle.connect_peer(peer)

    def drop_mirrors(self) -> None:
        for url in self.handle.url_seeds():
            self.handle.remove_url_seed(url)

    @property
    def is_betrayed(self) -> bool:
        """True when every source that was named was banned, and nobody else is connected."""
        return bool(self.banned) and self._sources <= self.banned and not self._peers()

    def describe_sources(self) -> str:
        """Name the sources and what is known against each."""
        said = []
        for source in sorted(self._sources | self.banned):
            failed = "answered with an error" if source in self._failed else "sends nothing"
            said.append(f"{source}: {'sent corrupt bytes' if source in self.banned else failed}")
        return "; ".join(said) or "no source is known"

    def _name(self, endpoint: Endpoint) -> str:
        address, port = endpoint
        shown = f"[{address}]" if ":" in address else address
        return self._names.get(endpoint, f"peer {shown}:{port}")

    def _peers(self) -> list[lt.peer_info]:
        return [peer for peer in self.handle.get_peer_info() if self._name(peer.ip)]

    # --- progress ---------------------------------------------------------------------------------
    def want(self, only: Sequence[int] | None) -> tuple[int, ...]:
        """Fetch these files of the list (None: all) and no others; return their indices."""
        count = len(self.torrent.files.files)
        wanted = tuple(range(count)) if only is None else tuple(sorted(set(only)))
        if not wanted or wanted[0] < 0 or wanted[-1] >= count:
            raise UsageError(f"files {wanted}: the payload has {count} files")
        priorities = [0] * self.torrent.piece_count
        for piece in self._pieces(wanted):
            priorities[piece] = _NORMAL_PRIORITY
        self.handle.prioritize_pieces(priorities)
        return wanted

    def want_nothing(self) -> None:
        self.handle.prioritize_pieces([0] * self.torrent.piece_count)

    def progress(self, wanted: Sequence[int], state: State) -> Progress:
        """Read the engine's counters; raises what went wrong meanwhile."""
        if self.failure:
            raise self.failure
        self.account.sample(
            (self._name(peer.ip), peer.local_endpoint(), peer.total_download)
            for peer in self.handle.get_peer_info()
        )
        held = self.held_pieces()
        files = self.torrent.files.files
        total = sum(files[i].size_bytes for i in wanted)
        missing = sum(self._size(i, piece) for i, piece in self._parts(wanted) if not held[piece])
        return Progress(total - missing, total, self.account.totals(), state)

    def held_pieces(self) -> tuple[bool, ...]:
        """Return a flag a piece: verified, perhaps not written yet. The engine pads to bytes."""
        pieces = self.handle.status(lt.torrent_handle.query_pieces).pieces
        held = tuple(bool(piece) for piece in pieces)[: self.torrent.piece_count]
        return held or (False,) * self.torrent.piece_count

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until the engine has finished or something went wrong."""
        with trio.move_on_after(seconds):
            await self.woken.wait()
        self.woken = trio.Event()

    async def flush(self) -> None:
        """Have the engine write what it caches: it calls a piece held before it is on the disk.

        Asked twice, because the engine also flushes of its own accord when a torrent finishes and
        says so in the same words: the first answer may be that one.

        Raises:
            StorageError: not within FLUSH_SECONDS_MAX, or the disk refused.
        """
        await self._flush_once()
        await self._flush_once()
        if self.failure:
            raise self.failure

    async def _flush_once(self) -> None:
        self._flushed = trio.Event()
        self.handle.flush_cache()
        with trio.move_on_after(FLUSH_SECONDS_MAX):
            await self._flushed.wait()
            return
        raise StorageError(f"the disk did not take its data within {FLUSH_SECONDS_MAX} s")

    async def save(self) -> None:
        """Record the pieces that are held now, after their bytes."""
        pieces = self.held_pieces()
        await self.flush()
        await trio.to_thread.run_sync(self._save, pieces)

    def _save(self, pieces: tuple[bool, ...]) -> None:
        verified = tuple(sorted(self.verified))
        if self._content is None:
            sync_files(self.locations)
        stamps = stamps_of(self.locations[i] for i in verified) or ()
        self._directory.save(HeldState(pieces, verified, self._content, stamps))

    # --- verification -----------------------------------------------------------------------------
    def verify(self, wanted: Sequence[int]) -> None:
        """Compare files with the list's SHA-256. Blocks.

        Raises:
            PeerError: the torrent passed its own hashes, but the file is not what was signed.
            StorageError: a file cannot be read.
        """
        for index in wanted:
            file = self.torrent.files.files[index]
            if file.sha256 is not None and _sha256_of(self.locations[index]) != file.sha256:
                raise PeerError(
                    f"{file.path!r} matches the publisher's torrent, not its SHA-256",
                    hint="the publisher must publish this payload again",
                )
            self.verified.add(index)

    def _pieces(self, wanted: Sequence[int]) -> Iterator[int]:
        for index in wanted:
            yield from self.torrent.spans[index]

    def _parts(self, wanted: Sequence[int]) -> Iterator[tuple[int, int]]:
        return ((index, piece) for index in wanted for piece in self.torrent.spans[index])

    def _size(self, index: int, piece: int) -> int:
        """Bytes of file `index` in a piece: all of the piece, but in the file's last one."""
        span, size = self.torrent.spans[index], self.torrent.files.files[index].size_bytes
        piece_size = self.torrent.claim.piece_size_bytes
        return min(piece_size, size - (piece - span.start) * piece_size)


def _sha256_of(path: Path) -> bytes:
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                whole.update(part)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return whole.digest()
