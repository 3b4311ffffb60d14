"""How a peer stands, as values that can be shown: nothing here changes the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshnode.core.catalogue import Catalogue
from meshnode.core.entries import ObjectRef, PayloadAdded
from meshnode.core.freshness import Freshness, freshness
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.log import Log
from meshnode.core.names import SegmentRef
from meshnode.core.roots import Root
from meshnode.core.snapshot_checks import lying_since


@dataclass(frozen=True, slots=True)
class LogOverview:
    """One writer's log. `clock` is its last entry's; `disputed_since` the seq of a fork, if any.

    `snapshot` is the index of the newest snapshot, if its newest head names one, and `lying_since`
    the seq of the first head that began one which lies.
    `head` is the newest signed head; `frontier` that of its tree, largest subtree first. `next_by`
    is when the writer meant to sign again, None if he did not say or the root closes the log.
    """

    writer: Kid
    label: str
    seq: int
    size: int
    clock: int
    head: bytes | None
    frontier: tuple[Digest, ...]
    disputed_since: int | None
    snapshot: int | None
    lying_since: int | None
    next_by: int | None


@dataclass(frozen=True, slots=True)
class CatalogueOverview:
    """One catalogue; `roots` are its signed roots, `root` the one in force, None while unknown.

    `rivals` are signed roots of the next version that void each other: evidence of a fork.
    `clock` is the greatest of its valid entries. Segments, payloads and collections are those that
    count; logs are those of every writer of the root.
    """

    id: CatalogueId
    followed: bool
    roots: tuple[bytes, ...]
    rivals: tuple[bytes, ...]
    root: Root | None
    clock: int
    logs: tuple[LogOverview, ...]
    collections: tuple[tuple[str, ObjectRef], ...]
    segments: tuple[SegmentRef, ...]
    payloads: tuple[PayloadAdded, ...]

    def freshness(self, now_unix: int) -> tuple[Freshness, ...]:
        """Return what is overdue at this unix second; nothing while the root is not known."""
        if self.root is None:
            return ()
        next_bys = [log.next_by for log in self.logs if log.next_by is not None]
        return freshness(self.root.review_by, next_bys, now_unix)


@dataclass(frozen=True, slots=True)
class RefusedSegment:
    ref: SegmentRef
    reason: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The peer as a whole. `read_only` says why nothing is written any more, empty otherwise;
    `backlog` counts objects to fetch and segments to index.
    """

    catalogues: tuple[CatalogueOverview, ...]
    read_only: str
    backlog: int
    refused: tuple[RefusedSegment, ...]


def describe(catalogue: Catalogue) -> CatalogueOverview:
    chain, contents = catalogue.chain, catalogue.contents
    segments = (catalogue.segment(name) for name in contents.segments)
    return CatalogueOverview(
        id=catalogue.id,
        followed=catalogue.followed,
        roots=chain.raws if chain else (),
        rivals=tuple(root.raw for root in chain.rivals) if chain else (),
        root=chain.current if chain else None,
        clock=contents.clock,
        logs=tuple(_logs(catalogue, chain.current)) if chain else (),
        collections=tuple(sorted((name, ref) for name, (_, ref) in contents.collections.items())),
        segments=tuple(ref for ref in segments if ref is not None),
        payloads=tuple(contents.live_payloads().values()),
    )


def _logs(catalogue: Catalogue, root: Root) -> Sequence[LogOverview]:
    found = []
    for writer in root.writers:
        log = catalogue.logs.get(writer.kid) or Log()
        found.append(
            LogOverview(
                writer=writer.kid,
                label=writer.label,
                seq=log.seq,
                size=log.size,
                clock=log.main.clock,
                head=log.head.raw if log.head else None,
                frontier=log.main.frontier.hashes,
                snapshot=log.head.head.snapshot.index
                if log.head and log.head.head.snapshot
                else None,
                lying_since=lying_since(log),
                disputed_since=catalogue.disputed.get(writer.kid),
                next_by=log.head.head.next_by if log.head and writer.closed is None else None,
            )
        )
    return found
