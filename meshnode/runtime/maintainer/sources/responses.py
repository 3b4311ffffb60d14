"""What web servers answered last time, kept so that what did not change is not sent again.

Derived: deleting the file costs one full reading of the sources. Only answers with a validator
(ETag or Last-Modified, RFC 9110 section 8.8) are kept.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import apsw
import zstandard

from meshnode.runtime import sqlite

_SCHEMA = """
CREATE TABLE IF NOT EXISTS response (
  source TEXT, url TEXT, run INTEGER NOT NULL, etag TEXT, modified TEXT, body BLOB NOT NULL,
  PRIMARY KEY (source, url)) WITHOUT ROWID
"""
_GET = "SELECT etag, modified, body FROM response WHERE source = ? AND url = ?"
_USED = "UPDATE response SET run = ? WHERE source = ? AND url = ?"
_PUT = "INSERT OR REPLACE INTO response VALUES (?, ?, ?, ?, ?, ?)"
_LAST_RUN = "SELECT max(run) FROM response WHERE source = ?"
_FORGET = "DELETE FROM response WHERE source = ? AND run < ?"
_LEVEL = 3  # written once, read once a night


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer with what a server needs to say that it is the same still."""

    etag: str | None
    modified: str | None
    body: bytes

    def conditions(self) -> dict[str, str]:
        return {
            name: value
            for name, value in (("If-None-Match", self.etag), ("If-Modified-Since", self.modified))
            if value is not None
        }


class Responses:
    """The answers of one source. Invariant: what two runs did not use is gone.

    Raises:
        StorageError: the disk refused, or the file is damaged.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self._mutex = threading.Lock()
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._decompress = zstandard.ZstdDecompressor().decompress
        with self._storage_errors():
            self._database = apsw.Connection(str(path))
            self._database.pragma("journal_mode", "wal")
            self._database.pragma("synchronous", "normal")
            self._database.execute(_SCHEMA)
            self._run = (self._database.execute(_LAST_RUN, (source,)).get or 0) + 1

    def get(self, url: str) -> Kept | None:
        with self._mutex, self._storage_errors():
            found = self._database.execute(_GET, (self._source, url)).fetchone()
            if found is None:
                return None
            self._database.execute(_USED, (self._run, self._source, url))
        etag, modified, body = found
        return Kept(etag, modified, self._decompress(body))

    def put(self, url: str, kept: Kept) -> None:
        if kept.etag is None and kept.modified is None:
            return
        row = (self._source, url, self._run, kept.etag, kept.modified, self._compress(kept.body))
        with self._mutex, self._storage_errors():
            self._database.execute(_PUT, row)

    def close(self) -> None:
        """Forget what neither this run nor the one before used."""
        with self._mutex, self._storage_errors():
            self._database.execute(_FORGET, (self._source, self._run - 1))
            self._database.close()

    def _storage_errors(self) -> AbstractContextManager[None]:
        hint = f"delete {self._path}: the sources are then read anew"
        return sqlite.storage_errors(f"cannot use {self._path}", if_damaged=hint)
