"""One writer's append-only log as this peer knows it (protocol/04-log-and-trust.md, "Logs").

Owns the rule that a log only ever grows: every adopted head links to one that is held and its tree
hash covers exactly the entries up to it. A writer who signs two histories makes branches, of which
all are kept, up to four. Whether a head is authentic is decided by `trust`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from meshnode.core.branches import BEFORE_FIRST, Branch
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import Entry, numbered_entries
from meshnode.core.heads import SNAPSHOT_SEQ, Head, SignedHead, SnapshotRef, decode_signed_head
from meshnode.core.identifiers import Digest
from meshnode.core.limits import BRANCHES_MAX, HEAD_ENTRIES_MAX, HEAD_ENTRY_BYTES_MAX
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import HeadName, Stretch
from meshnode.core.snapshots import Beginning
from meshnode.core.verdicts import Check

REFUSED_MAX = 64  # heads remembered
SNAPSHOTS_MAX = 64  # whose truth is remembered
ORIGIN = -1  # the number of no branch: what begins there parts from none


@dataclass(frozen=True, slots=True)
class Extension:
    """Heads that can be adopted, with every entry they add, decoded and with its SHA-256.

    They follow the head of seq `after` on the branch `base`, and belong to the branch `number`,
    which is `base` itself if they follow its newest head. `frontiers` are those at each head. They
    follow nothing where `base` is ORIGIN, and a snapshot alone where there is a `beginning`.
    """

    base: int
    after: int
    number: int
    heads: tuple[SignedHead, ...]
    first: int
    raws: tuple[bytes, ...]
    entries: tuple[tuple[Entry, Digest], ...]
    frontiers: tuple[Frontier, ...]
    beginning: Beginning | None = None

    @property
    def is_new_branch(self) -> bool:
        return self.number != self.base


NOTHING = Extension(0, 0, 0, (), 0, (), (), ())


@dataclass(frozen=True, slots=True)
class LogFault:
    """Why what was offered cannot follow what is held.

    `is_excess`: it would be one branch too many. Nobody who passes it on is at fault.
    """

    check: Check
    reason: str
    is_excess: bool = False


@dataclass(slots=True)
class Log:
    """Invariant: no head is held twice, and no two branches have the same newest head.

    The first branch is the one that this peer heard of first; our own publisher extends it.
    """

    branches: list[Branch] = field(default_factory=lambda: [Branch()])
    refused: dict[HeadName, None] = field(default_factory=dict)  # on a branch too many; bounded
    snapshots: dict[SnapshotRef, bool] = field(default_factory=dict)  # whether each is true
    recall: dict[int, None] = field(default_factory=dict)  # branches whose dropped entries count

    @property
    def main(self) -> Branch:
        return self.branches[0]

    @property
    def head(self) -> SignedHead | None:
        return self.main.head

    @property
    def seq(self) -> int:
        return self.main.seq

    @property
    def size(self) -> int:
        return self.main.size

    @property
    def newest_seq(self) -> int:
        return max(branch.seq for branch in self.branches)

    def find(self, name: HeadName) -> Branch | None:
        """Return the branch that keeps this head."""
        for branch in self.branches:
            if branch.holds_at(name.seq, name.digest):
                return branch.part(name.seq)
        return None

    def holds(self, name: HeadName) -> bool:
        return self.find(name) is not None

    def is_newest(self, name: HeadName) -> bool:
        """Say whether this is the newest head of a branch."""
        return any(b.seq == name.seq and b.holds_at(name.seq, name.digest) for b in self.branches)

    def rivals(self, name: HeadName) -> Iterator[bytes]:
        """Yield the signed heads that are held of this seq, if this one is not."""
        if self.holds(name):
            return
        rivals = {b.raw_at(name.seq): None for b in self.branches if b.keeps(name.seq)}
        yield from rivals

    def known(self) -> tuple[HeadName, ...]:
        """Name heads of every branch, the newest first and then ever more sparsely, by which
        others find where their way to a head parts from ours.
        """
        names: dict[HeadName, None] = {}
        for branch in self.branches:
            seq, step = branch.seq, 1
            while branch.keeps(seq):
                names[branch.name_at(seq)] = None
                seq, step = seq - step, step * 2
        return tuple(names)

    def stretches(self, wanted: HeadName, known: Sequence[HeadName]) -> tuple[Stretch, ...]:
        """Return where the way to a head lies, from the newest of `known` on it; empty if the head
        or its way is not held, or nothing is missing.

        A name of SNAPSHOT_SEQ is that of a snapshot, whose head the way begins with (N-54).
        """
        branch = self.find(wanted)
        if branch is None:
            return ()
        seqs = [n.seq for n in known if n.seq <= wanted.seq and branch.holds_at(n.seq, n.digest)]
        begun = (branch.begin_of(n.digest, wanted.seq) for n in known if n.seq == SNAPSHOT_SEQ)
        seqs += [seq - 1 for seq in begun if seq is not None]
        after = max(seqs, default=BEFORE_FIRST)
        return tuple(branch.stretches(after, wanted.seq)) if after >= branch.begin_seq else ()

    def entries(self, ends: Iterable[tuple[Branch, int]]) -> Iterator[tuple[Entry, Digest]]:
        """Yield the entries up to each of these heads, given by branch and seq, each once."""
        stops: dict[int, int] = {}
        for branch, seq in ends:
            for stretch in branch.stretches(BEFORE_FIRST, seq):
                stops[stretch.branch] = max(stretch.stop, stops.get(stretch.branch, 0))
        for branch in self.branches:
            if branch.number in stops:
                self._want_dropped(branch, stops[branch.number])
                yield from branch.entries_to(stops[branch.number])

    def newest(self, extension: Extension) -> list[tuple[Entry, Digest]]:
        """Return the entries of the extension that was adopted last, with their SHA-256."""
        branch = self.branches[extension.number]
        listed = branch.listed.values() if extension.beginning else ()
        return [*listed, *branch.entries[len(branch.entries) - len(extension.entries) :]]

    def refuse(self, name: HeadName) -> None:
        """Remember a head that leads to one branch too many, so that it is not asked for again."""
        self.refused[name] = None
        if len(self.refused) > REFUSED_MAX:
            del self.refused[next(iter(self.refused))]

    def _want_dropped(self, branch: Branch, stop: int) -> None:
        """Have entries read from disk again that count, since what takes them over does not."""
        if stop < branch.base_size + branch.dropped:
            self.recall[branch.number] = None

    def fold(self, snapshot: SnapshotRef, frontier: Frontier, listed: Sequence[int]) -> bool:
        """Drop from memory what a true snapshot does not list; say if anything was.

        Nothing is dropped where a branch parts before the snapshot: each may come to count alone.
        """
        for branch in self.branches:
            for begun in branch.snapshots:
                parts = any(b.base is branch and b.base_seq < begun.seq for b in self.branches)
                is_new = begun.ref.index > branch.base_size + branch.dropped
                if begun.ref == snapshot and is_new and not parts:
                    branch.fold(begun, frontier, listed)
                    return True
        return False

    def unfold(self, number: int, raws: Sequence[bytes]) -> None:
        """Take back the entries of a branch that were dropped."""
        self.recall.pop(number, None)
        branch = self.branches[number]
        if branch.dropped == len(raws):
            branch.unfold(numbered_entries(raws))

    def judge(self, snapshot: SnapshotRef, *, is_true: bool) -> None:
        """Remember whether a snapshot that a head of this log begins is true (L-103)."""
        self.snapshots[snapshot] = is_true
        if len(self.snapshots) > SNAPSHOTS_MAX:
            del self.snapshots[next(iter(self.snapshots))]

    def consider(
        self,
        heads: Sequence[SignedHead],
        first: int,
        entries: Sequence[bytes],
        last_good: Digest | None = None,
        beginning: Beginning | None = None,
    ) -> Extension | LogFault:
        """Follow the heads as far as they link and the entries reach; leave out the rest.

        Args:
            heads: authentic heads of this log by rising seq; those that are held are passed over.
            first: index of `entries[0]`.
            entries: raw entries, untrusted.
            last_good: the head at which a root closes the log: it may end a branch too many.
            beginning: a checked snapshot; if nothing of the log is held, and the first head begins
                it, that head need not follow another.

        Returns:
            What can be adopted, which may be nothing; a fault if already the first step fails.
        """
        heads = [head for head in heads if not self.holds(head.name)]
        base = self._base(heads[0].head, beginning) if heads else None
        if base is None:
            return NOTHING
        after = heads[0].head.seq - 1
        if base.keeps(after) and not base.remembers(after):
            self.recall[base.part(after).number] = None
            return NOTHING
        is_new = after < base.seq or base.number == ORIGIN
        is_needed = heads[-1].signed.digest == last_good
        if is_new and len(self.branches) >= BRANCHES_MAX and not is_needed:
            reason = f"head {after + 1} begins one branch too many"
            return LogFault(Check.CHAIN, reason, is_excess=True)
        number = len(self.branches) if is_new else base.number
        start = base.size_at(after)
        before = decode_signed_head(base.raw_at(after)) if base.keeps(after) else None
        tip = _Tip(before, base.frontier_at(after), base.clock_at(after), after)
        followed = tip.follow(heads, first, entries)
        if isinstance(followed, LogFault):
            return followed
        adopted, decoded, frontiers = followed
        raws = entries[start - first :][: len(decoded)] if decoded else ()
        return Extension(
            base.number,
            after,
            number,
            tuple(adopted),
            start,
            tuple(raws),
            tuple(decoded),
            tuple(frontiers),
            beginning if base.listed and not base.raws else None,
        )

    def adopt(self, extension: Extension) -> None:
        assert extension.heads
        if extension.beginning is not None:
            assert self.head is None
            self.branches = [Branch.beginning(extension.beginning, extension.after)]
        elif extension.is_new_branch:
            assert extension.number == len(self.branches)
            self.branches.append(self._parting(extension))
        branch = self.branches[extension.number]
        assert (extension.after, extension.first) == (branch.seq, branch.size)
        branch.grow(extension.heads, extension.frontiers, extension.entries)

    def _base(self, head: Head, beginning: Beginning | None) -> Branch | None:
        """Return the branch that keeps the head before this one; of the first, any will do that
        does not begin with a snapshot.
        """
        if head.prev is None:
            return self.main if not self.main.begin_seq else Branch(ORIGIN)
        if self.head is None and beginning is not None and head.snapshot == beginning.ref:
            return Branch.beginning(beginning, head.seq - 1)
        return self.find(HeadName(head.seq - 1, head.prev))

    def _parting(self, extension: Extension) -> Branch:
        if extension.base == ORIGIN:
            return Branch(extension.number)
        return Branch.parting(self.branches[extension.base], extension.after, extension.number)


@dataclass(slots=True)
class _Tip:
    """Where a log stands while heads are considered one after the other.

    `head` is None before the first, and before the first after a snapshot, which none is held of.
    """

    head: SignedHead | None
    frontier: Frontier
    clock: int
    seq: int

    def follow(
        self, heads: Sequence[SignedHead], first: int, entries: Sequence[bytes]
    ) -> tuple[list[SignedHead], list[tuple[Entry, Digest]], list[Frontier]] | LogFault:
        """Step from head to head; return those reached, their entries, the frontier at each."""
        adopted: list[SignedHead] = []
        decoded: list[tuple[Entry, Digest]] = []
        frontiers: list[Frontier] = []
        for offered in heads:
            if self.is_before_gap(offered):
                break  # no fault: the heads between were simply not offered
            fault = self.link_fault(offered)
            start, stop = self.frontier.size - first, offered.head.size - first
            if fault is None and (start < 0 or stop > len(entries)):
                break  # nor is it one that not all entries were
            added = fault or self.cover(offered, entries[start:stop])
            if isinstance(added, LogFault):
                if not adopted:
                    return added
                break
            adopted.append(offered)
            decoded += added
            frontiers.append(self.frontier)
        return adopted, decoded, frontiers

    def is_before_gap(self, offered: SignedHead) -> bool:
        return offered.head.seq > self.seq + 1

    def link_fault(self, offered: SignedHead) -> LogFault | None:
        """Return why `offered`, of the next seq, cannot follow."""
        head, size = offered.head, self.frontier.size
        if self.head is not None:
            if head.prev != self.head.signed.digest:
                reason = f"head {head.seq} does not link to the head before it"
                return LogFault(Check.CHAIN, reason)
            if head.root_version < self.head.head.root_version:
                reason = f"head {head.seq} names an older root than the one before"
                return LogFault(Check.CHAIN, reason)
        if not size <= head.size <= size + HEAD_ENTRIES_MAX:
            return LogFault(Check.CHAIN, f"head {head.seq} has size {head.size} after {size}")
        return None

    def cover(
        self, offered: SignedHead, raws: Sequence[bytes]
    ) -> list[tuple[Entry, Digest]] | LogFault:
        """Step to the head if its tree is that of these entries: leaves, tree hash, decoding."""
        head = offered.head
        if sum(map(len, raws)) > HEAD_ENTRY_BYTES_MAX:
            return LogFault(Check.ENCODING, f"head {head.seq} adds too many bytes of entries")
        frontier = self.frontier.extend([leaf_hash(raw) for raw in raws])
        if frontier.size != head.size or frontier.root() != head.tree:
            return LogFault(Check.TREE, f"entries do not give the tree hash of head {head.seq}")
        try:
            entries = numbered_entries(raws)
        except MalformedRecordError as error:
            return LogFault(Check.ENCODING, f"an entry of head {head.seq}: {error}")
        clocks = [self.clock, *(entry.clock for entry, _ in entries)]
        if any(before >= after for before, after in pairwise(clocks)):
            return LogFault(Check.CLOCK, f"clocks do not rise in the entries of head {head.seq}")
        self.head, self.frontier, self.clock = offered, frontier, clocks[-1]
        self.seq = head.seq
        return entries
