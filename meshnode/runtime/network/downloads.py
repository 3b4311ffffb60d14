"""An object on its way to this disk: its bytes so far, hashed as they come, kept across breaks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Final

from meshnode.core.identifiers import Digest
from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk

_READ_BYTES: Final = 1 << 20


class Download:
    """A partial file and the hash of what it holds. Blocking: call it in a worker thread.

    Invariant: the hash covers exactly the first `offset` bytes of the file, and those are at most
    `size_bytes`.

    Raises (all methods):
        StorageError: the disk refused.
    """

    def __init__(self, path: Path, digest: Digest, size_bytes: int) -> None:
        self.path = path
        self.offset = 0
        self._digest = digest
        self._size_bytes = size_bytes
        self._hash = hashlib.sha256()
        try:
            self._file = path.open("a+b")
            self._take_over()
        except OSError as error:
            raise self._storage_error(error) from error

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except OSError as closing:
            if error is None:
                raise self._storage_error(closing) from closing

    @property
    def is_whole(self) -> bool:
        return self.offset == self._size_bytes

    @property
    def is_right(self) -> bool:
        """True if the bytes hash to the object's name; only a whole object does."""
        return self._hash.digest() == self._digest

    def take(self, *chunks: bytes) -> None:
        """Keep the chunks that come next."""
        assert self.offset + sum(map(len, chunks)) <= self._size_bytes
        try:
            self._file.writelines(chunks)
        except OSError as error:
            raise self._storage_error(error) from error
        for chunk in chunks:
            self._hash.update(chunk)
            self.offset += len(chunk)

    def discard(self) -> None:
        """Forget every byte: they are not what the name says."""
        self.path.unlink(missing_ok=True)

    def _take_over(self) -> None:
        """Go on where an earlier attempt ended; one that is too long is of no use."""
        if self._file.seek(0, 2) > self._size_bytes:
            self._file.truncate(0)
        self._file.seek(0)
        while part := self._file.read(_READ_BYTES):
            self._hash.update(part)
            self.offset += len(part)

    def _storage_error(self, error: OSError) -> StorageError:
        return refused_by_disk(f"cannot write {self.path}", error)
