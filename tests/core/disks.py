"""A peer's disk and index for tests, and what both must show by the rules, computed the plain way.

Takes a node's effects as the runtime does; a crash keeps what is durable and loses the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
)
from meshnode.core.effects import DropSegment, Effect, ForgetCatalogue, HideItems, SetHidden
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import LogId, SegmentKey, SegmentRef
from tests.core.federation import Branches, extend_branch
from tests.core.institutions import LogCopy

ItemName = tuple[CatalogueId, str, str]


@dataclass(slots=True)
class Disk:
    """What survives a crash. A branch is only ever appended to, seq by seq."""

    roots: dict[tuple[CatalogueId, int, bytes], None] = field(default_factory=dict)
    followed: dict[CatalogueId, None] = field(default_factory=dict)
    branches: Branches = field(default_factory=dict)
    forks: dict[LogId, bytes] = field(default_factory=dict)
    objects: dict[Digest, None] = field(default_factory=dict)
    indexed: dict[SegmentKey, SegmentRef] = field(default_factory=dict)
    hidden: dict[ItemName, int] = field(default_factory=dict)

    def make_durable(self, effect: Durable) -> None:
        match effect:
            case AdoptRoot(catalogue, version, raw):
                assert (catalogue, version, raw) not in self.roots
                self.roots[catalogue, version, raw] = None
            case SetFollowed(catalogue, followed):
                assert followed != (catalogue in self.followed)
                (self.followed.setdefault if followed else self.followed.pop)(catalogue, None)
            case ExtendLog():
                extend_branch(self.branches, effect)
            case KeepFork(log, raw):
                self.forks[log] = raw
            case StampEntry() | KeepDenyList() | KeepStatement() | DropStatements():
                raise AssertionError("nothing here erases, denies or states")

    def change_index(self, effect: Effect) -> None:
        match effect:
            case DropSegment(key):
                self.indexed.pop(key, None)
            case ForgetCatalogue(catalogue):
                self.indexed = {k: r for k, r in self.indexed.items() if k.catalogue != catalogue}
                self.hidden = {n: c for n, c in self.hidden.items() if n[0] != catalogue}
            case HideItems(catalogue, collection, ids, clock):
                self._hide(catalogue, collection, ids, clock)
            case SetHidden(catalogue, withdrawals):
                self.hidden = {n: c for n, c in self.hidden.items() if n[0] != catalogue}
                for gone in withdrawals:
                    self._hide(catalogue, gone.collection, gone.ids, gone.clock)
            case _:
                pass

    def restored(self) -> Restored:
        catalogues = dict.fromkeys(catalogue for catalogue, _, _ in self.roots)
        return Restored(
            followed=tuple(self.followed),
            roots=tuple((c, self.chain(c, 0)) for c in catalogues),
            logs=tuple(self.branches[place] for place in sorted(self.branches)),
            forks=tuple(self.forks.values()),
            objects=frozenset(self.objects),
            indexed=tuple((key, ref.clock) for key, ref in self.indexed.items()),
        )

    def chain(self, catalogue: CatalogueId, after: int) -> tuple[bytes, ...]:
        held = sorted((v, raw) for c, v, raw in self.roots if c == catalogue and v > after)
        return tuple(raw for _, raw in held)

    def _hide(
        self, catalogue: CatalogueId, collection: str, ids: Iterable[str], clock: int
    ) -> None:
        for item in ids:
            name = (catalogue, collection, item)
            self.hidden[name] = max(clock, self.hidden.get(name, 0))


def counted(histories: Sequence[tuple[LogCopy, int]], closed: object) -> list[list[object]]:
    """Return the entries of one log that count, decoded.

    Args:
        histories: what is held of each history that the writer signed, up to a seq.
        closed: how the root closes the log, as it stands in the root.
    """
    ends = [held for held in histories if not any(_is_within(held, other) for other in histories)]
    if closed is False:
        ends = []
    elif isinstance(closed, list):
        last = [(copy, closed[0]) for copy, seq in ends if _reaches(copy, seq, closed)]
        ends = last[:1] or [(copy, seq) for copy, seq in ends if seq < closed[0]]
    raws = {raw: None for copy, seq in ends for raw in copy.entries[: ([0, *copy.sizes])[seq]]}
    return [cbor2.loads(raw) for raw in raws]


def _is_within(held: tuple[LogCopy, int], other: tuple[LogCopy, int]) -> bool:
    """Say whether all heads of one history are those with which another, longer one begins."""
    (copy, seq), (longer, end) = held, other
    return seq < end and copy.heads[:seq] == longer.heads[:seq]


def _reaches(copy: LogCopy, seq: int, closed: list[object]) -> bool:
    last = int(closed[0])  # type: ignore[call-overload]
    if seq < last:
        return False
    payload = cbor2.loads(copy.heads[last - 1])[0]
    return hashlib.sha256(payload).digest() == closed[1]


def state_of(
    entries: Iterable[list[object]],
) -> tuple[dict[tuple[str, bytes], int], dict[tuple[str, str], int]]:
    """Return the live segments with their clocks, and the hidden items with the clocks up to which.

    Written after L-52 and L-53, from plain lists, without the code under test.
    """
    added: dict[tuple[str, bytes], int] = {}
    removed: dict[tuple[str, bytes], int] = {}
    hidden: dict[tuple[str, str], int] = {}
    for entry in entries:
        kind, clock, collection = entry[0], int(entry[2]), str(entry[3])  # type: ignore[call-overload]
        if kind == "segment+":
            body, replaced = entry[4], entry[7]
            name = (collection, body[0])  # type: ignore[index]
            added[name] = max(clock, added.get(name, 0))
            for old in replaced:  # type: ignore[attr-defined]
                removed[collection, old] = max(clock, removed.get((collection, old), 0))
        elif kind == "item-":
            for item in entry[4]:  # type: ignore[attr-defined]
                hidden[collection, item] = max(clock, hidden.get((collection, item), 0))
    live = {name: clock for name, clock in added.items() if clock >= removed.get(name, 0)}
    return live, hidden
