"""A peer's disk and index for tests, and what both must show by the rules, computed the plain way.

Takes a node's effects as the runtime does; a crash keeps what is durable and loses the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cbor2

from meshnode.core import events as ev
from meshnode.core.events import LogId, SegmentKey
from meshnode.core.identifiers import CatalogueId, Digest
from tests.core.institutions import LogCopy

ItemName = tuple[CatalogueId, str, str]


@dataclass(slots=True)
class Disk:
    """What survives a crash. The log of a writer is only ever appended to, seq by seq."""

    roots: dict[tuple[CatalogueId, int, bytes], None] = field(default_factory=dict)
    followed: dict[CatalogueId, None] = field(default_factory=dict)
    heads: dict[LogId, list[bytes]] = field(default_factory=dict)
    entries: dict[LogId, list[bytes]] = field(default_factory=dict)
    objects: dict[Digest, None] = field(default_factory=dict)
    indexed: dict[SegmentKey, ev.SegmentRef] = field(default_factory=dict)
    hidden: dict[ItemName, int] = field(default_factory=dict)

    def make_durable(self, effect: ev.Durable) -> None:
        match effect:
            case ev.AdoptRoot(catalogue, version, raw):
                assert (catalogue, version, raw) not in self.roots
                self.roots[catalogue, version, raw] = None
            case ev.SetFollowed(catalogue, followed):
                assert followed != (catalogue in self.followed)
                (self.followed.setdefault if followed else self.followed.pop)(catalogue, None)
            case ev.ExtendLog(log, heads, first, entries):
                held = self.heads.setdefault(log, [])
                assert [seq for seq, _ in heads] == [len(held) + 1 + n for n in range(len(heads))]
                assert first == len(self.entries.setdefault(log, []))
                held += [raw for _, raw in heads]
                self.entries[log] += entries
            case ev.StampEntry() | ev.KeepDenyList():
                raise AssertionError("nothing here erases or denies")

    def change_index(self, effect: ev.Effect) -> None:
        match effect:
            case ev.DropSegment(key):
                self.indexed.pop(key, None)
            case ev.ForgetCatalogue(catalogue):
                self.indexed = {k: r for k, r in self.indexed.items() if k.catalogue != catalogue}
                self.hidden = {n: c for n, c in self.hidden.items() if n[0] != catalogue}
            case ev.HideItems(catalogue, collection, ids, clock):
                self._hide(catalogue, collection, ids, clock)
            case ev.SetHidden(catalogue, withdrawals):
                self.hidden = {n: c for n, c in self.hidden.items() if n[0] != catalogue}
                for gone in withdrawals:
                    self._hide(catalogue, gone.collection, gone.ids, gone.clock)
            case _:
                pass

    def restored(self) -> ev.Restored:
        catalogues = dict.fromkeys(catalogue for catalogue, _, _ in self.roots)
        return ev.Restored(
            followed=tuple(self.followed),
            roots=tuple((c, self.chain(c, 0)) for c in catalogues),
            logs=tuple(
                ev.StoredLog(log, tuple(heads), tuple(self.entries[log]))
                for log, heads in self.heads.items()
            ),
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


def counted(
    raws: Sequence[bytes], heads: Sequence[bytes], branch: LogCopy, closed: object
) -> list[list[object]]:
    """Return the entries of a held log that count, decoded, if a root closes it like this."""
    if closed is False:
        return []
    size = len(raws)
    if isinstance(closed, list) and len(heads) >= closed[0]:
        last = cbor2.loads(heads[closed[0] - 1])[0]
        size = branch.sizes[closed[0] - 1] if hashlib.sha256(last).digest() == closed[1] else 0
    return [cbor2.loads(raw) for raw in raws[:size]]


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
