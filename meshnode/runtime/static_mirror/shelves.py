"""What a reader needs of a static mirror: its pointer, and the files named by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol
from urllib.parse import urlsplit

import trio

from meshnode.core.entries import ObjectRef
from meshnode.core.identifiers import Digest
from meshnode.core.limits import URL_BYTES_MAX
from meshnode.core.static_mirror import POINTER_NAME
from meshnode.errors import PeerError, UsageError

_READ_BYTES: Final = 256 << 10


class NotThereError(PeerError):
    """The mirror has no such file: no fault, it may have left (N-85)."""


class UnreachableError(PeerError):
    """The mirror cannot be read now; `seconds`: it asks not to be asked before."""

    def __init__(self, message: str, seconds: float = 0.0, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class WrongFileError(PeerError):
    """A file is not what its name says."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file of `size_bytes` in all, and its bytes from where it was opened on."""

    size_bytes: int
    chunks: AsyncGenerator[bytes, None]


class Shelf(Protocol):
    """Reads one mirror. Every method may raise NotThereError or UnreachableError."""

    async def pointer(self) -> bytes | None:
        """Return the pointer; None if it is as it was when it was read last."""
        ...

    def open(self, digest: Digest, offset: int) -> AbstractAsyncContextManager[OpenFile]:
        """Open a file, of untrusted bytes, at an offset."""
        ...


async def read_whole(shelf: Shelf, file: ObjectRef) -> bytes:
    """Read a file that another names, and check it against its name.

    Raises:
        WrongFileError: it is another one.
        NotThereError, UnreachableError: it cannot be had.
    """
    gathered = bytearray()
    async with shelf.open(file.digest, 0) as opened, aclosing(opened.chunks) as chunks:
        async for chunk in chunks:
            gathered += chunk
            if len(gathered) > file.size_bytes:
                break
    raw = bytes(gathered)
    if len(raw) != file.size_bytes or hashlib.sha256(raw).digest() != file.digest:
        raise WrongFileError(f"the file {file.digest.hex()} is not what its name says")
    return raw


async def read_chunks(file: BinaryIO, size_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the next bytes of a local file, so many at most.

    Raises:
        UnreachableError: the disk refuses.
    """
    left = size_bytes
    try:
        while left > 0 and (
            chunk := await trio.to_thread.run_sync(file.read, min(_READ_BYTES, left))
        ):
            left -= len(chunk)
            yield chunk
    except OSError as error:
        raise UnreachableError(f"cannot be read: {error.strerror}") from error


def folder_url(url: str) -> str:
    """Return the URL of a mirror's folder, with a slash at its end.

    Raises:
        UsageError: it is no plain http or https URL.
    """
    parts = urlsplit(url)
    is_plain = url.isascii() and url.isprintable() and not any(c in url for c in " \\")
    try:
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    if (
        parts.scheme not in ("http", "https")
        or not (has_host and is_plain)
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or len(url) > URL_BYTES_MAX
    ):
        raise UsageError(
            f"{url[:200]!r} is not the address of a static mirror",
            hint="name its folder, like https://data.example.org/mesh/",
        )
    return url.removesuffix(POINTER_NAME).rstrip("/") + "/"
