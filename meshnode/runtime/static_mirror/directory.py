"""A static mirror in a directory, for a web server or a disk that is carried about."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.core.limits import STATIC_POINTER_BYTES_MAX
from meshnode.core.static_mirror import POINTER_NAME, object_path
from meshnode.errors import UsageError
from meshnode.runtime.files import publish_file, refused_by_disk, write_durably
from meshnode.runtime.static_mirror.places import Source
from meshnode.runtime.static_mirror.shelves import (
    NotThereError,
    OpenFile,
    UnreachableError,
    read_chunks,
)

_OURS: Final = (POINTER_NAME, "objects")


class DirectoryShelf:
    """Reads a static mirror from a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last = b""

    async def pointer(self) -> bytes | None:
        raw = await trio.to_thread.run_sync(self._read_pointer)
        is_same, self._last = raw == self._last, raw
        return None if is_same else raw

    def names(self) -> frozenset[Digest]:
        """Return which files are there. Blocking: call it in a worker thread."""
        return frozenset(Directory(self._root).held())

    @asynccontextmanager
    async def open(self, digest: Digest, offset: int) -> AsyncIterator[OpenFile]:
        path = self._root / object_path(digest)
        try:
            file = await trio.to_thread.run_sync(path.open, "rb")
        except FileNotFoundError as error:
            raise NotThereError(f"there is no {path}") from error
        except OSError as error:
            raise UnreachableError(f"cannot read {path}: {error.strerror}") from error
        with file:
            size = file.seek(0, os.SEEK_END)
            file.seek(offset)
            yield OpenFile(size, read_chunks(file, size - offset))

    def _read_pointer(self) -> bytes:
        path = self._root / POINTER_NAME
        try:
            with path.open("rb") as file:
                return file.read(STATIC_POINTER_BYTES_MAX + 1)
        except FileNotFoundError as error:
            raise NotThereError(f"there is no {path}") from error
        except OSError as error:
            raise UnreachableError(f"cannot read {path}: {error.strerror}") from error


class Directory:
    """Invariant: a file under its final name is whole, and on disk."""

    at_once = 1

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the directory and hold it alone while the block runs.

        Raises:
            UsageError: it holds something else, or another export writes it.
            StorageError: it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = [p.name for p in self.root.iterdir() if not p.name.startswith(".")]
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise refused_by_disk(f"cannot write {self.root}", error) from error
        try:
            if foreign and not any(name in foreign for name in _OURS):
                raise UsageError(
                    f"{self.root} holds other files: {', '.join(sorted(foreign)[:3])}",
                    hint="name an empty or a new directory",
                )
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._drop_unfinished()
            yield
        except BlockingIOError as error:
            raise UsageError(
                f"another export writes {self.root}", hint="try again when it is done"
            ) from error
        finally:
            os.close(descriptor)

    def held(self) -> dict[Digest, int]:
        found = self.root.glob("objects/[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 64)
        return {Digest(bytes.fromhex(path.name)): path.stat().st_size for path in found}

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused_by_disk(f"cannot read {self.root / name}", error) from error

    def add(self, digest: Digest, source: Source) -> None:
        path = self.root / object_path(digest)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                for chunk in source.chunks():
                    file.write(chunk)
            publish_file(temporary, path)
        except OSError as error:
            raise refused_by_disk(f"cannot write {path}", error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def replace(self, name: str, raw: bytes) -> None:
        write_durably(self.root / name, raw)

    def remove(self, digests: Iterable[Digest]) -> None:
        for digest in digests:
            path = self.root / object_path(digest)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise refused_by_disk(f"cannot remove {path}", error) from error
            with suppress(OSError):
                path.parent.rmdir()  # only if it is empty

    def _drop_unfinished(self) -> None:
        """Remove what an export left that was killed: nobody else writes now."""
        try:
            for path in self.root.glob("objects/[0-9a-f][0-9a-f]/.*"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise refused_by_disk(f"cannot clean {self.root}", error) from error
