"""One payload's directory: its torrent, its file list, and which pieces the disk really holds.

    <hex key>/torrent   the checked torrent    <hex key>/files   the file list record
    <hex key>/state     what is held           <hex key>/data/N  file N of the list
    <hex key>/cached    nobody asked for it to be kept; its time is when it was read last

Pieces are recorded after their bytes were fsynced: after a crash the record may name fewer pieces
than the disk holds, never more.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshnode.core.filelist import decode_file_list, encode_file_list
from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, StorageError
from meshnode.runtime.files import refused_by_disk, sync_directory, write_durably
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class HeldState:
    """What is on disk: a flag a piece, and the files whose SHA-256 was checked.

    `content` is where the publisher's own files lie, None for the data directory. `stamps` are
    (bytes, mtime in ns) of each verified file: a file that was touched is checked again.
    """

    pieces: tuple[bool, ...]
    verified: tuple[int, ...] = ()
    content: Path | None = None
    stamps: tuple[tuple[int, int], ...] = ()


class PayloadDirectory:
    """Paths and records of one payload. All methods block: use a worker thread.

    Raises (all methods):
        StorageError: the disk refused.
    """

    def __init__(self, root: Path, key: Digest) -> None:
        self.path = root / key.hex()
        self.data = self.path / "data"
        self._cached = self.path / "cached"

    @property
    def is_made(self) -> bool:
        return (self.path / "torrent").exists() and (self.path / "files").exists()

    def locations(self, torrent: CheckedTorrent, content: Path | None) -> tuple[Path, ...]:
        """Return where each file of the list lies; names from the network are never used here."""
        if content is None:
            return tuple(self.data / str(i) for i in range(len(torrent.files.files)))
        paths = (Path(file.path) for file in torrent.files.files)
        return tuple(content.joinpath(*path.parts[1:]) for path in paths)

    def create(self, torrent: CheckedTorrent, *, cached: bool = False) -> None:
        """Write the records unless they are here; a new directory that is `cached` may go again."""
        if self.is_made:
            return
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            if cached:
                self._cached.touch()
        except OSError as error:
            raise StorageError(f"cannot make {self.data}: {error.strerror}") from error
        write_durably(self.path / "files", encode_file_list(torrent.files))
        write_durably(self.path / "torrent", torrent.raw)

    def keep(self) -> None:
        """Let it not go by itself any more: somebody asked for it."""
        try:
            self._cached.unlink(missing_ok=True)
        except OSError as error:
            raise refused_by_disk(f"cannot change {self.path}", error) from error

    def note_read(self) -> None:
        """Take note that it was read now, if it is one that may go."""
        with suppress(FileNotFoundError):
            os.utime(self._cached)

    def erase(self) -> None:
        """Remove the directory with all that is in it; there may be none."""
        try:
            shutil.rmtree(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused_by_disk(f"cannot remove {self.path}", error) from error
        sync_directory(self.path.parent)

    def load(self) -> CheckedTorrent | None:
        """Return the torrent kept here; None if there is none that is whole."""
        try:
            files = decode_file_list((self.path / "files").read_bytes())
            torrent = open_torrent((self.path / "torrent").read_bytes(), files)
        except (OSError, MeshnodeError):
            return None
        return torrent if torrent.key.hex() == self.path.name else None

    def state(self, torrent: CheckedTorrent) -> HeldState:
        """Return what is held; nothing, when the record is missing or damaged."""
        try:
            said = json.loads((self.path / "state").read_bytes())
            assert said["format"] == _FORMAT
            bits = bytes.fromhex(said["pieces"])
            pieces = tuple(bool(bits[i >> 3] >> (i & 7) & 1) for i in range(torrent.piece_count))
            content = Path(said["content"]) if said["content"] else None
            stamps = tuple((int(size), int(mtime)) for size, mtime in said["stamps"])
            return HeldState(pieces, tuple(map(int, said["verified"])), content, stamps)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError):
            return HeldState((False,) * torrent.piece_count)

    def save(self, state: HeldState) -> None:
        bits = bytearray((len(state.pieces) + 7) // 8)
        for i, held in enumerate(state.pieces):
            bits[i >> 3] |= held << (i & 7)
        said = {
            "format": _FORMAT,
            "pieces": bits.hex(),
            "verified": state.verified,
            "content": str(state.content) if state.content else "",
            "stamps": state.stamps,
        }
        write_durably(self.path / "state", json.dumps(said).encode())


def cached_keys(root: Path) -> list[Digest]:
    """Return the payloads that may go, the one that was not read for the longest time first."""
    found = []
    for mark in root.glob("*/cached"):
        with suppress(FileNotFoundError):
            found.append((mark.stat().st_mtime_ns, Digest(bytes.fromhex(mark.parent.name))))
    return [key for _, key in sorted(found)]


def stamps_of(locations: Iterable[Path]) -> tuple[tuple[int, int], ...] | None:
    """Return size and mtime of each file, None if one is missing."""
    try:
        found = [path.stat() for path in locations]
    except OSError:
        return None
    return tuple((each.st_size, each.st_mtime_ns) for each in found)


def sync_files(paths: Iterable[Path]) -> None:
    """Put the bytes of these files on the disk; one that is not there yet has none."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error
        finally:
            os.close(descriptor)
