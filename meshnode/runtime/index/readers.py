"""The index's reading connections: no read waits for another, and the end waits for none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from meshnode.errors import StorageError
from meshnode.runtime.index.reader import Budget, Reader
from meshnode.runtime.index.schema import open_reader


class Readers:
    """Connections that read. Invariant: each is idle, or used by one thread, or closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._idle: list[Reader] = []
        self._busy: dict[Reader, float] = {}  # since when
        self._seconds = 0.0  # of reads that ended
        self._is_closed = False

    @contextmanager
    def one(self, budget: Budget) -> Iterator[Reader]:
        with self._mutex:
            if self._is_closed:
                raise StorageError(f"{self._path} is closed: the peer is ending")
            reader = self._idle.pop() if self._idle else Reader(open_reader(self._path))
            self._busy[reader] = time.perf_counter()
        try:
            with reader.within(budget):
                yield reader
        except apsw.InterruptError as error:
            raise StorageError(f"{self._path} was closed: the peer is ending") from error
        finally:
            self._give_back(reader)

    def seconds(self) -> float:
        """Return for how long reads have run, those that still run included."""
        with self._mutex:
            now = time.perf_counter()
            return self._seconds + sum(now - begun for begun in self._busy.values())

    def close(self) -> None:
        """Close the idle ones; a busy one is interrupted, and its own thread closes it."""
        with self._mutex:
            self._is_closed = True
            for reader in self._busy:
                reader.database.interrupt()
            for reader in self._idle:
                reader.database.close()
            self._idle.clear()

    def _give_back(self, reader: Reader) -> None:
        with self._mutex:
            self._seconds += time.perf_counter() - self._busy.pop(reader)
            if self._is_closed:
                reader.database.close()
            else:
                self._idle.append(reader)
