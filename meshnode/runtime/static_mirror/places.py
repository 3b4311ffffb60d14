"""Where the files of a static mirror are put: a directory, an archive, an object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from meshnode.core.identifiers import Digest
from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk

_READ_BYTES: Final = 1 << 20


class DamagedError(StorageError):
    """An object's bytes on this disk are not what its name says."""


class Place(Protocol):
    """Takes files, most of them named by their hash. Blocking: call it in a worker thread.

    All methods raise StorageError where the place refuses. `at_once`: so many files may be added
    at the same time, by as many threads; where it is 1, in an order that does not change.
    """

    @property
    def at_once(self) -> int: ...

    def held(self) -> dict[Digest, int]:
        """Return which files named by a hash are there as a whole, with their sizes in bytes."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a small file, None if it is not there."""
        ...

    def add(self, digest: Digest, source: Source) -> None:
        """Put a file under its hash; it is there as a whole or not at all.

        Raises:
            DamagedError: the bytes hash to something else; nothing is there then.
        """
        ...

    def replace(self, name: str, raw: bytes) -> None:
        """Put a small file in place of the one of this name, at once for every reader."""
        ...

    def remove(self, digests: Iterable[Digest]) -> None: ...


class Source:
    """The bytes of one file, checked against its hash while they are read."""

    def __init__(self, digest: Digest, size_bytes: int, origin: bytes | Path) -> None:
        self.size_bytes = size_bytes
        self._digest = digest
        self._origin = origin

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes; the end comes only if they are what the name says.

        Raises:
            DamagedError: they are not.
            StorageError: they cannot be read.
        """
        hashed, size = hashlib.sha256(), 0
        for chunk in self._read():
            hashed.update(chunk)
            size += len(chunk)
            yield chunk
        if (hashed.digest(), size) != (self._digest, self.size_bytes):
            raise DamagedError(f"{self._named()} is damaged", hint="meshnode verify names all")

    def _read(self) -> Iterator[bytes]:
        if isinstance(self._origin, bytes):
            yield self._origin
            return
        try:
            with self._origin.open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    yield chunk
        except FileNotFoundError:
            return  # erased in this moment: it is not what its name says
        except OSError as error:
            raise refused_by_disk(f"cannot read {self._origin}", error) from error

    def _named(self) -> str:
        return str(self._origin) if isinstance(self._origin, Path) else self._digest.hex()
