"""A peer's simulated disk: what is synced survives a power loss, what is not may be gone.

Takes the node's durable effects as the real store does (one transaction a batch) and answers what
peers ask for from what is synced. Owns durability and nothing of what the bytes mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import cbor2

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
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import LogId, SegmentKey, Stretch
from meshnode.core.statements import StatementName

ANSWER_BYTES_MAX = 1 << 20  # heads and entries in one answer, as in the real store
ANSWER_HEADS_MAX = 256
SNAPSHOT_ENTRIES = 6  # place of the entries in a snapshot (protocol/records.cddl)


Numbered = tuple[int, bytes]  # a signed head with its seq, a root or purge with its version


@dataclass(slots=True)
class LogFile:
    """One branch of a log as synced: its signed heads with their seq, its entries from `first`.

    `beginning` is the snapshot that it begins with, if it does.
    """

    first: int = 0
    beginning: bytes = b""
    heads: list[Numbered] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)

    @property
    def seq(self) -> int:
        return self.heads[-1][0] if self.heads else 0

    @property
    def size(self) -> int:
        """How many entries there are up to its end."""
        return self.first + len(self.entries)

    def listed(self) -> list[list[Any]]:
        """Return what the snapshot that it begins with lists, [index, entry] each."""
        return list(cbor2.loads(self.beginning)[SNAPSHOT_ENTRIES]) if self.beginning else []


@dataclass(slots=True)
class Shared:
    """What the disks of a world hold and keep in memory once: the bytes of entries, heads and roots
    with their numbers, and what those objects say that are snapshots.
    """

    entries: dict[bytes, bytes] = field(default_factory=dict)
    numbered: dict[Numbered, Numbered] = field(default_factory=dict)
    snapshots: dict[Digest, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Disk:
    """Invariant: `unsynced` is at most one batch, and nothing is answered from it."""

    shared: Shared = field(default_factory=Shared, repr=False)
    followed: dict[CatalogueId, None] = field(default_factory=dict)
    roots: dict[CatalogueId, tuple[Numbered, ...]] = field(default_factory=dict)  # by version
    logs: dict[LogId, LogFile] = field(default_factory=dict)  # the first branch of each log
    branches: dict[LogId, list[LogFile]] = field(default_factory=dict)  # all, by number
    forks: dict[LogId, bytes] = field(default_factory=dict)
    objects: dict[Digest, int] = field(default_factory=dict)  # size in bytes
    stamps: dict[tuple[CatalogueId, Digest], StampEntry] = field(default_factory=dict)
    deny_lists: dict[str, KeepDenyList] = field(default_factory=dict)
    statements: dict[StatementName, bytes] = field(default_factory=dict)
    rotten: frozenset[Digest] = frozenset()  # held, with other bytes; only looked up in
    refuses: str = ""  # why nothing can be written
    unsynced: tuple[Durable, ...] = ()
    bytes_written: int = 0

    # --- Writing ----------------------------------------------------------------------------------
    def write(self, batch: Sequence[Durable]) -> None:
        assert not self.unsynced, "the node was asked on before its batch was durable"
        self.unsynced = tuple(batch)

    def sync(self) -> None:
        for effect in self.unsynced:
            self._apply(effect)
        self.unsynced = ()

    def lose_power(self) -> int:
        """Forget what was not synced; return how many effects were lost."""
        lost = len(self.unsynced)
        self.unsynced = ()
        return lost

    def _apply(self, effect: Durable) -> None:
        match effect:
            case AdoptRoot(catalogue, version, raw):
                self._adopt(catalogue, (version, raw))
            case SetFollowed(catalogue, followed):
                if followed:
                    self.followed[catalogue] = None
                else:
                    self.followed.pop(catalogue, None)
            case ExtendLog():
                self._extend(effect)
            case KeepFork(log, raw):
                self.forks[log] = raw
                self.bytes_written += len(raw)
            case StampEntry(catalogue, entry, _):
                self.stamps.setdefault((catalogue, entry), effect)
            case KeepDenyList(name, raw):
                self.deny_lists.pop(name, None)
                if raw:
                    self.deny_lists[name] = effect
            case KeepStatement() | DropStatements():
                self._state(effect)
            case _:
                assert_never(effect)

    def _adopt(self, catalogue: CatalogueId, root: Numbered) -> None:
        held = self.roots.get(catalogue, ())
        if root not in held:
            root = self.shared.numbered.setdefault(root, root)
            self.roots[catalogue] = tuple(sorted((*held, root)))
        self.bytes_written += len(root[1])

    def _state(self, effect: KeepStatement | DropStatements) -> None:
        if isinstance(effect, KeepStatement):
            self.statements[effect.name] = effect.raw
            self.bytes_written += len(effect.raw)
            return
        for name in effect.names:
            self.statements.pop(name, None)

    def _extend(self, effect: ExtendLog) -> None:
        branches = self.branches.setdefault(effect.log, [])
        if effect.branch == len(branches):
            begins = effect.branch or effect.beginning
            branches.append(LogFile(effect.first if begins else 0, effect.beginning))
            self.logs[effect.log] = branches[0]
        file = branches[effect.branch]
        assert effect.first == file.size, "a log on disk has no gaps and no overwriting"
        head_of, entry_of = self.shared.numbered.setdefault, self.shared.entries.setdefault
        file.heads += [head_of(head, head) for head in effect.heads]
        file.entries += [entry_of(raw, raw) for raw in effect.entries]
        self.bytes_written += sum(len(raw) for _, raw in effect.heads)
        self.bytes_written += sum(map(len, effect.entries))

    def keep_snapshot(self, raw: bytes) -> Digest:
        """Keep an object of which it matters what it says."""
        digest = Digest(hashlib.sha256(raw).digest())
        self.shared.snapshots[digest] = raw
        if digest not in self.objects:
            self.objects[digest] = len(raw)
            self.bytes_written += len(raw)
        return digest

    # --- Reading ----------------------------------------------------------------------------------
    def restored(self, indexed: Sequence[tuple[SegmentKey, int]]) -> Restored:
        """Return what a node starts from after a crash."""
        return Restored(
            followed=tuple(sorted(self.followed)),
            roots=tuple((c, self.chain(c)) for c in sorted(self.roots)),
            logs=tuple(
                StoredLog(
                    log,
                    tuple(raw for _, raw in file.heads),
                    tuple(file.entries),
                    file.first,
                    file.beginning,
                )
                for log, branches in sorted(self.branches.items())
                for file in branches
            ),
            forks=tuple(self.forks.values()),
            objects=frozenset(self.objects),
            indexed=tuple(indexed),
            stamps=tuple(self.stamps.values()),
            deny_lists=tuple(self.deny_lists.values()),
            statements=tuple(self.statements.values()),
        )

    def newest_heads(self, catalogues: Sequence[CatalogueId]) -> tuple[bytes, ...]:
        wanted = frozenset(catalogues)
        return tuple(
            file.heads[-1][1]
            for log, branches in self.branches.items()
            for file in branches
            if log.catalogue in wanted
        )

    def chain(self, catalogue: CatalogueId, after: int = 0) -> tuple[bytes, ...]:
        """Return the roots of a version above `after`, by rising version."""
        return tuple(raw for version, raw in self.roots.get(catalogue, ()) if version > after)

    def holds_entry(self, log: LogId, index: int, raw: bytes) -> bool:
        """Say whether this entry is at its place on one of the branches."""
        return any(
            file.entries[index - file.first : index - file.first + 1] == [raw]
            if index >= file.first
            else [index, raw] in file.listed()
            for file in self.branches.get(log, ())
        )

    def begun_at(self, log: LogId) -> int:
        """Return the seq before the first head held, if the log begins with a snapshot; else 0."""
        file = self.logs.get(log)
        return file.heads[0][0] - 1 if file is not None and file.beginning else 0

    def heads_of(self, log: LogId) -> set[bytes]:
        """Return the heads of all branches; only looked up in."""
        return {raw for file in self.branches.get(log, ()) for _, raw in file.heads}

    def numbered_entries(self, log: LogId, stretches: Sequence[Stretch]) -> list[tuple[int, bytes]]:
        """Return the entries of these stretches by index, with those of the snapshot before."""
        found: list[tuple[int, bytes]] = []
        for part in stretches:
            file = self.branches[log][part.branch]
            if part.first == file.first:
                found += [(index, raw) for index, raw in file.listed()]
            found += list(enumerate(file.entries, file.first))[
                part.first - file.first : part.stop - file.first
            ]
        return found

    def read(
        self, log: LogId, stretches: Sequence[Stretch]
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Return the heads and entries of these stretches, as far as they are synced, within the
        byte limit.
        """
        heads: list[bytes] = []
        entries: list[bytes] = []
        for part in stretches:
            if part.branch >= len(self.branches.get(log, ())):
                break  # decided, and not synced yet
            file = self.branches[log][part.branch]
            heads += [raw for seq, raw in file.heads if part.after_seq < seq <= part.seq]
            entries += file.entries[part.first - file.first : part.stop - file.first]
        fitting = _within(heads[:ANSWER_HEADS_MAX], ANSWER_BYTES_MAX // 2)
        return fitting, _within(entries, ANSWER_BYTES_MAX - sum(map(len, fitting)))


def _within(raws: Sequence[bytes], room_bytes: int) -> tuple[bytes, ...]:
    """Return the first of them that fit, always at least one."""
    taken: list[bytes] = []
    for raw in raws:
        room_bytes -= len(raw)
        if room_bytes < 0 and taken:
            break
        taken.append(raw)
    return tuple(taken)
