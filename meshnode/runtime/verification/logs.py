"""Roots and logs checked anew from their bytes, in the order of protocol/04-log-and-trust.md.

After a fault it goes on wherever what follows can still be judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from meshnode.core.catalogue import Catalogue
from meshnode.core.durable import StoredLog
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import decode_entry
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.core.limits import PURGE_BYTES_MAX
from meshnode.core.log import Log, LogFault
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import HeadName, LogId
from meshnode.core.signed import decode_signed
from meshnode.core.signing import verify
from meshnode.core.snapshots import Beginning, begin
from meshnode.core.trust import RootChain, UntrustedError
from meshnode.core.verdicts import Check
from meshnode.runtime.verification.reports import Fault, Report


def verify_roots(name: CatalogueId, raws: tuple[bytes, ...], report: Report) -> RootChain | None:
    report.catalogues += 1
    report.roots += len(raws)
    chain: RootChain | None = None
    for number, raw in enumerate(sorted(raws, key=_is_purge), 1):
        where = f"{'purge' if _is_purge(raw) else 'root'} {number} of {catalogue_text(name)}"
        try:
            longer = chain.extend([raw]) if chain else RootChain.begin(raw)
        except MalformedRecordError as error:
            report.blame(Check.ENCODING, where, error)
            return chain
        except UntrustedError as error:
            report.blame(Check.ROOT, where, error)
            return chain
        if longer is chain:
            report.blame(Check.ROOT, where, "it follows no root that is here")
        elif longer.catalogue != name:
            report.blame(Check.ROOT, where, f"it begins {catalogue_text(longer.catalogue)}")
            return None
        chain = longer
    return chain


def _is_purge(raw: bytes) -> bool:
    try:
        return decode_signed(raw, PURGE_BYTES_MAX).kind == "purge"
    except MalformedRecordError:
        return False


def verify_log(catalogue: Catalogue, stored: StoredLog, report: Report) -> None:
    assert catalogue.chain is not None
    log = catalogue.log(stored.log.writer)
    try:
        base = _base(log, stored)
    except MalformedRecordError as error:
        report.blame(Check.CONTENT_HASH, f"the snapshot of {log_name(stored.log)}", error)
        return
    good, size = 0, stored.first
    for number, fault in enumerate(_head_faults(catalogue.chain, stored, base), 1):
        if isinstance(fault, Fault):
            report.faults.append(fault)
            break
        good, size = number, fault
    else:
        if size < stored.first + len(stored.entries):
            where = f"entries from {size} of {log_name(stored.log)}"
            report.blame(Check.TREE, where, "no head covers them")
    report.heads += good
    report.entries += size - stored.first
    if not good:
        return
    heads = [decode_signed_head(raw) for raw in stored.heads[:good]]
    last = heads[-1].signed.digest  # a branch too many is kept if a closing needs it
    entries = stored.entries[: size - stored.first]
    result = log.consider(heads, stored.first, entries, last, base.beginning)
    if isinstance(result, LogFault):
        report.blame(result.check, log_name(stored.log), result.reason)
    else:
        catalogue.adopt(stored.log.writer, result)


@dataclass(frozen=True, slots=True)
class _Base:
    """Where a branch begins: the head before its own, and the tree and clock at it; or the snapshot
    that it begins with.
    """

    head: SignedHead | None = None
    frontier: Frontier = field(default_factory=Frontier)
    clock: int = 0
    beginning: Beginning | None = None


def _base(log: Log, stored: StoredLog) -> _Base:
    """Return where the branch parts from those already checked; the beginning, if from none.

    Raises:
        MalformedRecordError: its snapshot is not the one that its first head names.
    """
    try:
        head = decode_signed_head(stored.heads[0]).head
    except MalformedRecordError:
        return _Base()
    if stored.beginning:
        if head.snapshot is None:
            raise MalformedRecordError("the first head names no snapshot")
        snapshot = begin(stored.log, head.snapshot, stored.beginning)
        return _Base(None, snapshot.frontier, snapshot.clock, snapshot)
    branch = log.find(HeadName(head.seq - 1, head.prev)) if head.prev is not None else None
    if branch is None:
        return _Base()
    seq = head.seq - 1
    before = decode_signed_head(branch.raw_at(seq))
    return _Base(before, branch.frontier_at(seq), branch.clock_at(seq))


def _head_faults(chain: RootChain, stored: StoredLog, base: _Base) -> Iterator[Fault | int]:
    """Yield for each head the size of the tree that it signs, or the fault that ends the log."""
    before, frontier, clock = base.head, base.frontier, base.clock
    start, begins = frontier.size, base.beginning is not None
    for number, raw in enumerate(stored.heads, before.head.seq + 1 if before else 1):
        where = f"head {number} of {log_name(stored.log)}"
        try:
            offered = decode_signed_head(raw)
        except MalformedRecordError as error:
            yield Fault(Check.ENCODING.value, where, str(error))
            return
        head = offered.head
        if fault := chain.head_fault(head, offered.signed, verify):
            yield Fault(Check.SIGNATURE.value, where, fault)
            return
        if fault := _link_fault(stored.log, before, offered, begins=begins):
            yield Fault(Check.CHAIN.value, where, fault)
            return
        raws = stored.entries[frontier.size - start : head.size - start]
        covered = f"entries {frontier.size} to {head.size - 1} of {log_name(stored.log)}"
        frontier = frontier.extend([leaf_hash(entry) for entry in raws])
        if (frontier.size, frontier.root()) != (head.size, head.tree):
            yield Fault(Check.TREE.value, covered, f"they are not what head {number} signs")
            return
        try:
            clocks = [clock, *(decode_entry(entry).clock for entry in raws)]
        except MalformedRecordError as error:
            yield Fault(Check.ENCODING.value, covered, str(error))
            return
        if any(first >= second for first, second in pairwise(clocks)):
            yield Fault(Check.CLOCK.value, covered, "their clocks do not rise")
            return
        before, clock, begins = offered, clocks[-1], False
        yield head.size


def _link_fault(log: LogId, before: SignedHead | None, offered: SignedHead, *, begins: bool) -> str:
    """Return why a head cannot follow; the first after a snapshot follows what is not here."""
    head = offered.head
    if (head.catalogue, head.writer) != (log.catalogue, log.writer):
        return "it is a head of another log"
    if begins:
        return ""
    expected = (before.head.seq + 1, before.signed.digest) if before else (1, None)
    if (head.seq, head.prev) != expected:
        return "it does not link to the head before it"
    if before and (head.size < before.head.size or head.root_version < before.head.root_version):
        return "its size or its root is older than that of the head before it"
    return ""


def log_name(log: LogId) -> str:
    return f"writer {log.writer.hex()} of {catalogue_text(log.catalogue)}"
