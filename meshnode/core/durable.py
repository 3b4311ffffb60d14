"""What must be on disk before anything else of a batch starts, and what a start finds there."""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import LogId, SegmentKey
from meshnode.core.statements import StatementName


@dataclass(frozen=True, slots=True)
class StoredLog:
    """One branch of a log as it lies on disk: its own signed heads by rising seq, and its own
    entries, from index `first`. `beginning` is the snapshot that it begins with, if it does.
    """

    log: LogId
    heads: tuple[bytes, ...]
    entries: tuple[bytes, ...]
    first: int = 0
    beginning: bytes = b""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the disk remembers at boot; all that follows from it the node derives again."""

    followed: tuple[CatalogueId, ...] = ()
    roots: tuple[tuple[CatalogueId, tuple[bytes, ...]], ...] = ()
    logs: tuple[StoredLog, ...] = ()  # the branches of a log by number
    forks: tuple[bytes, ...] = ()
    objects: frozenset[Digest] = frozenset()
    indexed: tuple[tuple[SegmentKey, int], ...] = ()  # with the clock it was indexed at
    stamps: tuple[StampEntry, ...] = ()
    deny_lists: tuple[KeepDenyList, ...] = ()
    statements: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class AdoptRoot:
    """Keep an authentic root, or a purge by a root of this version, beside others of it."""

    catalogue: CatalogueId
    version: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class ExtendLog:
    """Append signed heads (by rising seq) and the entries from index `first` that they cover to a
    branch; one of a new number begins with them.

    `beginning`: a log that begins with this snapshot, in the place of all entries before `first`.
    """

    log: LogId
    heads: tuple[tuple[int, bytes], ...]  # (seq, signed head)
    first: int
    entries: tuple[bytes, ...]
    branch: int = 0
    beginning: bytes = b""


@dataclass(frozen=True, slots=True)
class KeepFork:
    """Keep this evidence, a `fork`, about the log in the place of what was kept of it."""

    log: LogId
    raw: bytes


@dataclass(frozen=True, slots=True)
class SetFollowed:
    catalogue: CatalogueId
    followed: bool


@dataclass(frozen=True, slots=True)
class StampEntry:
    """Remember when this peer stored an entry that erases: unix seconds, by its SHA-256."""

    catalogue: CatalogueId
    entry: Digest
    stored: int


@dataclass(frozen=True, slots=True)
class KeepDenyList:
    """Keep a deny list under its name; an empty one is not kept."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class KeepStatement:
    """Keep a signed statement in the place of what was kept of this name."""

    name: StatementName
    raw: bytes


@dataclass(frozen=True, slots=True)
class DropStatements:
    """Keep nothing of these names: expired, of no use any more, or without room."""

    names: tuple[StatementName, ...]


Durable = (
    AdoptRoot
    | ExtendLog
    | KeepFork
    | SetFollowed
    | StampEntry
    | KeepDenyList
    | KeepStatement
    | DropStatements
)
