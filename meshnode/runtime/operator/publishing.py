"""The daemon's half of publishing: what the publisher must know, and the submission he signed.

The private key stays in the command line. What comes here enters by the same checks as a peer's.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import trio

from meshnode.control import Message
from meshnode.core.branches import BEFORE_FIRST
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.entries import SegmentAdded, decode_entry
from meshnode.core.events import Event, ObjectStored, Submitted
from meshnode.core.identifiers import CatalogueId, Digest, Kid, object_text, sha256
from meshnode.core.limits import CLOCK_MAX, SNAPSHOT_BYTES_MAX
from meshnode.core.names import LogId, SegmentKey, Ticket
from meshnode.core.snapshots import encode_snapshot
from meshnode.errors import StorageError, UsageError
from meshnode.runtime import snapshots
from meshnode.runtime.journal import READ_ONLY_HINT
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, Hex, HexDigest
from meshnode.runtime.operator.refusals import refused
from meshnode.runtime.peer import Peer


class Log(Arguments):
    """One writer's log of a followed catalogue."""

    catalogue: Catalogue
    writer: Hex


class Segments(Arguments):
    """Segments of a followed catalogue, by collection and digest."""

    catalogue: Catalogue
    segments: tuple[tuple[str, HexDigest], ...]


class Snapshot(Log):
    """A snapshot of the log; `keep` stores it as an object."""

    keep: bool


class Holding(Arguments):
    """Items of one collection of a followed catalogue."""

    catalogue: Catalogue
    collection: str
    items: tuple[str, ...]


class Submit(Arguments):
    """Signed heads and the entries they cover from `first`; `staged` names objects of theirs."""

    catalogue: Catalogue
    heads: tuple[Hex, ...]
    first: int
    entries: tuple[Hex, ...]
    staged: tuple[HexDigest, ...] = ()


async def log(peer: Peer, arguments: Log) -> AsyncGenerator[Message, None]:
    """Return all that the next head of a log is made from."""
    catalogue = _followed(peer, arguments)
    writer = Kid(arguments.writer)
    assert catalogue.chain is not None
    if catalogue.chain.writer(writer) is None:
        raise UsageError("the key at hand is not a writer of this catalogue's root")
    held = catalogue.log(writer)
    contents = catalogue.contents
    yield {
        "result": {
            "root_version": catalogue.chain.current.version,
            "head": held.head.raw.hex() if held.head else None,
            "size": held.size,
            "frontier": [node.hex() for node in held.main.frontier.hashes],
            "clock": held.main.clock,
            "catalogue_clock": contents.clock,
            "collections": {
                name: ref.digest.hex() for name, (_, ref) in contents.collections.items()
            },
        }
    }


async def live_segments(peer: Peer, arguments: Segments) -> AsyncGenerator[Message, None]:
    """Return how many segments of a catalogue count, and which of the named ones do."""
    contents = _followed(peer, arguments).contents
    live = [name for name in arguments.segments if contents.live_segment(name)]
    yield {
        "result": {
            "count": contents.live_segment_count,
            "live": [(collection, digest.hex()) for collection, digest in live],
        }
    }


async def snapshot(peer: Peer, arguments: Snapshot) -> AsyncGenerator[Message, None]:
    """Make the snapshot of a writer's log as it is.

    `newest` is the index of the one that the newest head names, 0 if it names none; `listed` is how
    many entries the new one lists.
    """
    held = _followed(peer, arguments).log(Kid(arguments.writer))
    name = LogId(arguments.catalogue, Kid(arguments.writer))
    way = tuple(held.main.stretches(BEFORE_FIRST, held.seq))
    made = await trio.to_thread.run_sync(snapshots.make, peer.store, name, held.main.frontier, way)
    raw = encode_snapshot(made)
    if len(raw) > SNAPSHOT_BYTES_MAX:
        raise UsageError(
            f"the snapshot would have {len(raw)} bytes, the limit is {SNAPSHOT_BYTES_MAX}",
            hint="rewrite your segments as few first: meshnode compact",
        )
    named = held.head.head.snapshot if held.head else None
    newest = named.index if named else 0
    if arguments.keep and made.index > newest:
        await trio.to_thread.run_sync(peer.store.add_object, raw)
        await peer.tell(ObjectStored(sha256(raw)))
    yield {
        "result": {
            "index": made.index,
            "newest": newest,
            "listed": len(made.entries),
            "object": sha256(raw).hex(),
            "size_bytes": len(raw),
        }
    }


async def holding(peer: Peer, arguments: Holding) -> AsyncGenerator[Message, None]:
    """Return the segments that count and hold a row of these items, each with its entry's clock.

    `withdrawn` are the items of the collection that are withdrawn so that nobody gets them, with
    the greatest clock at which.
    """
    wanted = arguments.catalogue, arguments.collection, arguments.items, CLOCK_MAX
    digests = await trio.to_thread.run_sync(peer.index.segments_with, *wanted)
    contents = peer.node.catalogues[arguments.catalogue].contents
    live = [(d, contents.live_segment((arguments.collection, d))) for d in digests]
    withdrawn: dict[str, int] = {}
    for entry in contents.removals():
        if entry.collection == arguments.collection and entry.reason.erases:
            withdrawn |= {id_: max(entry.clock, withdrawn.get(id_, 0)) for id_ in entry.ids}
    yield {
        "result": {
            "segments": [
                {
                    "segment": digest.hex(),
                    "path": str(peer.store.object_path(digest)),
                    "clock": found[1].clock,
                }
                for digest, found in live
                if found is not None and digest in peer.node.replica.objects
            ],
            "withdrawn": withdrawn,
        }
    }


async def own_segments(peer: Peer, arguments: Log) -> AsyncGenerator[Message, None]:
    """Return a writer's live segments, and his withdrawals as (collection, id, clock)."""
    catalogue = _followed(peer, arguments)
    live = map(catalogue.segment, catalogue.contents.segments)
    own = [ref for ref in live if ref is not None and ref.log.writer == arguments.writer]
    hidden = catalogue.contents.hidden.items()
    mine = [entry for (_, writer, _), entry in hidden if writer == arguments.writer]
    yield {
        "result": {
            "segments": [
                {"collection": ref.collection, "segment": ref.digest.hex(), "clock": ref.clock}
                for ref in own
            ],
            "withdrawn": [(e.collection, item, e.clock) for e in mine for item in e.ids],
        }
    }


async def submit(peer: Peer, arguments: Submit) -> AsyncGenerator[Message, None]:
    """Store the staged objects, extend the log, and follow the segments until they are indexed."""

    def question(ticket: Ticket) -> Event:
        return Submitted(ticket, arguments.heads, arguments.first, arguments.entries)

    for digest in arguments.staged:
        await _store(peer, arguments.catalogue, digest)
    with peer.journal.notices.watch(lambda _: True) as watcher:
        if refusal := await peer.tickets.ask(peer.tell, question):
            raise refused(peer, f"the submission is refused: {refusal}")
        yield {"event": {"adopted": len(arguments.entries)}}
        waiting = _segments(arguments)
        while open_ := [key for key in waiting if not _is_settled(peer, key)]:
            if peer.node.read_only:
                raise StorageError(
                    f"published, but {len(open_)} segments are not indexed here: the disk failed",
                    hint=READ_ONLY_HINT,
                )
            yield {"event": {"to_index": len(open_), "segments": len(waiting)}}
            await watcher.receive()
    yield {"result": {"refused": [_refusal(peer, key) for key in waiting if _refusal(peer, key)]}}


def _followed(peer: Peer, arguments: Log | Segments) -> HeldCatalogue:
    catalogue = peer.node.catalogues.get(arguments.catalogue)
    if catalogue is None or catalogue.chain is None or not catalogue.followed:
        raise UsageError("this peer does not follow the catalogue", hint="meshnode follow …")
    return catalogue


async def _store(peer: Peer, catalogue: CatalogueId, digest: Digest) -> None:
    """Store a staged object; one that was stored by a request that ended before the node heard of
    it is told now.
    """
    if digest in peer.node.replica.objects:
        return
    if not peer.store.object_path(digest).exists():
        staged = peer.home.staging(catalogue) / digest.hex()
        # It is on this disk already: does all fit?
        await peer.quota.reserve(digest, 0, is_payload=False)
        if await trio.to_thread.run_sync(_sha256_of, staged) != digest:
            raise UsageError(f"the staged object {staged} is not what its name says")
        await trio.to_thread.run_sync(peer.store.complete, digest, staged)
    await peer.tell(ObjectStored(digest))


def _segments(arguments: Submit) -> Sequence[SegmentKey]:
    entries = map(decode_entry, arguments.entries)
    return [
        SegmentKey(arguments.catalogue, entry.collection, entry.segment)
        for entry in entries
        if isinstance(entry, SegmentAdded)
    ]


def _is_settled(peer: Peer, key: SegmentKey) -> bool:
    replica = peer.node.replica
    does_not_count = replica.counts(key) is None
    return key in replica.indexed or key in replica.refused or does_not_count


def _refusal(peer: Peer, key: SegmentKey) -> dict[str, Any] | None:
    refused = peer.node.replica.refused.get(key)
    return {"segment": object_text(key.digest), "reason": refused.reason} if refused else None


def _sha256_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UsageError(f"cannot read the staged object {path}: {error.strerror}") from error


ACTIONS: dict[str, Action] = {
    "log": (Log, log),
    "holding": (Holding, holding),
    "live_segments": (Segments, live_segments),
    "own_segments": (Log, own_segments),
    "snapshot": (Snapshot, snapshot),
    "submit": (Submit, submit),
}
