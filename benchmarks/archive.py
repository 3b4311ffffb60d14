"""An archive of scenes on disk: its segments, and the index that a peer makes of them.

Made once below build/bench, segment by segment: an interrupted run is taken up again. 20
collections, 200 segments in all, whatever the number of items, as a compacted federation has.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import trio

from benchmarks import scenes
from benchmarks.environments import BUILD
from meshnode.core.effects import IndexSegment
from meshnode.core.events import Event, SegmentIndexed
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.names import LogId, SegmentRef
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.indexing import Indexing
from meshnode.runtime.maintainer.staging import segment_draft
from meshnode.runtime.segments.checker import SegmentChecker
from meshnode.runtime.segments.segment import SegmentFile, write_segment

SEGMENTS: Final = 200
LOG: Final = LogId(CatalogueId(bytes(32)), Kid(bytes(16)))

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ingest:
    """What making the index cost: CPU-seconds of the peer's process, and of the one that checks."""

    items: int
    index_cpu_seconds: float
    check_cpu_seconds: float
    segment_bytes: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class Archive:
    """Segments on disk; the file of each has its digest as its name."""

    folder: Path
    items: int
    refs: tuple[SegmentRef, ...]

    @property
    def index_path(self) -> Path:
        return self.folder / "index.db"

    @property
    def segment_bytes(self) -> int:
        return sum(ref.size_bytes for ref in self.refs)

    # What Indexing asks of an object store.
    def object_path(self, digest: Digest) -> Path:
        return self.folder / "segments" / digest.hex()

    def is_intact(self, digest: Digest) -> bool:
        return self.object_path(digest).exists()

    def erase(self, digest: Digest) -> None:
        raise AssertionError(f"nothing of the archive is erased: {digest.hex()}")


def made(items: int, say: Said) -> Archive:
    """Return an archive of so many items, its segments written if they are not there."""
    folder = BUILD / f"archive-{items}"
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    listed = folder / "segments.ndjson"
    lines = listed.read_text().splitlines() if listed.exists() else []
    refs = [_ref(json.loads(line)) for line in lines]
    each = items // SEGMENTS
    in_collection = SEGMENTS // len(scenes.COLLECTIONS)
    with listed.open("a") as file:
        for number in range(len(refs), SEGMENTS):
            collection, part = divmod(number, in_collection)
            numbers = range(part * each, (part + 1) * each)
            refs.append(_write(folder / "segments", collection, numbers))
            file.write(json.dumps(_said(refs[-1])) + "\n")
            file.flush()
            say(f"segment {number + 1} of {SEGMENTS}")
    return Archive(folder, each * SEGMENTS, tuple(refs))


def index(archive: Archive, say: Said) -> Ingest:
    """Make the index as a peer does, if it is not there; return what that cost."""
    told = archive.folder / "ingest.json"
    if told.exists():
        return Ingest(**json.loads(told.read_text()))
    for suffix in ("", "-wal", "-shm"):
        archive.index_path.with_name(archive.index_path.name + suffix).unlink(missing_ok=True)
    opened = Index.open(archive.index_path)
    used = ingest(archive, opened, say)
    opened.close()
    made = Ingest(archive.items, *used, archive.segment_bytes, archive.index_path.stat().st_size)
    told.write_text(json.dumps(asdict(made)))
    return made


def ingest(archive: Archive, opened: Index, say: Said) -> tuple[float, float]:
    """Check and index every segment as a peer does; return the CPU-seconds of this process, and of
    the one that checks.
    """
    before = time.process_time(), _children_seconds()
    trio.run(_index, archive, opened, say)
    return time.process_time() - before[0], _children_seconds() - before[1]


async def _index(archive: Archive, opened: Index, say: Said) -> None:
    number = 0

    async def tell(event: Event) -> None:
        nonlocal number
        assert isinstance(event, SegmentIndexed), event
        number += 1
        say(f"indexed {number} of {len(archive.refs)}")

    async with SegmentChecker() as checker, trio.open_nursery() as nursery:
        indexing = Indexing(opened, checker, archive, tell)
        nursery.start_soon(indexing.run)
        for ref in archive.refs:
            indexing.queue(IndexSegment(ref))
        done = trio.Event()
        indexing.queue(done)
        await done.wait()
        nursery.cancel_scope.cancel()


def _write(folder: Path, collection: int, numbers: range) -> SegmentRef:
    name = scenes.COLLECTIONS[collection]
    document = json.dumps(scenes.documents()[collection]).encode()
    path = folder / "part"
    file = write_segment(path, name, document, scenes.scenes(collection, numbers))
    path.rename(folder / file.digest.hex())
    return ref_of(file, name, clock=1 + numbers.start)


def ref_of(file: SegmentFile, collection: str, clock: int) -> SegmentRef:
    return SegmentRef.of(LOG, segment_draft(collection, file)(clock))


def _said(ref: SegmentRef) -> dict[str, Any]:
    fields = ("collection", "size_bytes", "rows", "format", "clock", "bbox", "span")
    return {name: getattr(ref, name) for name in fields} | {"digest": ref.digest.hex()}


def _ref(said: dict[str, Any]) -> SegmentRef:
    lists = {"bbox": tuple(said["bbox"]), "span": tuple(said["span"])}
    digest = Digest(bytes.fromhex(said["digest"]))
    return SegmentRef(**(said | lists | {"log": LOG, "digest": digest}))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
