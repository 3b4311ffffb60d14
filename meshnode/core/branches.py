"""One history of a log, from where it parts from another (protocol/04-log-and-trust.md, "Heads").

Branches share what is common: each keeps only its own heads and entries, and the branch that it
parted from keeps the rest. Owns the lookup by seq; whether a branch may grow is decided by `log`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from meshnode.core.entries import Entry, encode_entry
from meshnode.core.heads import (
    FIRST_SEQ,
    Head,
    SignedHead,
    SnapshotRef,
    begun_by,
    decode_signed_head,
)
from meshnode.core.identifiers import DIGEST_BYTES, Digest
from meshnode.core.merkle import EMPTY, Frontier, leaf_hash
from meshnode.core.names import HeadName, Stretch
from meshnode.core.snapshots import Beginning

BEFORE_FIRST = FIRST_SEQ - 1  # the seq of a log without heads
CHECKPOINT_HEADS = 64  # between frontiers that are kept: the rest is hashed again when it is needed


@dataclass(frozen=True, slots=True)
class Begun:
    """A snapshot, and the seq of the head that begins it."""

    seq: int
    ref: SnapshotRef


@dataclass(slots=True)
class Branch:
    """Invariant: `frontier` covers the entries up to `head`, and nothing more.

    Heads after `base_seq` and entries from `base_size` on are its own; what is before is in `base`,
    or, where the peer began with a snapshot, only `listed`. Entries are kept decoded, with their
    SHA-256, whether they count or not: a later root may void them, or let them count again. But of
    the first `dropped` own ones only those are kept that a snapshot lists: the others are on disk.
    """

    number: int = 0
    base: Branch | None = None
    base_seq: int = BEFORE_FIRST
    base_size: int = 0
    base_clock: int = 0  # of the entry before `base_size`
    listed: dict[int, tuple[Entry, Digest]] = field(default_factory=dict)  # by index, rising
    dropped: int = 0
    head: SignedHead | None = None  # the newest; None only of a log without heads
    frontier: Frontier = EMPTY
    clock: int = 0  # of the last entry; strictly rising
    entries: list[tuple[Entry, Digest]] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)  # own signed heads, as received
    digests: bytearray = field(default_factory=bytearray)  # of own heads
    sizes: list[int] = field(default_factory=list)  # of the tree at each of them
    snapshots: list[Begun] = field(default_factory=list)  # that own heads begin
    replaced: dict[int, Frontier] = field(default_factory=dict)  # checkpoints, since entries went
    # At `base_seq`, and at each CHECKPOINT_HEADS-th own head after it.
    checkpoints: list[Frontier] = field(default_factory=lambda: [EMPTY])

    @staticmethod
    def parting(base: Branch, seq: int, number: int) -> Branch:
        """Return an empty branch that parts from `base` after its head of this seq."""
        frontier = base.frontier_at(seq)
        return Branch(
            number=number,
            base=base.part(seq),
            base_seq=seq,
            base_size=frontier.size,
            base_clock=base.clock_at(seq),
            frontier=frontier,
            clock=base.clock_at(seq),
            checkpoints=[frontier],
        )

    @staticmethod
    def beginning(beginning: Beginning, seq: int) -> Branch:
        """Return the first branch of a log that begins with a snapshot, after the head `seq`."""
        return Branch(
            base_seq=seq,
            base_size=beginning.frontier.size,
            base_clock=beginning.clock,
            listed=dict(zip(beginning.indices, beginning.entries, strict=True)),
            frontier=beginning.frontier,
            clock=beginning.clock,
            snapshots=[Begun(seq + 1, beginning.ref)],
            checkpoints=[beginning.frontier],
        )

    @property
    def seq(self) -> int:
        return self.base_seq + len(self.raws)

    @property
    def size(self) -> int:
        return self.frontier.size

    def part(self, seq: int) -> Branch:
        """Return the branch that keeps the head of this seq for this one."""
        branch = self
        while branch.base is not None and seq <= branch.base_seq:
            branch = branch.base
        return branch

    @property
    def begin_seq(self) -> int:
        """The seq before the first head that is kept: BEFORE_FIRST, or a snapshot is there."""
        branch = self
        while branch.base is not None:
            branch = branch.base
        return branch.base_seq

    def keeps(self, seq: int) -> bool:
        """Say whether a head of this seq is kept."""
        return self.begin_seq < seq <= self.seq

    def remembers(self, seq: int) -> bool:
        """Say whether every own entry from the head of this seq on is in memory."""
        branch = self.part(seq)
        return branch.size_at(seq) >= branch.base_size + branch.dropped

    def entries_to(self, size: int) -> Iterator[tuple[Entry, Digest]]:
        """Yield own entries before this index, and what is listed; as far as they are in memory."""
        yield from (entry for index, entry in self.listed.items() if index < size)
        yield from self.entries[: max(size - self.base_size - self.dropped, 0)]

    def fold(self, begun: Begun, frontier: Frontier, listed: Sequence[int]) -> None:
        """Drop what the snapshot does not list, before the head that begins it."""
        held = self.listed | dict(enumerate(self.entries, self.base_size + self.dropped))
        self.listed = {index: held[index] for index in listed if index in held}
        gone = begun.ref.index - self.base_size - self.dropped
        del self.entries[:gone]
        self.dropped += gone
        place = (begun.seq - 1 - self.base_seq) // CHECKPOINT_HEADS
        self.replaced.setdefault(place, self.checkpoints[place])
        self.checkpoints[place] = frontier

    def unfold(self, entries: Sequence[tuple[Entry, Digest]]) -> None:
        """Take back all own entries that were dropped."""
        assert len(entries) == self.dropped
        self.listed = {index: e for index, e in self.listed.items() if index < self.base_size}
        self.entries[:0] = entries
        self.dropped = 0
        for place, frontier in self.replaced.items():
            self.checkpoints[place] = frontier
        self.replaced = {}

    def holds_at(self, seq: int, digest: Digest) -> bool:
        """Say whether the head of this seq is the one of this digest."""
        if not self.keeps(seq):
            return False
        branch = self.part(seq)
        end = (seq - branch.base_seq) * DIGEST_BYTES
        return bytes(branch.digests[end - DIGEST_BYTES : end]) == digest

    def name_at(self, seq: int) -> HeadName:
        branch = self.part(seq)
        end = (seq - branch.base_seq) * DIGEST_BYTES
        return HeadName(seq, Digest(bytes(branch.digests[end - DIGEST_BYTES : end])))

    def raw_at(self, seq: int) -> bytes:
        """Return the signed head of this seq, as received."""
        branch = self.part(seq)
        return branch.raws[seq - branch.base_seq - 1]

    def size_at(self, seq: int) -> int:
        """Return how many entries the head of this seq covers."""
        branch = self.part(seq)
        if seq == branch.base_seq:
            return branch.base_size
        return branch.sizes[seq - branch.base_seq - 1]

    def clock_at(self, seq: int) -> int:
        """Return the clock of the last entry up to the head of this seq, 0 if there is none."""
        branch = self.part(seq)
        own = branch.size_at(seq) - branch.base_size
        if own > branch.dropped:
            return branch.entries[own - branch.dropped - 1][0].clock
        if own:  # the last entry before a snapshot is always listed
            return branch.listed[branch.base_size + own - 1][0].clock
        return branch.base_clock

    def frontier_at(self, seq: int) -> Frontier:
        branch = self.part(seq)
        if seq == branch.seq:
            return branch.frontier
        if seq == branch.base_seq:
            return branch.replaced.get(0, branch.checkpoints[0])
        near = branch.checkpoints[(seq - branch.base_seq) // CHECKPOINT_HEADS]
        start = branch.base_size + branch.dropped  # of `entries`
        between = branch.entries[near.size - start : branch.size_at(seq) - start]
        return near.extend([leaf_hash(encode_entry(entry)) for entry, _ in between])

    def stretches(self, after_seq: int, seq: int) -> Iterator[Stretch]:
        """Yield where the heads after `after_seq` up to `seq` and their entries lie, in order."""
        branch = self.part(seq)
        if branch.base is not None and after_seq < branch.base_seq:
            yield from branch.base.stretches(after_seq, branch.base_seq)
        begin = max(after_seq, branch.base_seq)
        if begin < seq:
            yield Stretch(branch.number, begin, seq, self.size_at(begin), self.size_at(seq))

    def begin_of(self, snapshot: Digest, seq: int) -> int | None:
        """Return the seq of the newest head up to `seq` that begins this snapshot."""
        branch: Branch | None = self
        while branch is not None:
            for begun in reversed(branch.snapshots):
                if begun.seq <= seq and begun.ref.object == snapshot:
                    return begun.seq
            seq, branch = min(seq, branch.base_seq), branch.base
        return None

    def grow(
        self,
        heads: Sequence[SignedHead],
        frontiers: Sequence[Frontier],
        entries: Sequence[tuple[Entry, Digest]],
    ) -> None:
        """Append heads, each with the frontier at it, and the entries that they add."""
        before = self._before()
        for head, frontier in zip(heads, frontiers, strict=True):
            if ref := begun_by(head.head, before):
                self.snapshots.append(Begun(head.head.seq, ref))
            before = head.head
            self.raws.append(head.raw)
            self.digests += head.signed.digest
            self.sizes.append(frontier.size)
            if len(self.raws) % CHECKPOINT_HEADS == 0:
                self.checkpoints.append(frontier)
        self.head, self.frontier = heads[-1], frontiers[-1]
        self.entries += entries
        if entries:
            self.clock = entries[-1][0].clock

    def _before(self) -> Head | None:
        """Return the newest head, also of a branch that has none of its own yet."""
        if self.head is not None or self.base is None or self.base_seq < FIRST_SEQ:
            return self.head.head if self.head else None
        return decode_signed_head(self.base.raw_at(self.base_seq)).head
