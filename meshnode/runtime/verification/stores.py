"""A store checked anew from its bytes, in the order of protocol/04-log-and-trust.md.

Takes nothing from the running peer, its index or its memory, and changes nothing. After a fault it
goes on wherever what follows can still be judged, so that one report names them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import trio

from meshnode.core.catalogue import Catalogue
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import decode_entry
from meshnode.core.events import Check, HeadName, LogId, SegmentRef, StoredLog
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, catalogue_text, object_text
from meshnode.core.limits import PURGE_BYTES_MAX
from meshnode.core.log import Log, LogFault
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.rows import CheckedRow
from meshnode.core.signed import decode_signed
from meshnode.core.signing import verify
from meshnode.core.snapshots import Beginning, begin
from meshnode.core.trust import RootChain, UntrustedError
from meshnode.errors import StorageError
from meshnode.runtime.home import Home
from meshnode.runtime.segments.checker import SegmentChecker, SegmentRefusedError
from meshnode.runtime.store import Store

DATABASE = "database"  # what the disk itself says of its file, before any check of ours


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not what was signed: which check found it, where, and why."""

    check: str
    where: str
    reason: str


@dataclass(slots=True)
class Report:
    """What was checked. `missing` are objects that count and are not here, which is no fault."""

    catalogues: int = 0
    roots: int = 0
    heads: int = 0
    entries: int = 0
    objects: int = 0
    segments: int = 0
    items: int = 0
    missing: int = 0
    faults: list[Fault] = field(default_factory=list)

    def blame(self, check: Check | str, where: str, reason: object) -> None:
        name = check.value if isinstance(check, Check) else check
        self.faults.append(Fault(name, where, str(reason)))


Rows = Callable[[SegmentRef, list[CheckedRow]], None]  # takes what was read of a whole segment


async def verify_store(home: Home, take_rows: Rows = lambda ref, rows: None) -> Report:
    """Check every root, head, entry, object and segment of a data directory.

    Raises:
        StorageError: it is none, or it cannot be read at all.
    """
    home.check()
    report = Report()
    for catalogue in await trio.to_thread.run_sync(_catalogues, home, report):
        if catalogue.followed:
            await _verify_segments(home, catalogue, report, take_rows)
    await trio.to_thread.run_sync(_verify_objects, home, report)
    return report


def _catalogues(home: Home, report: Report) -> list[Catalogue]:
    """Check roots and logs; return the catalogues with all of their logs that is authentic."""
    try:
        with closing(Store(home)) as store:
            restored = store.restored()
    except StorageError as error:
        report.blame(DATABASE, str(home.log), error)
        return []
    catalogues: dict[CatalogueId, Catalogue] = {}
    for name, raws in restored.roots:
        chain = _verify_roots(name, raws, report)
        if chain is not None:
            catalogue = Catalogue(name, name in restored.followed)
            catalogue.obey(chain)
            catalogues[name] = catalogue
    for stored in restored.logs:
        if stored.log.catalogue in catalogues:
            _verify_log(catalogues[stored.log.catalogue], stored, report)
    return list(catalogues.values())


def _verify_roots(name: CatalogueId, raws: tuple[bytes, ...], report: Report) -> RootChain | None:
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


def _verify_log(catalogue: Catalogue, stored: StoredLog, report: Report) -> None:
    assert catalogue.chain is not None
    log = catalogue.log(stored.log.writer)
    try:
        base = _base(log, stored)
    except MalformedRecordError as error:
        report.blame(Check.CONTENT_HASH, f"the snapshot of {_log_name(stored.log)}", error)
        return
    good, size = 0, stored.first
    for number, fault in enumerate(_head_faults(catalogue.chain, stored, base), 1):
        if isinstance(fault, Fault):
            report.faults.append(fault)
            break
        good, size = number, fault
    else:
        if size < stored.first + len(stored.entries):
            where = f"entries from {size} of {_log_name(stored.log)}"
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
        report.blame(result.check, _log_name(stored.log), result.reason)
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
        where = f"head {number} of {_log_name(stored.log)}"
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
        covered = f"entries {frontier.size} to {head.size - 1} of {_log_name(stored.log)}"
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


def _verify_objects(home: Home, report: Report) -> None:
    """Hash every object: its name is its SHA-256."""
    for path in sorted(home.objects.glob("[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 64)):
        report.objects += 1
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            report.blame(Check.CONTENT_HASH, str(path), f"cannot be read: {error.strerror}")
            continue
        if found != path.name:
            report.blame(Check.CONTENT_HASH, str(path), f"its bytes hash to {found}")


async def _verify_segments(
    home: Home, catalogue: Catalogue, report: Report, take_rows: Rows
) -> None:
    """Check the live segments that are here, each in the limited process."""
    for ref in catalogue.objects():
        report.missing += not _path(home, ref.digest).is_file()
    async with SegmentChecker() as checker:
        for name in catalogue.contents.segments:
            segment = catalogue.segment(name)
            if segment is None:
                continue
            path = _path(home, segment.digest)
            if not path.is_file():
                report.missing += 1
                continue
            where = f"segment {object_text(segment.digest)} of {name[0]}"
            try:
                rows = [row async for row in _rows(checker, path, segment)]
            except (SegmentRefusedError, StorageError) as error:
                report.blame(Check.SEGMENT, where, error)
                continue
            report.segments += 1
            report.items += len(rows)
            take_rows(segment, rows)


async def _rows(
    checker: SegmentChecker, path: Path, ref: SegmentRef
) -> AsyncGenerator[CheckedRow, None]:
    async with aclosing(checker.check(path, ref)) as batches:
        async for batch in batches:
            for row in batch:
                yield row


def _path(home: Home, digest: Digest) -> Path:
    text = digest.hex()
    return home.objects / text[:2] / text


def _log_name(log: LogId) -> str:
    return f"writer {log.writer.hex()} of {catalogue_text(log.catalogue)}"
