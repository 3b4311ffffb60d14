"""An object on its way to this disk: its bytes so far, hashed as they come, kept across breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from meshnode.core.identifiers import Digest
from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk

_READ_BYTES: Final = 1 << 20


class Download:
    """A partial file, the hash of what it holds, and what came since the last `keep`.

    Invariant: the hash covers exactly the bytes of the file; they and those that are to be kept are
    the first `offset` bytes of the object, at most `size_bytes`.

    Whatever touches the disk blocks: call it in a worker thread.

    Raises (those methods):
        StorageError: the disk refused.
    """

    def __init__(self, path: Path, digest: Digest, size_bytes: int) -> None:
        self.path = path
        self.offset = 0
        self._digest = digest
        self._size_bytes = size_bytes
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._coming: list[bytes] = []

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except StorageError:
            if error is None:
                raise

    @property
    def is_begun(self) -> bool:
        """True if an earlier attempt left bytes, with which `resume` goes on."""
        return self.path.exists()

    @property
    def is_whole(self) -> bool:
        return self.offset == self._size_bytes

    @property
    def is_right(self) -> bool:
        """True if what is kept hashes to the object's name; only a whole object does."""
        return self._hash.digest() == self._digest

    def take(self, *chunks: bytes) -> None:
        """Take the chunks that come next into memory; does not block."""
        self._coming += chunks
        self.offset += sum(map(len, chunks))
        assert self.offset <= self._size_bytes

    # --- On the disk ------------------------------------------------------------------------------
    def resume(self) -> None:
        """Go on where an earlier attempt ended; one that is too long is of no use."""
        with self._storage_errors():
            file = self._opened()
            if file.seek(0, 2) > self._size_bytes:
                file.truncate(0)
            file.seek(0)
            while part := file.read(_READ_BYTES):
                self._hash.update(part)
                self.offset += len(part)

    def keep(self) -> None:
        """Write down what was taken."""
        chunks, self._coming = self._coming, []
        with self._storage_errors():
            self._opened().writelines(chunks)
        for chunk in chunks:
            self._hash.update(chunk)

    def close(self) -> None:
        """Give the bytes to the system; what was taken and not kept is lost."""
        file, self._file = self._file, None
        if file is not None:
            with self._storage_errors():
                file.close()

    def discard(self) -> None:
        """Forget every byte: they are not what the name says."""
        self.path.unlink(missing_ok=True)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.path.open("a+b")
        return self._file

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise refused_by_disk(f"cannot write {self.path}", error) from error
