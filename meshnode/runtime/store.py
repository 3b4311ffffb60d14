"""The disk: objects by their hash, and the roots and logs this peer has checked.

Objects are files under `objects/`; roots, heads, entries and what is followed are rows of one
SQLite database, written one transaction a batch (`synchronous = FULL`: one fsync). Owns durability
and nothing of what the bytes mean.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, assert_never

import apsw
import structlog

from meshnode.core import events as ev
from meshnode.core.events import LogId, Restored, StoredLog
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.errors import StorageError
from meshnode.runtime.files import publish_file, sync_directory
from meshnode.runtime.home import Home
from meshnode.runtime.sqlite import storage_errors, transaction

SCHEMA_VERSION = 3
ANSWER_BYTES_MAX = 1 << 20  # of heads and entries in one answer; the asker asks on
ANSWER_HEADS_MAX = 256
INCOMING_KEPT_SECONDS = 7 * 86_400  # longer than who goes on with it is away

_log = structlog.get_logger()

_SCHEMA = """
CREATE TABLE followed (catalogue BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE heads (catalogue BLOB, writer BLOB, seq INTEGER, raw BLOB NOT NULL,
                    PRIMARY KEY (catalogue, writer, seq)) WITHOUT ROWID;
CREATE TABLE entries (catalogue BLOB, writer BLOB, position INTEGER, raw BLOB NOT NULL,
                      PRIMARY KEY (catalogue, writer, position)) WITHOUT ROWID;
"""
_TRUST = """
CREATE TABLE roots (catalogue BLOB, version INTEGER, raw BLOB NOT NULL,
                    PRIMARY KEY (catalogue, version, raw)) WITHOUT ROWID;
CREATE TABLE stamps (catalogue BLOB, entry BLOB, stored INTEGER NOT NULL,
                     PRIMARY KEY (catalogue, entry)) WITHOUT ROWID;
"""
_DENIALS = """
CREATE TABLE IF NOT EXISTS deny_lists (name TEXT PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
"""
# Format 1 kept one root a version, and no times; format 2 no deny lists.
_FROM_FORMAT_1 = f"""
ALTER TABLE roots RENAME TO former;
{_TRUST}
INSERT INTO roots SELECT catalogue, version, raw FROM former;
DROP TABLE former;
"""  # noqa: S608 - a constant
_UPGRADES = (_SCHEMA + _TRUST + _DENIALS, _FROM_FORMAT_1 + _DENIALS, _DENIALS)  # by format held
_HEADS_AFTER = (
    "SELECT raw FROM heads WHERE catalogue = ? AND writer = ? AND seq > ? ORDER BY seq LIMIT ?"
)
_ENTRIES_FROM = (
    "SELECT raw FROM entries WHERE catalogue = ? AND writer = ? AND position >= ? ORDER BY position"
)


class Store:
    """One connection, used by one thread at a time. Opened under the home's lock."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._mutex = threading.Lock()
        with _errors(f"cannot open {home.log}"):
            self._database = apsw.Connection(str(home.log))
            self._database.pragma("journal_mode", "wal")
            self._database.pragma("synchronous", "full")
            self._prepare()

    def close(self) -> None:
        with self._mutex:
            self._database.close()

    # --- What the node decided --------------------------------------------------------------------
    def commit(self, effects: Sequence[ev.Durable]) -> None:
        """Make a batch durable, all of it or nothing.

        Raises:
            StorageError: the disk refused.
        """
        if not effects:
            return
        with self._mutex, _errors(f"cannot write {self._home.log}"), transaction(self._database):
            for effect in effects:
                self._write(effect)

    def restored(self) -> Restored:
        """Return all that was committed, and which objects are held (`indexed` is left empty)."""
        with self._mutex, _errors(f"cannot read {self._home.log}"):
            followed = [CatalogueId(row[0]) for row in self._rows("SELECT * FROM followed")]
            roots: dict[CatalogueId, list[bytes]] = {}
            for catalogue, raw in self._rows(
                "SELECT catalogue, raw FROM roots ORDER BY 1, version, 2"
            ):
                roots.setdefault(CatalogueId(catalogue), []).append(raw)
            logs = self._rows("SELECT DISTINCT catalogue, writer FROM heads ORDER BY 1, 2")
            stamps = [
                ev.StampEntry(CatalogueId(catalogue), Digest(entry), unix)
                for catalogue, entry, unix in self._rows("SELECT * FROM stamps ORDER BY 1, 2")
            ]
            stored = [self._stored_log(LogId(CatalogueId(c), Kid(w))) for c, w in list(logs)]
        return Restored(
            followed=tuple(followed),
            roots=tuple((catalogue, tuple(raws)) for catalogue, raws in roots.items()),
            logs=tuple(stored),
            objects=self._objects(),
            stamps=tuple(stamps),
            deny_lists=self.deny_lists(),
        )

    def deny_lists(self) -> tuple[ev.KeepDenyList, ...]:
        """Return the operator's deny lists, by name."""
        with self._mutex, _errors(f"cannot read {self._home.log}"):
            rows = list(self._rows("SELECT name, raw FROM deny_lists ORDER BY 1"))
        return tuple(ev.KeepDenyList(name, raw) for name, raw in rows)

    # --- What peers ask for -----------------------------------------------------------------------
    def heads(self, catalogues: Sequence[CatalogueId]) -> list[bytes]:
        """Return the newest signed head of every log of these catalogues."""
        sql = "SELECT raw, max(seq) FROM heads WHERE catalogue = ? GROUP BY writer"
        with self._mutex:
            return [row[0] for catalogue in catalogues for row in self._rows(sql, catalogue)]

    def roots(self, catalogue: CatalogueId, after: int = 0) -> list[bytes]:
        """Return roots of a version above `after`, by rising version, within ANSWER_BYTES_MAX."""
        sql = "SELECT raw FROM roots WHERE catalogue = ? AND version > ? ORDER BY version"
        with self._mutex:
            return self._raws(sql, (catalogue, after), ANSWER_BYTES_MAX)

    def log(self, log: LogId, after_seq: int, first: int) -> tuple[list[bytes], int, list[bytes]]:
        """Return heads after `after_seq`, `first`, and entries from it, within ANSWER_BYTES_MAX."""
        room = ANSWER_BYTES_MAX
        key = (log.catalogue, log.writer)
        with self._mutex:
            heads = self._raws(
                _HEADS_AFTER,
                (*key, after_seq, ANSWER_HEADS_MAX),
                room // 2,
            )
            entries = self._raws(
                _ENTRIES_FROM,
                (*key, first),
                room - sum(map(len, heads)),
            )
        return heads, first, entries

    def open_object(self, digest: Digest) -> BinaryIO | None:
        try:
            return self.object_path(digest).open("rb")
        except FileNotFoundError:
            return None

    # --- Objects ----------------------------------------------------------------------------------
    def object_path(self, digest: Digest) -> Path:
        text = digest.hex()
        return self._home.objects / text[:2] / text

    def read_object(self, digest: Digest) -> bytes | None:
        """Return an object's bytes; None if it is not held, or was damaged (see `is_intact`)."""
        try:
            raw = self.object_path(digest).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(raw).digest() != digest:
            self.is_intact(digest)
            return None
        return raw

    def is_intact(self, digest: Digest) -> bool:
        """Hash an object, False if it is not held. One that this disk has damaged is removed.

        Raises:
            StorageError: it cannot be read.
        """
        path = self.object_path(digest)
        with _errors(f"cannot read {path}"):
            if not path.exists():
                return False
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").digest() == digest:
                    return True
            _log.error("an object was damaged on this disk, and is removed", path=str(path))
            path.unlink(missing_ok=True)
        return False

    def erase(self, digest: Digest) -> None:
        """Remove an object for good, also one that is still on its way.

        Raises:
            StorageError: the disk refused.
        """
        for path in (self.object_path(digest), self.partial(digest)):
            with _errors(f"cannot remove {path}"):
                path.unlink(missing_ok=True)
                if path.parent.is_dir():
                    sync_directory(path.parent)

    def partial(self, digest: Digest) -> Path:
        """Return where the bytes of an object gather until they are whole."""
        return self._home.incoming / f"{digest.hex()}.part"

    def complete(self, digest: Digest, temporary: Path) -> None:
        """Take over a file whose bytes hash to `digest` (the caller checked).

        Raises:
            StorageError: the disk refused.
        """
        path = self.object_path(digest)
        with _errors(f"cannot write {path}"):
            publish_file(temporary, path)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._home.root).free

    def _objects(self) -> frozenset[Digest]:
        with _errors(f"cannot list {self._home.objects}"):
            return frozenset(self._held())

    def drop_stale(self, unix: int) -> None:
        """Remove what came in part or was staged and is untouched for INCOMING_KEPT_SECONDS.

        What was staged stays while a journal lies beside the keys: it may be submitted yet.
        """
        incoming = self._home.incoming
        with _errors(f"cannot clean {incoming}"):
            is_signed = any(self._home.keys.glob("*/journal.cbor"))
            for path in [*incoming.glob("*.part"), *incoming.glob("[0-9a-f]" * 64)]:
                if path.stat().st_mtime >= unix - INCOMING_KEPT_SECONDS:
                    continue
                if path.is_file():
                    path.unlink()
                elif not is_signed:
                    shutil.rmtree(path)

    def _held(self) -> Iterator[Digest]:
        """Name the objects at their own places; what else lies there is not ours to touch."""
        for path in self._home.objects.glob("[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 64):
            if path.parent.name == path.name[:2] and path.is_file():
                yield Digest(bytes.fromhex(path.name))

    # --- The database -----------------------------------------------------------------------------
    def _prepare(self) -> None:
        version = self._database.pragma("user_version")
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"{self._home.log} has format {version}, this version knows {SCHEMA_VERSION}",
                hint="install a newer meshnode",
            )
        if version < SCHEMA_VERSION:
            with transaction(self._database):
                self._database.execute(_UPGRADES[version])
                self._database.pragma("user_version", SCHEMA_VERSION)

    def _write(self, effect: ev.Durable) -> None:
        match effect:
            case ev.AdoptRoot(catalogue, version, raw):
                self._run("INSERT OR IGNORE INTO roots VALUES (?,?,?)", catalogue, version, raw)
            case ev.SetFollowed(catalogue, followed):
                sql = "INSERT OR IGNORE INTO followed VALUES (?)"
                self._run(
                    sql if followed else "DELETE FROM followed WHERE catalogue = ?", catalogue
                )
            case ev.ExtendLog(log, heads, first, entries):
                key = (log.catalogue, log.writer)
                for seq, raw in heads:
                    self._run("INSERT INTO heads VALUES (?,?,?,?)", *key, seq, raw)
                for position, raw in enumerate(entries, first):
                    self._run("INSERT INTO entries VALUES (?,?,?,?)", *key, position, raw)
            case ev.StampEntry(catalogue, entry, stored):
                self._run("INSERT OR IGNORE INTO stamps VALUES (?,?,?)", catalogue, entry, stored)
            case ev.KeepDenyList(name, raw):
                self._run("DELETE FROM deny_lists WHERE name = ?", name)
                if raw:
                    self._run("INSERT INTO deny_lists VALUES (?,?)", name, raw)
            case _:
                assert_never(effect)

    def _stored_log(self, log: LogId) -> StoredLog:
        key = (log.catalogue, log.writer)
        return StoredLog(
            log,
            tuple(row[0] for row in self._rows(_HEADS_AFTER, *key, -1, -1)),
            tuple(row[0] for row in self._rows(_ENTRIES_FROM, *key, 0)),
        )

    def _raws(self, sql: str, key: tuple[bytes | int, ...], room: int) -> list[bytes]:
        raws: list[bytes] = []
        for (raw,) in self._rows(sql, *key):
            room -= len(raw)
            if room < 0 and raws:
                break
            raws.append(raw)
        return raws

    def _run(self, sql: str, *values: bytes | int | str) -> None:
        self._database.execute(sql, values)

    def _rows(self, sql: str, *values: bytes | int | str) -> apsw.Cursor:
        return self._database.execute(sql, values)


def _errors(doing: str) -> AbstractContextManager[None]:
    return storage_errors(doing, if_damaged="the file is damaged or not ours")
