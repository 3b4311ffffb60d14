"""Objects that wait for their entry, each in a staging directory under its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from meshnode.core.entries import CollectionAdded, ObjectRef, SegmentAdded
from meshnode.core.identifiers import Digest, sha256
from meshnode.runtime.files import sync_directory, write_durably
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.segments.segment import ItemPair, SegmentFile, write_segment


def stage(directory: Path, data: bytes) -> Digest:
    """Write an object where a submission takes it from; return its name."""
    digest = sha256(data)
    write_durably(directory / digest.hex(), data)
    return digest


def stage_collection(directory: Path, collection: str, document: bytes) -> Draft:
    """Write a STAC Collection document where a submission takes it from; return its entry."""
    ref = ObjectRef(stage(directory, document), len(document))
    return lambda clock: CollectionAdded(clock=clock, collection=collection, object=ref)


def stage_segment(
    directory: Path,
    collection: str,
    document: bytes,
    pairs: Iterable[ItemPair],
    *,
    clocks: Sequence[int | None] | None = None,
) -> SegmentFile:
    """Write a segment where a submission takes it from; arguments as of `write_segment`.

    Raises:
        StorageError: the disk refused it.
    """
    path = directory / "segment"
    file = write_segment(path, collection, document, pairs, clocks=clocks)
    path.rename(directory / file.digest.hex())
    sync_directory(directory)
    return file


def staged_in(directory: Path) -> list[Digest]:
    """Return what waits in the directory, in the order of its names."""
    return [Digest(bytes.fromhex(path.name)) for path in sorted(directory.iterdir())]


def segment_draft(
    collection: str, file: SegmentFile, replaces: Iterable[Digest] = ()
) -> Callable[[int], SegmentAdded]:
    """Return the entry that adds a segment in the place of others."""
    old = tuple(replaces)
    return lambda clock: SegmentAdded(
        clock=clock,
        collection=collection,
        segment=file.digest,
        size_bytes=file.size_bytes,
        rows=file.rows,
        format=file.format,
        bbox=file.bbox_e7,
        span=file.span_s,
        replaces=old,
    )
