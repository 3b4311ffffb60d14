"""A writer's small and half-dead segments, rewritten as few: read, planned, staged.

Runs in the command line, as the maintainer. Nothing is signed here; what may be left out is decided
by `core.compaction`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from meshnode.control import Message
from meshnode.core.compaction import OwnSegment, Plan, Row, plan
from meshnode.core.entries import Reason, SegmentRemoved
from meshnode.core.identifiers import Digest, sha256
from meshnode.errors import StorageError
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.maintainer.staging import segment_draft, stage_segment
from meshnode.runtime.segments.segment import (
    PLAN_ITEM_BYTES_MAX,
    PLAN_ROWS_MAX,
    ItemPair,
    SegmentFile,
)

_READ_ROWS = 256  # at a time


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is done to one collection."""

    collection: str
    plan: Plan
    segments: int  # live ones of the writer before


@dataclass(slots=True)
class Compaction:
    """The writer's segments as the peer names them (`own_segments`), and the objects they are in.

    Invariant: every kept row is in exactly one staged segment, with its own clock.
    """

    objects: Path
    own: Message
    documents: Mapping[str, bytes]
    staged: list[Digest] = field(default_factory=list)

    def rewrites(self) -> list[Rewrite]:
        """Read ids and clocks of all his rows, and plan.

        Raises:
            StorageError: a segment is not here, or cannot be read.
        """
        found = []
        for collection in sorted({each["collection"] for each in self.own["segments"]}):
            segments = [
                OwnSegment(digest, tuple(row for row, _ in self._rows(digest)))
                for digest in self._digests(collection)
            ]
            withdrawn: dict[str, int] = {}
            for where, item, clock in self.own["withdrawn"]:
                if where == collection:
                    withdrawn[item] = max(clock, withdrawn.get(item, 0))
            planned = plan(segments, withdrawn)
            if planned is not None:
                found.append(Rewrite(collection, planned, len(segments)))
        return found

    def drafts(self, rewrite: Rewrite, directory: Path) -> list[Draft]:
        """Stage the new segments in a directory; return the entries that put them in place."""
        old, collection = rewrite.plan.segments, rewrite.collection
        files = [self._write(collection, group, directory) for group in self._groups(rewrite.plan)]
        # A segment may come out as it was, where all that the others held was beaten.
        names = [file.digest for file in files]
        gone = [digest for digest in old if digest not in names]
        fresh = [file for file in files if file.digest not in old]
        if not fresh:
            return [_removal(collection, digest) for digest in gone]
        return [segment_draft(collection, file, gone) for file in fresh]

    def _digests(self, collection: str) -> list[Digest]:
        own = (each for each in self.own["segments"] if each["collection"] == collection)
        return [Digest(bytes.fromhex(each["segment"])) for each in own]

    def _rows(self, digest: Digest) -> Iterator[tuple[Row, bytes]]:
        """Yield the rows of a segment with their items."""
        [clock] = {
            each["clock"] for each in self.own["segments"] if each["segment"] == digest.hex()
        }
        path = self.objects / digest.hex()[:2] / digest.hex()
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                columns = ["id", "clock", "item"]
                for batch in file.iter_batches(_READ_ROWS, columns=columns, use_threads=False):
                    items = batch.column("item").cast(pa.binary()).to_pylist()
                    ids, clocks = (batch.column(name).to_pylist() for name in columns[:2])
                    for item_id, own, item in zip(ids, clocks, items, strict=True):
                        yield Row(own or clock, sha256(item), item_id), item
        except (OSError, pa.ArrowException, KeyError) as error:
            raise StorageError(
                f"cannot read the segment {path}: {error}",
                hint="run the peer until it has all of the catalogue: meshnode status",
            ) from error

    def _groups(self, planned: Plan) -> Iterator[dict[Row, bytes]]:
        """Yield the kept rows, each once, in parts of the size of a segment."""
        group: dict[Row, bytes] = {}
        seen: dict[Row, None] = {}
        size = 0
        for row, item in (pair for digest in planned.segments for pair in self._rows(digest)):
            if row not in planned.kept or row in seen:
                continue
            if len(group) >= PLAN_ROWS_MAX or size > PLAN_ITEM_BYTES_MAX:
                yield group
                group, size = {}, 0
            seen[row], group[row] = None, item
            size += len(item)
        if group:
            yield group

    def _write(self, collection: str, group: Mapping[Row, bytes], directory: Path) -> SegmentFile:
        pairs: list[ItemPair] = [(item, from_json(item)) for item in group.values()]
        clocks = [row.clock for row in group]
        document = self.documents[collection]
        file = stage_segment(directory, collection, document, pairs, clocks=clocks)
        self.staged.append(file.digest)
        return file


def _removal(collection: str, digest: Digest) -> Draft:
    return lambda clock: SegmentRemoved(clock, collection, digest, Reason.SUPERSEDED)
