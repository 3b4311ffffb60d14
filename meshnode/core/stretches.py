"""How a log is cut into the files of a static mirror (protocol/05-sync.md, N-83).

The cuts follow from the log alone, so every mirror of it has the same files; and what was cut once
stays, but for the newest heads: a reader that follows fetches little again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from meshnode.core.entries import ObjectRef
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import sha256
from meshnode.core.limits import STRETCH_BYTES_MAX, STRETCH_ENTRIES_MAX, STRETCH_HEADS_MAX
from meshnode.core.names import LogId
from meshnode.core.static_mirror import StretchFile, StretchRef, encode_stretch


@dataclass(frozen=True, slots=True)
class Step:
    """A head and the entries that it adds, from index `first`."""

    head: SignedHead
    first: int
    entries: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        return len(self.head.raw) + sum(map(len, self.entries))


@dataclass(frozen=True, slots=True)
class Cut:
    """A file of the mirror, and what the index says of it."""

    ref: StretchRef
    raw: bytes


@dataclass(slots=True)
class _Block:
    """All heads of seq `place` * 2^`level` + 1 to (`place` + 1) * 2^`level`."""

    level: int
    place: int
    steps: list[Step]
    size_bytes: int
    entries: int

    def fits(self, other: _Block) -> bool:
        """Say whether the two halves of a block fit into one file."""
        return (
            2 ** (self.level + 1) <= STRETCH_HEADS_MAX
            and self.size_bytes + other.size_bytes <= STRETCH_BYTES_MAX
            and self.entries + other.entries <= STRETCH_ENTRIES_MAX
        )

    def join(self, other: _Block) -> _Block:
        return _Block(
            self.level + 1,
            self.place // 2,
            self.steps + other.steps,
            self.size_bytes + other.size_bytes,
            self.entries + other.entries,
        )


@dataclass(slots=True)
class Cutter:
    """Takes the heads of one branch by rising seq, yields files as soon as they cannot grow.

    Invariant: each block waiting may yet become the first half of a larger one; so no more than
    one of each level waits.
    """

    log: LogId
    _waiting: list[_Block] = field(default_factory=list)

    def add(self, step: Step) -> Iterator[Cut]:
        """Take the next head; yield what is cut for good."""
        block = _Block(0, step.head.head.seq - 1, [step], step.size_bytes, len(step.entries))
        while block.place % 2 and self._waiting and self._is_half(block):
            if not self._waiting[-1].fits(block):
                break
            block = self._waiting.pop().join(block)
        self._waiting.append(block)
        if block.place % 2 or 2**block.level == STRETCH_HEADS_MAX:
            yield from self.rest()  # no larger block is one file, so these are

    def rest(self) -> Iterator[Cut]:
        """Yield all that waits: the newest files of a log as it is now."""
        for block in self._waiting:
            yield self._cut(block)
        self._waiting = []

    def _is_half(self, block: _Block) -> bool:
        before = self._waiting[-1]
        return (before.level, before.place) == (block.level, block.place - 1)

    def _cut(self, block: _Block) -> Cut:
        first, last = block.steps[0], block.steps[-1]
        raw = encode_stretch(
            StretchFile(
                self.log.catalogue,
                self.log.writer,
                first.first,
                tuple(step.head.raw for step in block.steps),
                tuple(entry for step in block.steps for entry in step.entries),
            )
        )
        file = ObjectRef(sha256(raw), len(raw))
        return Cut(StretchRef(first.head.head.seq, last.head.head.seq, file), raw)


def steps(heads: Sequence[SignedHead], first: int, entries: Sequence[bytes]) -> Iterator[Step]:
    """Yield each head whose entries are all among these, which begin at index `first`."""
    start = first
    for head in heads:
        stop = head.head.size
        if stop > first + len(entries):
            return
        yield Step(head, start, tuple(entries[start - first : stop - first]))
        start = stop


def settled(stretches: Sequence[StretchRef]) -> list[StretchRef]:
    """Return the files of an older index that stay, whatever heads follow.

    They end with a whole block of the largest kind: all that is behind it is cut anew.
    """
    newest = stretches[-1].last_seq if stretches else 0
    stays = newest - newest % STRETCH_HEADS_MAX
    return [part for part in stretches if part.last_seq <= stays]
