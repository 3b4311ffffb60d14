"""One payload's directory: its torrent, its file list, and which pieces the disk really holds.

    <hex key>/torrent   the checked torrent    <hex key>/files   the file list record
    <hex key>/state     what is held           <hex key>/data/N  file N of the list
    <hex key>/kept      the pieces that somebody asked to keep; the others go when room is needed
    <hex key>/read      when each piece was read last: it may be lost

Pieces are recorded after their bytes were fsynced, and forgotten before their blocks are freed:
after a crash the record may name fewer pieces than the disk holds, never more.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshnode.core.filelist import decode_file_list, encode_file_list
from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError
from meshnode.runtime.files import refused_by_disk, sync_directory, write_durably
from meshnode.runtime.payloads.bitmaps import packed, unpacked
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class HeldState:
    """What is on disk: a flag a piece, and the files whose SHA-256 was checked.

    `content` is where the publisher's own files lie, None for the data directory. `stamps` are
    (bytes, mtime in ns) of each verified file: a file that was touched is checked again.
    """

    pieces: tuple[int, ...]
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

    @property
    def data(self) -> Path:
        return self.path / "data"

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
        except OSError as error:
            raise refused_by_disk(f"cannot make {self.data}", error) from error
        self.keep(bytes(torrent.piece_count) if cached else b"\1" * torrent.piece_count)
        write_durably(self.path / "files", encode_file_list(torrent.files))
        write_durably(self.path / "torrent", torrent.raw)

    def kept(self, torrent: CheckedTorrent) -> bytearray:
        """Return a flag a piece: somebody asked to keep it. Where nothing is said, all are kept."""
        try:
            said = json.loads((self.path / "kept").read_bytes())
            assert said["format"] == _FORMAT
            return unpacked(bytes.fromhex(said["pieces"]), torrent.piece_count)
        except FileNotFoundError:
            was_cache = (self.path / "cached").exists()  # what earlier versions wrote instead
            return bytearray([not was_cache]) * torrent.piece_count
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            return bytearray(b"\1") * torrent.piece_count

    def keep(self, pieces: Sequence[int]) -> None:
        """Write down which pieces are kept, by a flag a piece."""
        said = {"format": _FORMAT, "pieces": packed(pieces).hex()}
        write_durably(self.path / "kept", json.dumps(said).encode())

    def read_times(self, torrent: CheckedTorrent) -> array[int]:
        """Return for each piece when it was read last, in unix milliseconds; 0: not known."""
        times = array("Q", bytes(8 * torrent.piece_count))
        with suppress(OSError):
            raw = (self.path / "read").read_bytes()
            if len(raw) == 8 * torrent.piece_count:
                times = array("Q", raw)
        return times

    def note_read_times(self, times: array[int]) -> None:
        try:
            temporary = self.path / ".read"
            temporary.write_bytes(times.tobytes())
            temporary.rename(self.path / "read")
        except OSError as error:
            raise refused_by_disk(f"cannot write {self.path / 'read'}", error) from error

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
            pieces = tuple(unpacked(bytes.fromhex(said["pieces"]), torrent.piece_count))
            content = Path(said["content"]) if said["content"] else None
            stamps = tuple((int(size), int(mtime)) for size, mtime in said["stamps"])
            return HeldState(pieces, tuple(map(int, said["verified"])), content, stamps)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError):
            return HeldState((0,) * torrent.piece_count)

    def save(self, state: HeldState) -> None:
        said = {
            "format": _FORMAT,
            "pieces": packed(state.pieces).hex(),
            "verified": state.verified,
            "content": str(state.content) if state.content else "",
            "stamps": state.stamps,
        }
        write_durably(self.path / "state", json.dumps(said).encode())


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
            raise refused_by_disk(f"cannot open {path}", error) from error
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise refused_by_disk(f"cannot write {path}", error) from error
        finally:
            os.close(descriptor)
