"""A static mirror checked from its bytes alone, without a peer and without a network.

Every file is hashed, and what the pointer leads to is read and verified as a peer would that
follows all of it: roots, heads, entries, segments. Each changed byte is in a file that is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import trio

from meshnode.core.catalogue import Catalogue
from meshnode.core.durable import StoredLog
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import ObjectRef
from meshnode.core.forks import decode_fork
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import catalogue_text, sha256
from meshnode.core.names import LogId
from meshnode.core.static_mirror import (
    POINTER_NAME,
    CatalogueIndex,
    StretchFile,
    Way,
    decode_index,
    decode_pointer,
    decode_roots,
    decode_stretch,
    object_path,
)
from meshnode.core.verdicts import Check
from meshnode.runtime.verification.logs import log_name, verify_log, verify_roots
from meshnode.runtime.verification.reports import Report
from meshnode.runtime.verification.stores import verify_objects, verify_segments

T = TypeVar("T")


async def verify_static_mirror(root: Path) -> Report:
    """Check every file of a static mirror; objects that count and are not in it are missing."""
    report = Report()
    catalogues = await trio.to_thread.run_sync(lambda: list(_catalogues(root, report)))
    for catalogue in catalogues:
        await verify_segments(root / "objects", catalogue, report)
    await trio.to_thread.run_sync(verify_objects, root / "objects", report)
    return report


def is_static_mirror(path: Path) -> bool:
    return path.is_dir() and (path / POINTER_NAME).is_file()


def _catalogues(root: Path, report: Report) -> Iterator[Catalogue]:
    where = root / POINTER_NAME
    try:
        pointer = decode_pointer(where.read_bytes())
    except (OSError, MalformedRecordError) as error:
        report.blame(Check.ENCODING, str(where), error)
        return
    for each in pointer.catalogues:
        index = _read(root, each.index, decode_index, report)
        if index is None:
            continue
        if index.catalogue != each.catalogue:
            report.blame(Check.ENCODING, str(where), "it names the index of another catalogue")
        elif (catalogue := _catalogue(root, index, report)) is not None:
            yield catalogue


def _catalogue(root: Path, index: CatalogueIndex, report: Report) -> Catalogue | None:
    roots = _read(root, index.roots, decode_roots, report)
    if roots is None:
        return None
    chain = verify_roots(index.catalogue, roots.raws, report)
    if chain is None:
        return None
    catalogue = Catalogue(index.catalogue, followed=True)
    catalogue.obey(chain)
    for way in index.ways:
        stored = _stored(root, catalogue, way, report)
        if stored is not None and stored.heads:
            verify_log(catalogue, stored, report)
    _verify_forks(index, report)
    return catalogue


def _stored(root: Path, catalogue: Catalogue, way: Way, report: Report) -> StoredLog | None:
    """Gather what a way has beyond the ways before it, as a branch lies on a peer's disk."""
    log = LogId(catalogue.id, way.writer)
    heads, entries = list[bytes](), list[bytes]()
    first = -1
    for ref in way.stretches:
        stretch = _read(root, ref.file, decode_stretch, report)
        if stretch is None:
            return None
        own = _own(catalogue, log, stretch, report)
        if own is None:
            return None
        first = own.first if first < 0 and own.heads else first
        heads += own.heads
        entries += own.entries
    if heads and heads[-1] != way.newest:
        report.blame(Check.CHAIN, log_name(log), "its newest head is not where its files lead")
    return StoredLog(log, tuple(heads), tuple(entries), max(first, 0), _beginning(root, heads))


def _own(
    catalogue: Catalogue, log: LogId, stretch: StretchFile, report: Report
) -> StretchFile | None:
    """Return what of a stretch no way before has."""
    held = catalogue.log(log.writer)
    try:
        if (stretch.catalogue, stretch.writer) != (log.catalogue, log.writer):
            raise MalformedRecordError("a stretch of another log")
        names = [decode_signed_head(raw).name for raw in stretch.heads]
        known = [name.seq for name in names if held.holds(name)]
        return stretch.between(max(known, default=0), names[-1].seq)
    except MalformedRecordError as error:
        report.blame(Check.ENCODING, log_name(log), error)
        return None


def _beginning(root: Path, heads: list[bytes]) -> bytes:
    """Return the snapshot with which a way begins that does not begin with the first head."""
    head = decode_signed_head(heads[0]).head if heads else None
    if head is None or head.prev is None or head.snapshot is None:
        return b""
    path = root / object_path(head.snapshot.object)
    return path.read_bytes() if path.is_file() else b""


def _verify_forks(index: CatalogueIndex, report: Report) -> None:
    for raw in index.forks:
        try:
            decode_fork(raw)
        except MalformedRecordError as error:
            report.blame(Check.ENCODING, f"a fork of {catalogue_text(index.catalogue)}", error)


def _read(root: Path, file: ObjectRef, decode: Callable[[bytes], T], report: Report) -> T | None:
    """Read a file that another names; None, and a fault, if it is not what that one says."""
    path = root / object_path(file.digest)
    try:
        raw = path.read_bytes()
        if len(raw) != file.size_bytes or sha256(raw) != file.digest:
            report.blame(Check.CONTENT_HASH, str(path), "it is not the file that is named")
            return None
        return decode(raw)
    except OSError as error:
        report.blame(Check.CONTENT_HASH, str(path), f"cannot be read: {error.strerror}")
    except MalformedRecordError as error:
        report.blame(Check.ENCODING, str(path), error)
    return None
