"""What a source gives beside what is published: which items are new, changed, the same or gone.

Two items are the same if their published bytes are (their SHA-256). Kept in a private SQLite file
that the system removes with the process: memory stays bounded, and an interrupted run leaves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import Enum, auto

import apsw

from meshnode.core.entries import ItemName
from meshnode.core.identifiers import Digest
from meshnode.runtime import sqlite

CACHE_KIB = 64 * 1024  # of about 100 bytes an item; what is beyond goes to the file

_SCHEMA = """
CREATE TABLE item (
  collection TEXT, id TEXT, published BLOB, given BLOB, PRIMARY KEY (collection, id)
) WITHOUT ROWID
"""
_PUBLISHED = "INSERT INTO item VALUES (?, ?, ?, NULL)"
_LOOK = "SELECT published, given FROM item WHERE collection = ? AND id = ?"
_GIVEN = "INSERT INTO item VALUES (?, ?, NULL, ?) ON CONFLICT DO UPDATE SET given = excluded.given"
_HELD = "SELECT count(*) FROM item WHERE collection = ? AND published IS NOT NULL"
_IS_GONE = "collection = ? AND published IS NOT NULL AND given IS NULL"
_GONE = f"SELECT id FROM item WHERE {_IS_GONE} ORDER BY id"  # noqa: S608 - of constants
_GONE_COUNT = f"SELECT count(*) FROM item WHERE {_IS_GONE}"  # noqa: S608 - of constants
_COLLECTIONS = "SELECT DISTINCT collection FROM item WHERE given IS NOT NULL ORDER BY 1"


class Standing(Enum):
    """How an item that a source gives stands to what is published and to what came before it."""

    NEW = auto()
    CHANGED = auto()
    SAME = auto()
    REPEATED = auto()  # these very bytes came before in this run
    CONFLICTING = auto()  # other bytes of this item came before in this run


class Difference:
    """Invariant: of an item the first bytes that the source gave count; `published` never changes.

    Raises:
        StorageError: the disk refused the temporary file.
    """

    def __init__(self) -> None:
        with _storage_errors():
            self._database = apsw.Connection("")
            self._database.pragma("journal_mode", "off")
            self._database.pragma("cache_size", -CACHE_KIB)
            self._database.execute(_SCHEMA)
            self._database.execute("BEGIN")

    def hold(self, published: Iterable[tuple[str, str, Digest]]) -> None:
        """Take in (collection, id, digest) of published items, before any item is looked at."""
        with _storage_errors():
            self._database.executemany(_PUBLISHED, published)

    def look(self, name: ItemName, digest: Digest) -> Standing:
        """Say how an item of the source stands, and remember that the source has it."""
        with _storage_errors():
            published, given = self._database.execute(
                _LOOK, (name.collection, name.id)
            ).fetchone() or (None, None)
            if given is not None:
                return Standing.REPEATED if given == digest else Standing.CONFLICTING
            self._database.execute(_GIVEN, (name.collection, name.id, digest))
        if published is None:
            return Standing.NEW
        return Standing.SAME if published == digest else Standing.CHANGED

    def is_published(self, name: ItemName) -> bool:
        with _storage_errors():
            found = self._database.execute(_LOOK, (name.collection, name.id)).fetchone()
        return found is not None and found[0] is not None

    def held(self, collection: str) -> int:
        """Count the published items of a collection."""
        with _storage_errors():
            return int(self._database.execute(_HELD, (collection,)).get)

    def gone(self, collection: str) -> Iterator[str]:
        """Yield the ids of published items that the source did not give, in order."""
        with _storage_errors():
            for (id_,) in self._database.execute(_GONE, (collection,)):
                yield id_

    def gone_count(self, collection: str) -> int:
        with _storage_errors():
            return int(self._database.execute(_GONE_COUNT, (collection,)).get)

    def collections(self) -> list[str]:
        """Return the collections of which the source gave an item."""
        with _storage_errors():
            return [name for (name,) in self._database.execute(_COLLECTIONS)]

    def close(self) -> None:
        self._database.close()


def _storage_errors() -> AbstractContextManager[None]:
    return sqlite.storage_errors("cannot keep the difference", if_damaged="run it again")
