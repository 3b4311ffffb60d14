"""A store checked anew from its bytes, in the order of protocol/04-log-and-trust.md.

Takes nothing from the running peer, its index or its memory, and changes nothing. After a fault it
goes on wherever what follows can still be judged, so that one report names them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from pathlib import Path

import trio

from meshnode.core.catalogue import Catalogue
from meshnode.core.identifiers import CatalogueId, Digest, object_text
from meshnode.core.names import SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.core.verdicts import Check
from meshnode.errors import StorageError
from meshnode.runtime.home import Home
from meshnode.runtime.segments.checker import SegmentChecker, SegmentRefusedError
from meshnode.runtime.store import Store
from meshnode.runtime.verification.logs import verify_log, verify_roots
from meshnode.runtime.verification.reports import Report

DATABASE = "database"  # what the disk itself says of its file, before any check of ours


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
            await verify_segments(home.objects, catalogue, report, take_rows)
    await trio.to_thread.run_sync(verify_objects, home.objects, report)
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
        chain = verify_roots(name, raws, report)
        if chain is not None:
            catalogue = Catalogue(name, name in restored.followed)
            catalogue.obey(chain)
            catalogues[name] = catalogue
    for stored in restored.logs:
        if stored.log.catalogue in catalogues:
            verify_log(catalogues[stored.log.catalogue], stored, report)
    return list(catalogues.values())


def verify_objects(objects: Path, report: Report) -> None:
    """Hash every object: its name is its SHA-256."""
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 64)):
        report.objects += 1
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            report.blame(Check.CONTENT_HASH, str(path), f"cannot be read: {error.strerror}")
            continue
        if found != path.name:
            report.blame(Check.CONTENT_HASH, str(path), f"its bytes hash to {found}")


async def verify_segments(
    objects: Path, catalogue: Catalogue, report: Report, take_rows: Rows = lambda ref, rows: None
) -> None:
    """Check the live segments that are among these objects, each in the limited process."""
    for ref in catalogue.objects():
        report.missing += not _path(objects, ref.digest).is_file()
    async with SegmentChecker() as checker:
        for name in catalogue.contents.segments:
            segment = catalogue.segment(name)
            if segment is None:
                continue
            path = _path(objects, segment.digest)
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


def _path(objects: Path, digest: Digest) -> Path:
    text = digest.hex()
    return objects / text[:2] / text
