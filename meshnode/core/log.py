"""One writer's append-only log as this peer knows it (protocol/04-log-and-trust.md, "Logs").

Owns the rule that a log only ever grows: every adopted head links to the one before it and its
tree hash covers exactly the entries held. Whether a head is authentic is decided by `trust`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import Entry, decode_entry
from meshnode.core.events import Check
from meshnode.core.heads import FIRST_SEQ, Head, SignedHead
from meshnode.core.identifiers import DIGEST_BYTES, Digest, sha256
from meshnode.core.limits import HEAD_ENTRIES_MAX, HEAD_ENTRY_BYTES_MAX
from meshnode.core.merkle import Frontier, leaf_hash


@dataclass(frozen=True, slots=True)
class Extension:
    """Heads that can be adopted, with every entry they add, decoded."""

    heads: tuple[SignedHead, ...]
    first: int
    raws: tuple[bytes, ...]
    entries: tuple[Entry, ...]
    frontier: Frontier


@dataclass(frozen=True, slots=True)
class LogFault:
    """Why what was offered cannot follow what is held.

    `forked_at` is the seq from which on the writer signed two histories, if that is the reason:
    nobody who passes one of them on is at fault.
    """

    check: Check
    reason: str
    forked_at: int | None = None


@dataclass(slots=True)
class Log:
    """Invariant: `frontier` covers the entries of `head`, and nothing more.

    Every entry is kept, decoded, with its SHA-256: a later root may void it, or let it count again.
    """

    head: SignedHead | None = None
    frontier: Frontier = field(default_factory=Frontier)
    clock: int = 0  # of the last entry; strictly rising
    entries: list[tuple[Entry, Digest]] = field(default_factory=list)
    _digests: bytearray = field(default_factory=bytearray)  # of all heads, in order of seq
    _sizes: list[int] = field(default_factory=list)  # of the tree at each head

    @property
    def seq(self) -> int:
        return self.head.head.seq if self.head else FIRST_SEQ - 1

    @property
    def size(self) -> int:
        return self.frontier.size

    def is_behind(self, head: Head) -> bool:
        return head.seq > self.seq

    def holds(self, offered: SignedHead) -> bool:
        """Say whether this very head is part of the log."""
        return self.holds_at(offered.head.seq, offered.signed.digest)

    def holds_at(self, seq: int, digest: Digest) -> bool:
        """Say whether the head of this seq is the one of this digest."""
        end = (seq - FIRST_SEQ + 1) * DIGEST_BYTES
        return bytes(self._digests[end - DIGEST_BYTES : end]) == digest

    def size_at(self, seq: int) -> int:
        """Return how many entries the head of this seq, which is held, covers."""
        return self._sizes[seq - FIRST_SEQ]

    def disputes(self, offered: SignedHead) -> bool:
        """Say whether another head of the same seq is held: evidence of a fork."""
        return not self.is_behind(offered.head) and not self.holds(offered)

    def consider(
        self, heads: Sequence[SignedHead], first: int, entries: Sequence[bytes]
    ) -> Extension | LogFault:
        """Follow the heads as far as they link and the entries reach; leave out the rest.

        Args:
            heads: authentic heads of this log by rising seq; those not newer are passed over.
            first: index of `entries[0]`.
            entries: raw entries, untrusted.

        Returns:
            What can be adopted, which may be nothing; a fault if already the first step fails.
        """
        tip = _Tip(self.head, self.frontier, self.clock)
        adopted: list[SignedHead] = []
        decoded: list[Entry] = []
        for offered in heads:
            if not self.is_behind(offered.head):
                continue
            if tip.is_before_gap(offered):
                break  # no fault: the heads between were simply not offered
            fault = tip.link_fault(offered)
            start, stop = tip.frontier.size - first, offered.head.size - first
            if fault is None and (start < 0 or stop > len(entries)):
                break  # nor is it one that not all entries were
            added = fault or tip.cover(offered, entries[start:stop])
            if isinstance(added, LogFault):
                if not adopted:
                    return added
                break
            adopted.append(offered)
            decoded += added
        raws = entries[self.size - first :][: len(decoded)] if decoded else ()
        return Extension(tuple(adopted), self.size, tuple(raws), tuple(decoded), tip.frontier)

    def adopt(self, extension: Extension) -> None:
        assert extension.first == self.size
        assert extension.heads
        self.head = extension.heads[-1]
        self.frontier = extension.frontier
        for head in extension.heads:
            self._digests += head.signed.digest
            self._sizes.append(head.head.size)
        digests = map(sha256, extension.raws)
        self.entries += zip(extension.entries, digests, strict=True)
        if extension.entries:
            self.clock = extension.entries[-1].clock


@dataclass(slots=True)
class _Tip:
    """Where a log stands while heads are considered one after the other."""

    head: SignedHead | None
    frontier: Frontier
    clock: int

    def is_before_gap(self, offered: SignedHead) -> bool:
        return offered.head.seq > (self.head.head.seq + 1 if self.head else FIRST_SEQ)

    def link_fault(self, offered: SignedHead) -> LogFault | None:
        """Return why `offered`, of the next seq, cannot follow."""
        head, size = offered.head, 0
        if self.head is not None:
            if head.prev != self.head.signed.digest:
                reason = f"head {head.seq} does not link to the head before it"
                return LogFault(Check.CHAIN, reason, forked_at=head.seq - 1)
            if head.root_version < self.head.head.root_version:
                reason = f"head {head.seq} names an older root than the one before"
                return LogFault(Check.CHAIN, reason)
            size = self.head.head.size
        if not size <= head.size <= size + HEAD_ENTRIES_MAX:
            return LogFault(Check.CHAIN, f"head {head.seq} has size {head.size} after {size}")
        return None

    def cover(self, offered: SignedHead, raws: Sequence[bytes]) -> list[Entry] | LogFault:
        """Step to the head if its tree is that of these entries: leaves, tree hash, decoding."""
        head = offered.head
        if sum(map(len, raws)) > HEAD_ENTRY_BYTES_MAX:
            return LogFault(Check.ENCODING, f"head {head.seq} adds too many bytes of entries")
        frontier = self.frontier.extend([leaf_hash(raw) for raw in raws])
        if frontier.size != head.size or frontier.root() != head.tree:
            return LogFault(Check.TREE, f"entries do not give the tree hash of head {head.seq}")
        try:
            entries = [decode_entry(raw) for raw in raws]
        except MalformedRecordError as error:
            return LogFault(Check.ENCODING, f"an entry of head {head.seq}: {error}")
        clocks = [self.clock, *(entry.clock for entry in entries)]
        if any(before >= after for before, after in pairwise(clocks)):
            return LogFault(Check.CLOCK, f"clocks do not rise in the entries of head {head.seq}")
        self.head, self.frontier, self.clock = offered, frontier, clocks[-1]
        return entries
