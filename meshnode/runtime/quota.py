"""What this peer may keep on the disk, all together: payloads, segments, the index, the log.

Counted in the blocks that files occupy, so that the holes of a file that is fetched in parts cost
nothing. Room is reserved before bytes come; what does not fit is refused before the first one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk

_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system's own is
# For what grows without asking (the log, SQLite's journals) and for what is on its way when a
# download is given up; a small quota holds back a part of itself instead.
_MARGIN_BYTES_MAX: Final = 64 << 20
_MARGIN_PART: Final = 16


class QuotaError(StorageError):
    """It would not fit into what the operator gives."""


@dataclass(frozen=True, slots=True)
class Usage:
    """`used_bytes` is None before the first measurement; `limit_bytes` 0: the disk's own limit.

    `free_bytes_min` of the disk stay free for others.
    """

    used_bytes: int | None
    reserved_bytes: int
    limit_bytes: int
    free_bytes_min: int


class Quota:
    """Room below one folder. Invariant: what is used and what is reserved fit into the limit.

    What was reserved and given back counts as used until the folder is measured again: some of it
    is on the disk by then.
    """

    def __init__(self, root: Path, limit_bytes: int = 0, free_bytes_min: int = 0) -> None:
        self._root = root
        self._limit = limit_bytes
        self._free_min = free_bytes_min
        self._measured: int | None = None
        self._unmeasured = 0
        self._reserved: dict[Hashable, int] = {}
        self._asking = trio.Lock()
        self._evict: list[Callable[[int], Awaitable[bool]]] = []

    def on_need(self, evict: Callable[[int], Awaitable[bool]]) -> None:
        """Have this called with the bytes that are wanted when there is no room for them.

        It removes something, at best so much, or says that it cannot.
        """
        self._evict.append(evict)

    @property
    def is_disk_full(self) -> bool:
        """Say whether others filled the disk into the part that is to stay free."""
        return bool(self._free_min) and self._free_bytes() < self._free_min

    @property
    def free_bytes_missing(self) -> int:
        """Return how much of what is to stay free on the disk is not."""
        return max(self._free_min - self._free_bytes(), 0)

    async def reserve(self, name: Hashable, size_bytes: int, *, is_payload: bool = True) -> None:
        """Add so many bytes to what is reserved under a name.

        Only files of payloads are kept from the margin and from what stays free on the disk:
        catalogues go before them.

        Raises:
            QuotaError: there is no room, also after all was removed that may be.
            StorageError: the folder cannot be measured.
        """
        async with self._asking:
            if not await self._makes_room(size_bytes, is_payload=is_payload):
                raise self._refusal(size_bytes)
            self._reserved[name] = self._reserved.get(name, 0) + size_bytes

    def keep(self, name: Hashable, size_bytes: int) -> None:
        """Give back what is reserved under a name beyond so many bytes."""
        before = self._reserved.pop(name, 0)
        kept = min(before, size_bytes)
        self._unmeasured += before - kept
        if kept:
            self._reserved[name] = kept

    def known(self) -> Usage:
        """Return what was measured last, and what is reserved now."""
        reserved = sum(self._reserved.values())
        return Usage(self._measured, reserved, self._limit, self._free_min)

    async def measure(self) -> None:
        """Add up what is on the disk now; raises StorageError."""
        given_back = self._unmeasured
        self._measured = await trio.to_thread.run_sync(occupied_bytes, self._root)
        self._unmeasured -= given_back

    async def _makes_room(self, size_bytes: int, *, is_payload: bool) -> bool:
        if self._fits(size_bytes, is_payload=is_payload):
            return True
        if self._limit:
            await self.measure()
        while not self._fits(size_bytes, is_payload=is_payload):
            if not await self._evicts(size_bytes):
                return False
            await self.measure()
        return True

    async def _evicts(self, size_bytes: int) -> bool:
        for evict in self._evict:
            if await evict(size_bytes):
                return True
        return False

    def _fits(self, size_bytes: int, *, is_payload: bool) -> bool:
        wanted = sum(self._reserved.values()) + size_bytes
        stays_free = self._free_min if is_payload else 0
        if stays_free and self._free_bytes() - wanted < stays_free:
            return False
        if not self._limit:
            return True
        margin = min(_MARGIN_BYTES_MAX, self._limit // _MARGIN_PART) if is_payload else 0
        return (
            self._measured is not None
            and self._measured + self._unmeasured + wanted <= self._limit - margin
        )

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._root).free

    def _refusal(self, size_bytes: int) -> QuotaError:
        known = self.known()
        free = self._free_bytes()
        if known.free_bytes_min and free - known.reserved_bytes - size_bytes < known.free_bytes_min:
            return QuotaError(
                f"{_text(size_bytes)} more do not fit: {_text(free)} are free on the disk,"
                f" {_text(known.reserved_bytes)} reserved, and {_text(known.free_bytes_min)} stay"
                " free",
                hint="free disk space, or lower payload.free_bytes_min",
            )
        return QuotaError(
            f"{_text(size_bytes)} more do not fit: of {_text(known.limit_bytes)} that this peer may"
            f" keep, {_text(known.used_bytes or 0)} are used and {_text(known.reserved_bytes)}"
            " reserved",
            hint="meshnode payload drop KEY frees some; or raise payload.quota_bytes",
        )


def occupied_bytes(root: Path) -> int:
    """Add up the blocks of all files and folders below a folder, each once. Blocks.

    Raises:
        StorageError: a folder cannot be read.
    """
    seen: dict[tuple[int, int], int] = {}
    waiting = [str(root)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    seen[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK_BYTES
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError as error:
            raise refused_by_disk(f"cannot measure {root}", error) from error
    return sum(seen.values())


def _text(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.2f} GB"
