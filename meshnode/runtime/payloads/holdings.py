"""What one payload has on the disk: its pieces, its checked files, and which pieces are kept."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from meshnode.errors import PeerError
from meshnode.runtime.files import refused_by_disk
from meshnode.runtime.payloads.holes import is_shared, punch
from meshnode.runtime.payloads.payload_directory import (
    HeldState,
    PayloadDirectory,
    stamps_of,
    sync_files,
)
from meshnode.runtime.payloads.piece_check import PieceCheck
from meshnode.runtime.payloads.torrent_check import CheckedTorrent


class Holdings:
    """Methods that block say so: use a worker thread.

    Invariant: the record on the disk names no piece whose bytes are not on the disk.
    """

    __slots__ = (
        "_content",
        "_directory",
        "_is_read_since",
        "_stamps",
        "is_saved",
        "kept",
        "locations",
        "read_times",
        "torrent",
        "verified",
        "written",
    )  # as Room's

    def __init__(
        self,
        torrent: CheckedTorrent,
        directory: PayloadDirectory,
        state: HeldState,
        kept: bytearray,
        read_times: array[int],
    ) -> None:
        self.torrent = torrent
        self.locations = directory.locations(torrent, state.content)
        self.verified = set(state.verified)
        self.written = bytearray(state.pieces)
        self.kept = kept
        self.read_times = read_times
        self.is_saved = True
        self._directory = directory
        self._content = state.content
        self._stamps = dict(zip(state.verified, state.stamps, strict=False))
        self._is_read_since = False

    @classmethod
    def of(cls, torrent: CheckedTorrent, directory: PayloadDirectory) -> Holdings:
        """Read what was recorded. Blocks."""
        state = directory.state(torrent)
        return cls(
            torrent, directory, state, directory.kept(torrent), directory.read_times(torrent)
        )

    @classmethod
    def empty(
        cls, torrent: CheckedTorrent, directory: PayloadDirectory, content: Path | None = None
    ) -> Holdings:
        """Begin anew; with `content` for a publisher's own files. Blocks."""
        state = HeldState((0,) * torrent.piece_count, content=content)
        kept = directory.kept(torrent)
        return cls(torrent, directory, state, kept, directory.read_times(torrent))

    @property
    def folder(self) -> Path:
        return self._directory.data

    @property
    def is_own(self) -> bool:
        """True where the files are the publisher's own: nothing is written or freed there."""
        return self._content is not None

    @property
    def content(self) -> Path | None:
        """Where the publisher's own files lie."""
        return self._content

    @property
    def is_whole(self) -> bool:
        return len(self.verified) == len(self.torrent.files.files)

    @property
    def is_empty(self) -> bool:
        """True when no piece is here, and none is to be kept."""
        return not any(self.written) and not any(self.kept)

    def missing(self) -> set[int]:
        """Return the pieces that are kept and not here."""
        if self.is_own:
            return set()
        flags = enumerate(zip(self.kept, self.written, strict=True))
        return {piece for piece, (is_kept, is_here) in flags if is_kept and not is_here}

    # --- what is recorded -------------------------------------------------------------------------
    def save(self, pieces: Sequence[int]) -> None:
        """Record these pieces as held, after their bytes. Blocks; raises StorageError."""
        if not self.is_own:
            sync_files(self.locations)
        self.written = bytearray(map(max, self.written, pieces))
        self._record(self.written)

    def keep(self, pieces: Iterable[int], *, is_kept: bool) -> None:
        """Have these pieces stay, or let them go when room is needed. Blocks."""
        kept = bytearray(self.kept)
        for piece in pieces:
            kept[piece] = is_kept
        if kept != self.kept:
            self._directory.keep(kept)
            self.kept = kept

    def note_read(self, pieces: Iterable[int], milliseconds: int) -> None:
        for piece in pieces:
            self.read_times[piece] = milliseconds
            self._is_read_since = True

    def save_read_times(self) -> None:
        """Blocks; raises StorageError."""
        if self._is_read_since:
            self._is_read_since = False
            self._directory.note_read_times(self.read_times)

    def forget(self, pieces: Collection[int]) -> None:
        """Record what is left without these pieces. Blocks; raises StorageError."""
        lost = set(pieces)
        spans = enumerate(self.torrent.spans)
        self.verified -= {i for i, span in spans if not lost.isdisjoint(span)}
        for piece in lost:
            self.written[piece] = False
        self._record(self.written)

    def _record(self, pieces: Sequence[int]) -> None:
        verified = tuple(sorted(self.verified))
        stamps = stamps_of(self.locations[i] for i in verified) or ()
        self._stamps = dict(zip(verified, stamps, strict=False))
        self._directory.save(HeldState(tuple(pieces), verified, self._content, stamps))

    # --- the files --------------------------------------------------------------------------------
    def is_untouched(self, index: int) -> bool:
        """Say whether nobody wrote to a file since it was verified. Blocks."""
        stamp = self._stamps.get(index)
        return stamp is None or stamps_of([self.locations[index]]) == (stamp,)

    def touched(self) -> set[int]:
        """Return the verified files that somebody wrote to, or that are gone. Blocks."""
        return {index for index in self.verified if not self.is_untouched(index)}

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

    def freeable(self, pieces: Collection[int], *, punches: bool) -> set[int]:
        """Return those of these pieces whose blocks can go. Blocks.

        A file that somebody else has by another name goes as a whole or not at all: a hole in it
        would be one in his. So does any file where the file system has no holes.
        """
        going = set(pieces)
        if self.is_own:
            return set()
        is_settled = False
        while not is_settled:
            is_settled = True
            for index, span in enumerate(self.torrent.spans):
                if (
                    not going.isdisjoint(span)
                    and any(self.written[each] and each not in going for each in span)
                    and (not punches or is_shared(self.locations[index]))
                ):
                    going.difference_update(span)
                    is_settled = False
        return going

    def drop_rotten(self, indices: Iterable[int]) -> None:
        """Compare the pieces of these files with their hashes; forget those that are not right.

        Blocks.
        """
        check = PieceCheck(self.torrent, self.locations)
        looked = {piece for index in indices for piece in self.torrent.spans[index]}
        rotten = {each for each in looked if self.written[each] and not check.is_right(each)}
        self.forget(rotten)

    def free_unrecorded(self, *, punches: bool) -> None:
        """Free what came and was not recorded before a crash. Blocks; raises StorageError."""
        missing = [piece for piece, is_here in enumerate(self.written) if not is_here]
        self.free(missing, punches=punches)

    def free(self, pieces: Collection[int], *, punches: bool, begun: Collection[int] = ()) -> None:
        """Give the blocks of pieces that were forgotten back to the disk.

        A file of which nothing is left is removed, unless pieces in it have `begun` to come.
        Blocks; raises StorageError.
        """
        if self.is_own:
            return
        ordered = sorted(pieces)
        for index, span in enumerate(self.torrent.spans):
            within = ordered[bisect_left(ordered, span.start) : bisect_left(ordered, span.stop)]
            path = self.locations[index]
            if not within:
                continue
            is_left = any(self.written[span.start : span.stop]) or any(p in span for p in begun)
            if not is_left:
                _remove(path)
            elif punches and not is_shared(path):
                punch(path, _joined(self.torrent.part(index, piece) for piece in within))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise refused_by_disk(f"cannot remove {path}", error) from error


def _joined(parts: Iterable[range]) -> Iterator[range]:
    """Yield spans in order as one where they touch: each hole costs a call."""
    whole = range(0)
    for part in parts:
        if whole and part.start == whole.stop:
            whole = range(whole.start, part.stop)
            continue
        if whole:
            yield whole
        whole = part
    if whole:
        yield whole


def _sha256_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error
