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

from meshnode.core.durable import (
    AdoptRoot,
    DropStatements,
    Durable,
    ExtendLog,
    KeepDenyList,
    KeepFork,
    KeepStatement,
    Restored,
    SetFollowed,
    StampEntry,
    StoredLog,
)
from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.names import LogId, Stretch
from meshnode.core.snapshots import decode_snapshot
from meshnode.errors import StorageError
from meshnode.runtime.files import publish_file, sync_directory, write_durably
from meshnode.runtime.home import Home
from meshnode.runtime.log_formats import SCHEMA_VERSION, TO_NEWEST
from meshnode.runtime.sqlite import storage_errors, transaction

ANSWER_BYTES_MAX = 1 << 20  # of heads and entries in one answer; the asker asks on
ANSWER_HEADS_MAX = 256
_UNBOUNDED = 1 << 62
INCOMING_KEPT_SECONDS = 7 * 86_400  # longer than who goes on with it is away

_log = structlog.get_logger()

_BRANCH = "catalogue = ? AND writer = ? AND branch = ?"
_HEADS = f"SELECT raw FROM heads WHERE {_BRANCH} AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"  # noqa: S608
_ENTRIES = (
    f"SELECT raw FROM entries WHERE {_BRANCH} AND position >= ? AND position < ? ORDER BY position"  # noqa: S608
)
_NUMBERED = (
    f"SELECT position, raw FROM entries WHERE {_BRANCH} AND position >= ? AND position < ?"  # noqa: S608
    " ORDER BY position"
)
_BEGINNING = f"SELECT position, raw FROM beginnings WHERE {_BRANCH}"  # noqa: S608
_ALL_HEADS = f"SELECT raw FROM heads WHERE {_BRANCH} ORDER BY seq"  # noqa: S608
_ALL_ENTRIES = f"SELECT position, raw FROM entries WHERE {_BRANCH} ORDER BY position"  # noqa: S608


class Store:
    """One connection, used by one thread at a time. Opened under the home's lock.

    `snapshot`: a connection to the log that only reads, without the lock; nothing is written then.

    Raises:
        StorageError: the log is of a newer format or damaged, or its `snapshot` of an older one.
    """

    def __init__(self, home: Home, snapshot: apsw.Connection | None = None) -> None:
        self._home = home
        self._mutex = threading.Lock()
        with _errors(f"cannot open {home.log}"):
            self._database = snapshot or apsw.Connection(str(home.log))
            if snapshot is None:
                self._database.pragma("journal_mode", "wal")
                self._database.pragma("synchronous", "full")
            self._prepare(is_snapshot=snapshot is not None)

    def close(self) -> None:
        with self._mutex:
            self._database.close()

    # --- What the node decided --------------------------------------------------------------------
    def commit(self, effects: Sequence[Durable]) -> None:
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
            branches = self._rows(
                "SELECT DISTINCT catalogue, writer, branch FROM heads ORDER BY 1, 2, 3"
            )
            forks = [
                row[0] for row in self._rows("SELECT raw FROM forks ORDER BY catalogue, writer")
            ]
            stamps = [
                StampEntry(CatalogueId(catalogue), Digest(entry), unix)
                for catalogue, entry, unix in self._rows("SELECT * FROM stamps ORDER BY 1, 2")
            ]
            statements = [
                row[0]
                for row in self._rows("SELECT raw FROM statements ORDER BY issuer, kind, subject")
            ]
            stored = [
                self._stored_log(LogId(CatalogueId(catalogue), Kid(writer)), branch)
                for catalogue, writer, branch in list(branches)
            ]
        return Restored(
            followed=tuple(followed),
            roots=tuple((catalogue, tuple(raws)) for catalogue, raws in roots.items()),
            logs=tuple(stored),
            forks=tuple(forks),
            objects=self._objects(),
            stamps=tuple(stamps),
            deny_lists=self.deny_lists(),
            statements=tuple(statements),
        )

    def deny_lists(self) -> tuple[KeepDenyList, ...]:
        """Return the operator's deny lists, by name."""
        with self._mutex, _errors(f"cannot read {self._home.log}"):
            rows = list(self._rows("SELECT name, raw FROM deny_lists ORDER BY 1"))
        return tuple(KeepDenyList(name, raw) for name, raw in rows)

    # --- What peers ask for -----------------------------------------------------------------------
    def heads(self, catalogues: Sequence[CatalogueId]) -> list[bytes]:
        """Return the newest signed head of every branch of every log of these catalogues."""
        sql = "SELECT raw, max(seq) FROM heads WHERE catalogue = ? GROUP BY writer, branch"
        with self._mutex:
            return [row[0] for catalogue in catalogues for row in self._rows(sql, catalogue)]

    def roots(self, catalogue: CatalogueId, after: int = 0) -> list[bytes]:
        """Return roots of a version above `after`, by rising version, within ANSWER_BYTES_MAX."""
        sql = "SELECT raw FROM roots WHERE catalogue = ? AND version > ? ORDER BY version"
        raws: list[bytes] = []
        with self._mutex:
            self._gather(raws, sql, (catalogue, after), ANSWER_BYTES_MAX)
        return raws

    def log(self, log: LogId, stretches: Sequence[Stretch]) -> tuple[list[bytes], list[bytes]]:
        """Return heads and entries of these stretches in order, within ANSWER_BYTES_MAX."""
        return self._read(log, stretches, ANSWER_HEADS_MAX, ANSWER_BYTES_MAX)

    def whole(self, log: LogId, stretches: Sequence[Stretch]) -> tuple[list[bytes], list[bytes]]:
        """Return all heads and entries of these stretches in order."""
        return self._read(log, stretches, _UNBOUNDED, _UNBOUNDED)

    def numbered_entries(self, log: LogId, stretches: Sequence[Stretch]) -> list[tuple[int, bytes]]:
        """Return the entries of these stretches by index, with those that the snapshot lists with
        which the first begins, if it does.
        """
        found: list[tuple[int, bytes]] = []
        with self._mutex:
            for part in stretches:
                key = (log.catalogue, log.writer, part.branch)
                for position, raw in self._rows(_BEGINNING, *key):
                    if position == part.first:
                        found += decode_snapshot(raw).entries
                found += self._rows(_NUMBERED, *key, part.first, part.stop)
        return found

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

    def add_object(self, raw: bytes) -> Digest:
        """Keep these bytes under their SHA-256.

        Raises:
            StorageError: the disk refused.
        """
        digest = sha256(raw)
        if not self.is_intact(digest):
            write_durably(self.object_path(digest), raw)
        return digest

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
    def _prepare(self, *, is_snapshot: bool) -> None:
        version = self._database.pragma("user_version")
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"{self._home.log} has format {version}, this version knows {SCHEMA_VERSION}",
                hint="install a newer meshnode",
            )
        if version < SCHEMA_VERSION and is_snapshot:
            raise StorageError(
                f"{self._home.log} has format {version}, this version reads {SCHEMA_VERSION}",
                hint=f"start the peer once: meshnode run --home {self._home.root}",
            )
        if version < SCHEMA_VERSION:
            with transaction(self._database):
                self._database.execute(TO_NEWEST[version])
                self._database.pragma("user_version", SCHEMA_VERSION)

    def _write(self, effect: Durable) -> None:
        match effect:
            case AdoptRoot(catalogue, version, raw):
                self._run("INSERT OR IGNORE INTO roots VALUES (?,?,?)", catalogue, version, raw)
            case SetFollowed(catalogue, followed):
                sql = "INSERT OR IGNORE INTO followed VALUES (?)"
                self._run(
                    sql if followed else "DELETE FROM followed WHERE catalogue = ?", catalogue
                )
            case ExtendLog():
                self._extend(effect)
            case KeepFork(log, raw):
                self._run(
                    "INSERT OR REPLACE INTO forks VALUES (?,?,?)", log.catalogue, log.writer, raw
                )
            case StampEntry(catalogue, entry, stored):
                self._run("INSERT OR IGNORE INTO stamps VALUES (?,?,?)", catalogue, entry, stored)
            case KeepDenyList(name, raw):
                self._run("DELETE FROM deny_lists WHERE name = ?", name)
                if raw:
                    self._run("INSERT INTO deny_lists VALUES (?,?)", name, raw)
            case KeepStatement() | DropStatements():
                self._state(effect)
            case _:
                assert_never(effect)

    def _state(self, effect: KeepStatement | DropStatements) -> None:
        if isinstance(effect, KeepStatement):
            name, sql = effect.name, "INSERT OR REPLACE INTO statements VALUES (?,?,?,?)"
            self._run(sql, name.issuer, name.kind, name.subject, effect.raw)
            return
        for name in effect.names:
            sql = "DELETE FROM statements WHERE issuer = ? AND kind = ? AND subject = ?"
            self._run(sql, name.issuer, name.kind, name.subject)

    def _extend(self, effect: ExtendLog) -> None:
        key = (effect.log.catalogue, effect.log.writer, effect.branch)
        if effect.beginning:
            begin = "INSERT INTO beginnings VALUES (?,?,?,?,?)"
            self._run(begin, *key, effect.first, effect.beginning)
        for seq, raw in effect.heads:
            self._run("INSERT INTO heads VALUES (?,?,?,?,?)", *key, seq, raw)
        for position, raw in enumerate(effect.entries, effect.first):
            self._run("INSERT INTO entries VALUES (?,?,?,?,?)", *key, position, raw)

    def _read(
        self, log: LogId, stretches: Sequence[Stretch], heads_max: int, room: int
    ) -> tuple[list[bytes], list[bytes]]:
        heads: list[bytes] = []
        entries: list[bytes] = []
        with self._mutex:
            for part in stretches:
                key = (log.catalogue, log.writer, part.branch, part.after_seq, part.seq)
                self._gather(heads, _HEADS, (*key, heads_max - len(heads)), room // 2)
            room -= sum(map(len, heads))
            for part in stretches:
                key = (log.catalogue, log.writer, part.branch, part.first, part.stop)
                if not self._gather(entries, _ENTRIES, key, room):
                    break
        return heads, entries

    def _gather(self, raws: list[bytes], sql: str, key: tuple[bytes | int, ...], room: int) -> bool:
        """Add rows while all together fit in `room` bytes, at least one; say if all did."""
        room -= sum(map(len, raws))
        for (raw,) in self._rows(sql, *key):
            room -= len(raw)
            if room < 0 and raws:
                return False
            raws.append(raw)
        return True

    def _stored_log(self, log: LogId, branch: int) -> StoredLog:
        key = (log.catalogue, log.writer, branch)
        entries = list(self._rows(_ALL_ENTRIES, *key))
        beginnings = list(self._rows(_BEGINNING, *key))
        first, beginning = beginnings[0] if beginnings else (entries[0][0] if entries else 0, b"")
        return StoredLog(
            log,
            tuple(row[0] for row in self._rows(_ALL_HEADS, *key)),
            tuple(raw for _, raw in entries),
            first,
            beginning,
        )

    def _run(self, sql: str, *values: bytes | int | str) -> None:
        self._database.execute(sql, values)

    def _rows(self, sql: str, *values: bytes | int | str) -> apsw.Cursor:
        return self._database.execute(sql, values)


def _errors(doing: str) -> AbstractContextManager[None]:
    return storage_errors(doing, if_damaged="the file is damaged or not ours")
