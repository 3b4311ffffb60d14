"""A bundle: a static mirror as one file, a tar of names that are hashes (N-89).

Written as a stream, the same bytes for the same state. Read by seeking; of a foreign file nothing
is taken but what has a name that a mirror has, and no name becomes a path.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.core.limits import OBJECT_BYTES_MAX, STATIC_POINTER_BYTES_MAX
from meshnode.core.static_mirror import POINTER_NAME, object_path
from meshnode.errors import UsageError
from meshnode.runtime.files import publish_file, refused_by_disk
from meshnode.runtime.static_mirror.places import Source
from meshnode.runtime.static_mirror.shelves import (
    NotThereError,
    OpenFile,
    UnreachableError,
    read_chunks,
)

FILES_MAX: Final = 1_000_000  # in one bundle: some 200 MB of memory while it is read
_BLOCK: Final = tarfile.BLOCKSIZE
_MODE: Final = 0o644
_OBJECT: Final = re.compile(r"objects/(?P<folder>[0-9a-f]{2})/(?P<name>[0-9a-f]{64})")


class BundleWriter:
    """A place that takes each file once and gives none back."""

    at_once = 1

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def held(self) -> dict[Digest, int]:
        return {}

    def read(self, name: str) -> bytes | None:
        return None

    def add(self, digest: Digest, source: Source) -> None:
        """Append a file, which is read before: half a file cannot be taken back."""
        for _ in source.chunks():
            pass
        self._append(object_path(digest), source.size_bytes, source.chunks())

    def replace(self, name: str, raw: bytes) -> None:
        self._append(name, len(raw), [raw])

    def remove(self, digests: Iterable[Digest]) -> None:
        """Nothing was ever there to leave."""

    def end(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * _BLOCK))

    def _append(self, name: str, size_bytes: int, chunks: Iterable[bytes]) -> None:
        header = tarfile.TarInfo(name)
        header.size, header.mode = size_bytes, _MODE
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        for chunk in chunks:
            self._write(chunk)
        self._write(bytes(-size_bytes % _BLOCK))

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise refused_by_disk("cannot write the bundle", error) from error


@contextmanager
def written_bundle(path: Path) -> Iterator[BundleWriter]:
    """Write a bundle at a path: there is none before the block has ended.

    Raises:
        StorageError: it cannot be written; what was there before is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            writer = BundleWriter(file)
            yield writer
            writer.end()
        publish_file(temporary, path)
    except OSError as error:
        raise refused_by_disk(f"cannot write {path}", error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def streamed_bundle(file: BinaryIO) -> Iterator[BundleWriter]:
    """Write a bundle into a stream, as a whole if the block ends in order."""
    writer = BundleWriter(file)
    yield writer
    writer.end()
    file.flush()


class BundleShelf:
    """Reads a bundle. Where each file lies is learnt once, from the headers alone.

    Raises:
        UsageError: it is no bundle, or was cut off.
        StorageError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_read = False
        self._pointer: tuple[int, int] | None = None  # where it lies, and its size in bytes
        self._places: dict[Digest, tuple[int, int]] = {}
        try:
            self._file = path.open("rb")
            self._read_headers()
        except FileNotFoundError as error:
            raise UsageError(f"there is no {path}", hint="check the path") from error
        except OSError as error:
            raise refused_by_disk(f"cannot read {path}", error) from error
        if self._pointer is None:
            raise self._refused(f"its last file, {POINTER_NAME}, is missing: it was cut off")

    def close(self) -> None:
        self._file.close()

    def names(self) -> frozenset[Digest]:
        """Return which files are in it."""
        return frozenset(self._places)

    async def pointer(self) -> bytes | None:
        """Return the pointer; None when it was read before, since a bundle does not change."""
        if self._is_read or self._pointer is None:
            return None
        start, size = self._pointer
        self._is_read = True
        return await trio.to_thread.run_sync(self._part, start, size)

    @asynccontextmanager
    async def open(self, digest: Digest, offset: int) -> AsyncIterator[OpenFile]:
        """Open a file by a handle of its own: several are read at once."""
        if digest not in self._places:
            raise NotThereError("the bundle does not have it")
        start, size = self._places[digest]
        try:
            file = await trio.to_thread.run_sync(self._path.open, "rb")
        except OSError as error:
            raise UnreachableError(f"cannot read {self._path}: {error.strerror}") from error
        with file:
            file.seek(start + offset)
            yield OpenFile(size, read_chunks(file, size - offset))

    def _part(self, start: int, size: int) -> bytes:
        try:
            self._file.seek(start)
            return self._file.read(size)
        except OSError as error:
            raise UnreachableError(f"cannot read {self._path}: {error.strerror}") from error

    def _read_headers(self) -> None:
        end = os.fstat(self._file.fileno()).st_size
        at = 0
        while header := self._header(at):
            at += _BLOCK
            if at + header.size > end:
                raise self._refused("it ends in the middle of a file: it was cut off")
            self._take(header, at)
            at += header.size + -header.size % _BLOCK

    def _header(self, at: int) -> tarfile.TarInfo | None:
        """Read the header at an offset; None at the end of the archive."""
        self._file.seek(at)
        raw = self._file.read(_BLOCK)
        if not raw.strip(b"\0"):
            return None
        try:
            return tarfile.TarInfo.frombuf(raw, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise self._refused(f"no file begins at byte {at}: {error}") from error

    def _take(self, header: tarfile.TarInfo, at: int) -> None:
        name = _OBJECT.fullmatch(header.name)
        is_pointer = header.name == POINTER_NAME
        size_max = STATIC_POINTER_BYTES_MAX if is_pointer else OBJECT_BYTES_MAX
        if header.type != tarfile.REGTYPE or not 0 <= header.size <= size_max:
            raise self._refused(f"{header.name[:100]!r} is no file of a bundle")
        if is_pointer:
            self._require(self._pointer is None, header)
            self._pointer = at, header.size
            return
        if name is None or name["folder"] != name["name"][:2]:
            raise self._refused(f"{header.name[:100]!r} is no name of a bundle")
        digest = Digest(bytes.fromhex(name["name"]))
        self._require(digest not in self._places and len(self._places) < FILES_MAX, header)
        self._places[digest] = at, header.size

    def _require(self, holds: bool, header: tarfile.TarInfo) -> None:
        if not holds:
            raise self._refused(f"{header.name} is in it twice, or it has too many files")

    def _refused(self, reason: str) -> UsageError:
        self._file.close()
        return UsageError(
            f"{self._path} is not a whole bundle: {reason}",
            hint="copy it again, or write it again: meshnode bundle write",
        )
