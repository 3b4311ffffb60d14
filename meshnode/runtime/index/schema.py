"""The index's tables: their layout, their format number, and the connections to them.

The index is derived: a file of an older format is deleted and built again from the log.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import apsw

from meshnode.errors import StorageError
from meshnode.runtime import sqlite
from meshnode.runtime.index import change_tables
from meshnode.runtime.index.words import TOKENIZER
from meshnode.runtime.sqlite import transaction

FORMAT = 5
READ_WAIT_MS = 10_000  # a reader waits only while SQLite recovers or closes its journal
CACHE_KIB = 64 * 1024  # of the one writer; readers share the pages the system caches

# An item row is thin, its bytes lie in `body`: a walk by time then reads few pages. Rows enter
# invisible; the triggers alone keep `box` and the counter of a collection in step with `visible`.
# `reach_us` says how far any interval of the collection stretched from its item's moment; it may
# be too large after a removal, never too small. A segment that is not live is still being added.
# An item pays for an index to sort by only if it has the property.
# `word` has the words of every row, also of those that do not show; `property` the names of what
# items say. `sealed` is the greatest clock of a withdrawal for whose reason no segment with the row
# is served.
_SCHEMA = f"""
CREATE TABLE collection (
  key INTEGER PRIMARY KEY, catalogue BLOB NOT NULL, name TEXT NOT NULL,
  items INTEGER NOT NULL DEFAULT 0, reach_us INTEGER NOT NULL DEFAULT 0,
  UNIQUE (catalogue, name));
CREATE TABLE segment (
  key INTEGER PRIMARY KEY, collection INTEGER NOT NULL, digest BLOB NOT NULL,
  writer BLOB NOT NULL, clock INTEGER NOT NULL, live INTEGER NOT NULL, sample BLOB NOT NULL);
CREATE INDEX segment_digest ON segment (collection, digest);
CREATE TABLE item (
  key INTEGER PRIMARY KEY, collection INTEGER NOT NULL, id TEXT NOT NULL,
  segment INTEGER NOT NULL, clock INTEGER NOT NULL, visible INTEGER NOT NULL,
  moment_us INTEGER NOT NULL, first_us INTEGER, last_us INTEGER,
  west REAL NOT NULL, south REAL NOT NULL, east REAL NOT NULL, north REAL NOT NULL,
  low_m REAL, high_m REAL, created_us INTEGER, updated_us INTEGER, cloud_cover REAL, gsd REAL,
  platform TEXT, constellation TEXT, proj_code TEXT);
CREATE UNIQUE INDEX item_id ON item (collection, id, segment);
CREATE INDEX item_segment ON item (segment);
CREATE INDEX item_moment ON item (moment_us) WHERE visible;
CREATE INDEX item_collection_moment ON item (collection, moment_us) WHERE visible;
CREATE INDEX item_cloud_cover ON item (cloud_cover) WHERE visible AND cloud_cover IS NOT NULL;
CREATE INDEX item_created ON item (created_us) WHERE visible AND created_us IS NOT NULL;
CREATE INDEX item_updated ON item (updated_us) WHERE visible AND updated_us IS NOT NULL;
CREATE TABLE dguid (
  place TEXT, vintage TEXT, key INTEGER, PRIMARY KEY (place, vintage, key)) WITHOUT ROWID;
CREATE INDEX dguid_key ON dguid (key);
CREATE TABLE body (key INTEGER PRIMARY KEY, zstd BLOB NOT NULL);
CREATE TABLE tombstone (
  collection INTEGER, id TEXT, clock INTEGER NOT NULL, sealed INTEGER NOT NULL,
  PRIMARY KEY (collection, id)) WITHOUT ROWID;
CREATE INDEX tombstone_sealed ON tombstone (sealed) WHERE sealed > 0;
CREATE VIRTUAL TABLE box USING rtree (key, west, east, south, north);
CREATE TABLE property (
  segment INTEGER, name TEXT, PRIMARY KEY (segment, name)) WITHOUT ROWID;
CREATE INDEX property_name ON property (name);
CREATE VIRTUAL TABLE word USING fts5 (
  text, content = '', contentless_delete = 1, tokenize = '{TOKENIZER}');

CREATE TRIGGER shown AFTER UPDATE OF visible ON item WHEN new.visible > old.visible BEGIN
  INSERT INTO box VALUES (new.key,
    iif(new.west <= new.east, new.west, -180), iif(new.west <= new.east, new.east, 180),
    new.south, new.north);
  UPDATE collection SET items = items + 1, reach_us = max(reach_us,
    ifnull(new.moment_us - new.first_us, 0), ifnull(new.last_us - new.moment_us, 0))
    WHERE key = new.collection;
END;
CREATE TRIGGER hidden AFTER UPDATE OF visible ON item WHEN new.visible < old.visible BEGIN
  DELETE FROM box WHERE key = old.key;
  UPDATE collection SET items = items - 1 WHERE key = old.collection;
END;
CREATE TRIGGER removed AFTER DELETE ON item BEGIN
  DELETE FROM body WHERE key = old.key;
  DELETE FROM dguid WHERE key = old.key;
  DELETE FROM word WHERE rowid = old.key;
  DELETE FROM box WHERE old.visible AND key = old.key;
  UPDATE collection SET items = items - 1 WHERE old.visible AND key = old.collection;
END;
CREATE TRIGGER segment_removed AFTER DELETE ON segment BEGIN
  DELETE FROM property WHERE segment = old.key;
END;
"""  # noqa: S608 - a constant


def open_writer(path: Path) -> apsw.Connection:
    """Open the index to write, made or remade if need be.

    Raises:
        StorageError: a newer format, not a database, or the disk refused.
    """
    with storage_errors(f"cannot open {path}"):
        database = _connect(path)
        number = database.pragma("user_version")
        if number > FORMAT:
            database.close()
            raise StorageError(
                f"{path} has format {number}, this version knows {FORMAT}",
                hint="install a newer meshnode, or delete the file: it is built again from the log",
            )
        if 0 < number < FORMAT:
            database.close()
            delete(path)
            database = _connect(path)
        if number < FORMAT:
            _make(database)
        change_tables.ensure(database)
        database.execute("CREATE TEMP TABLE touched (id TEXT PRIMARY KEY) WITHOUT ROWID")
        database.execute(
            "CREATE TEMP TABLE withdrawn (collection INTEGER, id TEXT, clock INTEGER NOT NULL,"
            " sealed INTEGER NOT NULL, PRIMARY KEY (collection, id)) WITHOUT ROWID"
        )
        database.execute("CREATE TEMP TABLE anew (key INTEGER PRIMARY KEY, zstd BLOB NOT NULL)")
    return database


def open_reader(path: Path) -> apsw.Connection:
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    database.set_busy_timeout(READ_WAIT_MS)
    return database


def storage_errors(doing: str) -> AbstractContextManager[None]:
    hint = "delete the file: it is built again from the log at the next start"
    return sqlite.storage_errors(doing, if_damaged=hint)


def _connect(path: Path) -> apsw.Connection:
    database = apsw.Connection(str(path))
    database.pragma("journal_mode", "wal")
    # A power loss may take back the last transactions, never tear one: the node asks again.
    database.pragma("synchronous", "normal")
    database.pragma("cache_size", -CACHE_KIB)
    database.pragma("secure_delete", "on")  # what is erased leaves nothing in free pages
    database.set_busy_timeout(READ_WAIT_MS)  # emptying the journal waits for readers
    return database


def _make(database: apsw.Connection) -> None:
    with transaction(database):
        database.execute(_SCHEMA)
        database.pragma("user_version", FORMAT)


def delete(path: Path) -> None:
    """Delete an index that nobody has open; the next start makes it again from the log."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
