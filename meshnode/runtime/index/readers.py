"""The index's reading connections: no read waits for another, and the end waits for none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from meshnode.errors import StorageError
from meshnode.runtime.index.schema import open_reader


class Readers:
    """Connections that read. Invariant: each is idle, or used by one thread, or closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._idle: list[apsw.Connection] = []
        self._busy: list[apsw.Connection] = []
        self._is_closed = False

    @contextmanager
    def one(self) -> Iterator[apsw.Connection]:
        with self._mutex:
            if self._is_closed:
                raise StorageError(f"{self._path} is closed: the peer is ending")
            database = self._idle.pop() if self._idle else open_reader(self._path)
            self._busy.append(database)
        try:
            yield database
        except apsw.InterruptError as error:
            raise StorageError(f"{self._path} was closed: the peer is ending") from error
        finally:
            self._give_back(database)

    def close(self) -> None:
        """Close the idle ones; a busy one is interrupted, and its own thread closes it."""
        with self._mutex:
            self._is_closed = True
            for database in self._busy:
                database.interrupt()
            for database in self._idle:
                database.close()
            self._idle.clear()

    def _give_back(self, database: apsw.Connection) -> None:
        with self._mutex:
            self._busy.remove(database)
            if self._is_closed:
                database.close()
            else:
                self._idle.append(database)
