"""A SQLite file of a peer, read without a trace while the peer may write it or not run at all.

A reader that joins a peer's write-ahead log shares its `-shm` file, as the peer's own readers do
(sqlite.org/wal.html). Where no peer runs there is no such file, and SQLite would make one: the file
is then read as one that never changes, and read again if it did change meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import apsw

from meshnode.errors import StorageError
from meshnode.runtime.sqlite import storage_errors, transaction

TRIES_MAX: Final = 5  # a peer starts or ends at most once while a page is read
WAIT_MS: Final = 10_000  # a reader waits only while SQLite recovers or closes its journal

Result = TypeVar("Result")
_State = tuple[int, int, int] | None


def read(path: Path, work: Callable[[apsw.Connection], Result]) -> Result:
    """Do `work` within one snapshot of the database; afterwards nothing of it is open.

    Raises:
        StorageError: there is no such file, or it cannot be read.
    """
    with storage_errors(f"cannot read {path}", if_damaged="start the peer: it mends what it can"):
        for _ in range(TRIES_MAX):
            if _is_shared(path):
                return _within(path, "", work)
            before = _state(path)
            try:
                result = _within(path, "&immutable=1", work)
            except apsw.Error:
                if not _is_shared(path) and _state(path) == before:
                    raise
            else:
                if not _is_shared(path) and _state(path) == before:
                    return result
    raise StorageError(f"{path} changes all the time", hint="try again in a moment")


def _within(path: Path, option: str, work: Callable[[apsw.Connection], Result]) -> Result:
    address = f"file:{quote(os.fspath(path.absolute()))}?mode=ro{option}"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with closing(apsw.Connection(address, flags=flags)) as database:
        database.set_busy_timeout(WAIT_MS)
        with transaction(database):
            return work(database)


def _is_shared(path: Path) -> bool:
    """Say whether a peer has the file open, or left its journal behind when it was killed."""
    return any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
